package dev.capsule.kernel;

import dev.capsule.channel.RouterSocket;
import dev.capsule.jupyter.Content;
import dev.capsule.jupyter.Message;
import dev.capsule.jupyter.Request;
import dev.capsule.jupyter.Wire;
import dev.capsule.jupyter.WireException;
import dev.capsule.log.Logs;
import dev.capsule.session.Answers;
import dev.capsule.session.CommMessage.Kind;
import dev.capsule.session.CommRequest;
import dev.capsule.session.Display;
import dev.capsule.session.InputRequest;
import dev.capsule.session.Outcome;
import dev.capsule.session.Session;
import dev.capsule.session.Transaction;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Predicate;
import java.util.function.Supplier;

/// Answers the requests of one shell, the main one or a subshell, one at a time, in the order they came. Nobody waits here:
/// whoever finishes a request, most often the worker's thread, begins the next.
final class Shell {
    private static final Logger LOG = Logs.of(Shell.class);

    /// A client that runs many cells sends them within moments. So a cell that fails at once is not answered before this
    /// time has passed since its request came, and those that came meanwhile are aborted as if it had taken longer.
    private static final Duration BURST = Duration.ofMillis(20);

    /// A question that waits longer than this for a cell is answered beside it. One that came with a short cell may be about
    /// what the cell does.
    private static final Duration QUESTION_PATIENCE = Duration.ofMillis(100);

    private static final Set<String> QUESTIONS = Set.of("complete_request", "inspect_request", "is_complete_request");

    /// Empty for the main shell.
    private final Optional<String> subshell;
    /// Answers questions that wait here for a cell; of the main shell only, for a subshell's client can have another.
    private final Optional<Shell> aside;
    private final Wire wire;
    private final Iopub iopub;
    private final Session session;
    private final History history;
    private final Stdin stdin;
    private final Common common;
    private final Supplier<List<String>> warnings;
    private final ScheduledExecutorService clock;

    // Guarded by this.
    private final ArrayDeque<Turn> waiting = new ArrayDeque<>();
    private boolean busy;
    private boolean ended;

    // Of whoever has the turn.
    private int executionCount;
    private boolean warned;

    /// A request that waits to be answered.
    private record Turn(Message message, RouterSocket shell, RouterSocket stdin, long receivedAtNanos,
            boolean aborted) {
        boolean asks() {
            return QUESTIONS.contains(message.header().msgType());
        }

        /// Whether the person who asked has asked again.
        boolean isOutdatedBy(Turn other) {
            return asks() && other.message().header().msgType().equals(message.header().msgType())
                    && other.message().header().session().equals(message.header().session());
        }

        boolean executes() {
            return message.header().msgType().equals("execute_request");
        }
    }

    Shell(Optional<String> subshell, Optional<Shell> aside, Wire wire, Iopub iopub, Session session, History history,
            Stdin stdin,
            Common common,
            Supplier<List<String>> warnings, ScheduledExecutorService clock) {
        this.subshell = subshell;
        this.aside = aside;
        this.wire = wire;
        this.iopub = iopub;
        this.session = session;
        this.history = history;
        this.stdin = stdin;
        this.common = common;
        this.warnings = warnings;
        this.clock = clock;
    }

    /// Takes a verified message; answers it at once when no other is being answered.
    void submit(Message message, RouterSocket shell, RouterSocket stdinSocket) {
        var turn = new Turn(message, shell, stdinSocket, System.nanoTime(), false);
        synchronized (this) {
            if (aside.isEmpty() && turn.asks()) {
                abortWaiting(earlier -> earlier.isOutdatedBy(turn));
            }
            waiting.add(turn);
            if (busy) {
                if (aside.isPresent() && turn.asks()) {
                    Future<?> _ = clock.schedule(() -> passOn(turn), QUESTION_PATIENCE.toMillis(),
                            TimeUnit.MILLISECONDS);
                }
                return;
            }
            busy = true;
        }
        next(() -> {});
    }

    private void passOn(Turn turn) {
        synchronized (this) {
            if (!waiting.remove(turn)) {
                return;
            }
        }
        aside.orElseThrow().submit(turn.message(), turn.shell(), turn.stdin());
    }

    /// Interrupts what is running, and answers what waits for its turn by that it was aborted. What the worker has of the
    /// subshell ends after that.
    void end() {
        synchronized (this) {
            ended = true;
            if (!busy) {
                session.endSubshell(subshell.orElseThrow());
                return;
            }
        }
        session.interrupt(subshell.orElseThrow());
    }

    /// @param ending says what came of the last turn
    private void next(Runnable ending) {
        iopub.together(() -> giveTurns(new Once(ending)));
    }

    /// What is said when the worker has the next cell, which it runs meanwhile, or else at once.
    private static final class Once implements Runnable {
        private final Runnable saying;
        private boolean said;

        Once(Runnable saying) {
            this.saying = saying;
        }

        @Override
        public void run() {
            if (said) {
                return;
            }
            said = true;
            try {
                saying.run();
            } catch (RuntimeException | Error e) {
                // Of ours; it is no fault of the turn that comes next.
                LOG.log(Level.ERROR, "telling what came of a turn", e);
            }
        }
    }

    /// Gives turns until one is not finished at once: its end gives the next.
    private void giveTurns(Once ending) {
        boolean finished = true;
        while (finished) {
            var turn = nextTurn();
            if (turn.isEmpty()) {
                // Before another thread can give a turn.
                ending.run();
                turn = nextTurnOrRest();
            }
            finished = turn.isPresent() && take(turn.get(), ending);
        }
    }

    private synchronized Optional<Turn> nextTurn() {
        return Optional.ofNullable(waiting.poll());
    }

    private synchronized Optional<Turn> nextTurnOrRest() {
        var turn = nextTurn();
        busy = turn.isPresent();
        if (ended && !busy) {
            session.endSubshell(subshell.orElseThrow());
        }
        return turn;
    }

    /// @return whether the request is answered; otherwise [#next] is called when it is
    private boolean take(Turn turn, Once ending) {
        var exchange = new Exchange(turn.message(), turn.shell(), wire, iopub);
        try {
            if (turn.aborted() || (isEnded() && turn.executes())) {
                ending.run();
                exchange.reply(turn.asks() ? unanswered(turn) : Content.aborted());
                exchange.close();
                return true;
            }
            if (isEnded()) {
                throw Shells.unknown(subshell.orElseThrow());
            }
            var request = Request.parse(turn.message());
            if (!turn.executes()) {
                ending.run();
                exchange.open();
            }
            boolean answered = answer(turn, exchange, request, ending);
            if (!answered && isEnded()) {
                // Who ended the shell may have come too early to interrupt what has just begun.
                session.interrupt(subshell.orElseThrow());
            }
            return answered;
        } catch (WireException e) {
            ending.run();
            LOG.log(Level.WARNING, () -> "refused a request: " + e.getMessage());
            refuse(turn, exchange, "BadRequest", e.getMessage());
            return true;
        } catch (RuntimeException | Error e) {
            ending.run();
            // Of ours, or for want of memory; the next requests must not wait for ever for it.
            LOG.log(Level.ERROR, "answering " + turn.message().header().msgType(), e);
            refuse(turn, exchange, "InternalError", e.toString());
            return true;
        }
    }

    private synchronized boolean isEnded() {
        return ended;
    }

    private void refuse(Turn turn, Exchange exchange, String ename, String evalue) {
        exchange.open();
        if (turn.message().header().msgType().endsWith("_request")) {
            exchange.reply(turn.executes()
                    ? Content.executeError(executionCount, ename, evalue, List.of())
                    : Content.failure(ename, evalue));
        }
        exchange.close();
    }

    private boolean answer(Turn turn, Exchange exchange, Request request, Once ending) {
        switch (request) {
            case Request.Execute execute -> {
                checkTransaction(execute);
                execute(turn, exchange, execute, ending);
            }
            case Request.Complete(var code, var cursorPos) -> session.complete(subshell, code, cursorPos,
                    answer -> finish(exchange, () -> complete(answer, cursorPos)));
            case Request.Inspect(var code, var cursorPos, var detail) ->
                session.inspect(subshell, code, cursorPos, detail,
                        answer -> finish(exchange, () -> inspect(answer)));
            case Request.IsComplete(var code) ->
                session.isComplete(subshell, code, answer -> finish(exchange, () -> isComplete(answer)));
            case Request.History(var output, var query) ->
                history.find(query, entries -> finish(exchange, () -> Content.history(entries, output)));
            case Request.CommOpen(var commId, var target) -> {
                if (!comm(turn, exchange, Kind.OPEN, commId, target)) {
                    // As where there is no such target.
                    exchange.publish("comm_close", Content.comm(commId, Content.empty()));
                    exchange.close();
                    return true;
                }
            }
            case Request.CommMsg(var commId) -> {
                return !comm(turn, exchange, Kind.MSG, commId, "") && closed(exchange);
            }
            case Request.CommClose(var commId) -> {
                return !comm(turn, exchange, Kind.CLOSE, commId, "") && closed(exchange);
            }
            case Request.KernelInfo _,Request.Connect _,Request.CommInfo _,Request.Usage _,Request.Debug _,Request.Interrupt _,Request.AboutSubshells _,Request.Shutdown _,Request.Unknown _ -> {
                common.answer(exchange, request);
                return true;
            }
        }
        return false;
    }

    /// @return whether a worker handles it; otherwise there is nothing more to come
    private boolean comm(Turn turn, Exchange exchange, Kind kind, String commId, String target) {
        var message = turn.message();
        if (message.buffers().size() > CommRequest.MAX_BUFFERS) {
            throw new WireException("%s with %d buffers; the limit is %d".formatted(message.header().msgType(),
                    message.buffers().size(), CommRequest.MAX_BUFFERS));
        }
        return session.comm(subshell, new CommRequest(kind, commId, target, message.header().msgId(), message.content(),
                message.metadata(), message.buffers()), new CommRun(exchange, () -> next(() -> {})));
    }

    private static boolean closed(Exchange exchange) {
        exchange.close();
        return true;
    }

    private void finish(Exchange exchange, Supplier<byte[]> reply) {
        next(() -> {
            try (exchange) {
                exchange.reply(made(reply));
            }
        });
    }

    /// A turn whose reply cannot be made, for which the memory may not suffice, still ends with one.
    private static byte[] made(Supplier<byte[]> reply) {
        try {
            return reply.get();
        } catch (RuntimeException | Error e) {
            LOG.log(Level.ERROR, "making a reply", e);
            return Content.failure("InternalError", e.toString());
        }
    }

    /// Nobody waits for the answer any more.
    private static byte[] unanswered(Turn turn) {
        return switch (turn.message().header().msgType()) {
            case "complete_request" -> complete(Optional.empty(), 0);
            case "inspect_request" -> inspect(Optional.empty());
            default -> isComplete(Optional.empty());
        };
    }

    private static byte[] complete(Optional<Answers.Completion> answer, int cursorPos) {
        return answer.map(found -> Content.complete(found.matches(), found.start(), found.end(), found.types()))
                .orElseGet(() -> Content.complete(List.of(), cursorPos, cursorPos, List.of()));
    }

    private static byte[] inspect(Optional<Answers.Inspection> answer) {
        return answer.filter(Answers.Inspection::found).map(Answers.Inspection::display)
                .map((Display display) -> Content.inspect(display::dataJson, display.metadataJson()))
                .orElseGet(Content::inspect);
    }

    private static byte[] isComplete(Optional<Answers.Completeness> answer) {
        return answer.map(found -> Content.isComplete(found.status(), found.indent()))
                .orElseGet(() -> Content.isComplete("unknown", Optional.empty()));
    }

    private static void checkTransaction(Request.Execute request) {
        request.transaction().filter(name -> Transaction.named(name).isEmpty()).ifPresent(name -> {
            throw new WireException("metadata.capsule.transaction \"" + name + "\" is no transaction policy");
        });
    }

    private void execute(Turn turn, Exchange exchange, Request.Execute request, Once ending) {
        // In and Out, which count the main shell's cells, would have two of one count.
        boolean remembered = request.storeHistory() && subshell.isEmpty();
        if (request.storeHistory()) {
            executionCount++;
        }
        // What is kept with the cell is neither the message nor the request.
        var message = exchange.request();
        var stdinSocket = turn.stdin();
        long receivedAtNanos = turn.receivedAtNanos();
        Consumer<InputRequest> ask = input -> {
            // Front ends show the question below what has been written by then.
            iopub.release();
            stdin.ask(stdinSocket, input, message);
        };
        if (!warned && !request.silent()) {
            warned = true;
            ending.run();
            warnings.get().forEach(warning -> exchange.stream("stderr",
                    "[Capsule: %s]\n".formatted(warning).getBytes(StandardCharsets.UTF_8)));
        }
        int count = executionCount;
        Consumer<String> whenShown = remembered ? text -> history.addOutput(count, text) : _ -> {};
        var run = new CellRun(exchange, request, count, whenShown, ask,
                (settled, outcome) -> {
                    stdin.forget(message);
                    settled(settled, outcome, receivedAtNanos);
                });
        var cell = new Session.Cell(subshell, turn.message().header().msgId(), request.code(), count, request.silent(),
                remembered, request.allowStdin(), request.userExpressions(), request.transaction()
                        .map(name -> Transaction.named(name).orElseThrow()));
        run.start(request.code(), listener -> session.execute(cell, listener), () -> {
            // The listener hears nothing before all of this is done.
            if (remembered) {
                history.add(count, request.code());
            }
            ending.run();
        });
    }

    private void settled(CellRun run, Outcome outcome, long receivedAtNanos) {
        switch (outcome) {
            case Outcome.Succeeded(var userExpressions, var payload) -> finish(run,
                    () -> Content.executeOk(run.executionCount(), userExpressions, payload));
            case Outcome.Failed failed -> {
                long early = receivedAtNanos + BURST.toNanos() - System.nanoTime();
                if (early > 0 && run.request().stopOnError() && !run.request().silent()) {
                    Future<?> _ = clock.schedule(() -> fail(run, failed), early, TimeUnit.NANOSECONDS);
                } else {
                    fail(run, failed);
                }
            }
        }
    }

    private void fail(CellRun run, Outcome.Failed failed) {
        if (!run.request().silent()) {
            if (run.request().stopOnError()) {
                abortWaiting(Turn::executes);
            }
            if (!failed.shown()) {
                run.error(failed.ename(), failed.evalue(), failed.traceback());
            }
        }
        finish(run, () -> Content.executeError(run.executionCount(), failed.ename(), failed.evalue(),
                failed.traceback()));
    }

    private void finish(CellRun run, Supplier<byte[]> reply) {
        next(() -> run.end(made(reply)));
    }

    /// Everything keeps its turn.
    private synchronized void abortWaiting(Predicate<Turn> aborts) {
        for (int i = waiting.size(); i > 0; i--) {
            var turn = waiting.remove();
            waiting.add(aborts.test(turn)
                    ? new Turn(turn.message(), turn.shell(), turn.stdin(), turn.receivedAtNanos(), true)
                    : turn);
        }
    }
}
