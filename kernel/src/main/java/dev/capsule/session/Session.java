package dev.capsule.session;

import dev.capsule.audit.Event;
import dev.capsule.frame.Frame;
import dev.capsule.frame.FrameException;
import dev.capsule.policy.Limit;
import dev.capsule.policy.Profile;
import dev.capsule.policy.Profile.Deadline;
import dev.capsule.promise.Failure;
import dev.capsule.promise.Promises;
import dev.capsule.promise.Settlement;
import dev.capsule.worker.End;
import dev.capsule.worker.WorkerProcess;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Supplier;

/// One language session. It outlives its worker: when one ends, a fresh one takes its place. It runs one execution at a
/// time and never blocks its caller; what comes of an execution is told on the worker's thread. Safe for several
/// threads.
public final class Session {
    private static final Logger LOG = System.getLogger(Session.class.getName());

    /// How long an interrupted execution may go on before the worker is signalled from outside.
    static final Duration SIGNAL_AFTER = Duration.ofSeconds(2);

    /// How long an interrupted execution may go on before the worker is killed.
    static final Duration KILL_AFTER = Duration.ofSeconds(5);

    private static final Duration QUESTION_DEADLINE = Duration.ofSeconds(10);
    private static final Duration STOP_GRACE = Duration.ofSeconds(1);

    /// Executions whose late output still finds its cell.
    private static final int REMEMBERED_EXECUTIONS = 1_000;

    private final WorkerProcess.Launches launches;
    private final Profile profile;
    private final Advice advice;
    private final Supplier<List<String>> remarks;
    private final Consumer<Event> audit;
    private final ScheduledExecutorService clock;
    private final Outlet outlet;
    private final Promises<Frame.Resolve> promises;
    private final Promises<String> inputs;

    // All below guarded by this.
    private Optional<WorkerProcess> worker = Optional.empty();
    private Optional<Attendant> current = Optional.empty();
    private int workerCount;
    private boolean greeted;
    private final List<Frame.ToWorker> unsent = new ArrayList<>();
    private Optional<Execution> running = Optional.empty();
    private Optional<Execution> last = Optional.empty();
    private final Map<String, Execution> executions = new LinkedHashMap<>() {
        private static final long serialVersionUID = 1L;

        @Override
        protected boolean removeEldestEntry(Map.Entry<String, Execution> eldest) {
            return size() > REMEMBERED_EXECUTIONS;
        }
    };
    private Optional<String> languageVersion = Optional.empty();
    private boolean closed;

    /// One cell's run.
    private static final class Execution {
        private final String id;
        private final int count;
        private final Metered listener;

        // Guarded by the session.
        private Optional<Future<?>> deadline = Optional.empty();
        private boolean interrupted;
        private boolean killed;

        // Of the worker's thread, which is also the one that settles an execution with an error.
        private boolean errorShown;

        Execution(String id, int count, Metered listener) {
            this.id = id;
            this.count = count;
            this.listener = listener;
        }
    }

    /// @param profile what its cells may use up, and what of their outputs leaves
    /// @param remarks what a person should know of what the last cell has done
    /// @param audit does not wait
    /// @param clock runs deadlines and the steps of an interrupt
    public Session(WorkerProcess.Launches launches, Profile profile, Advice advice, Supplier<List<String>> remarks,
            Consumer<Event> audit, ScheduledExecutorService clock) {
        this.launches = launches;
        this.profile = profile;
        this.advice = advice;
        outlet = new Outlet(profile);
        this.remarks = remarks;
        this.audit = audit;
        this.clock = clock;
        promises = new Promises<>("k", clock);
        inputs = new Promises<>("", clock);
    }

    /// Starts the first worker, so that it is ready when the first cell comes.
    public synchronized void start() {
        startWorker();
    }

    private void startWorker() {
        greeted = false;
        unsent.clear();
        var attendant = new Attendant(++workerCount);
        current = Optional.of(attendant);
        try {
            worker = Optional.of(WorkerProcess.start(workerCount, launches, attendant));
        } catch (IOException e) {
            clock.execute(() -> attendant.ended(new End.NotStarted(e.toString())));
        }
    }

    /// Runs a cell. Only when the one before is settled may the next be given.
    public void execute(Cell cell, ExecutionListener listener) {
        synchronized (this) {
            if (running.isPresent()) {
                throw new IllegalStateException("execution " + running.get().id + " is not settled");
            }
            var promise = promises.create(Optional.empty(), this::executionSettled);
            var execution = new Execution(promise.id(), cell.executionCount(),
                    new Metered(listener, profile.limits().outputBytes(), advice));
            execution.listener.whenExceeded(() -> interrupt(execution));
            if (profile.limits().cellDeadline() instanceof Deadline.After(var time)) {
                execution.deadline = Optional.of(clock.schedule(() -> execution.listener.exceed(Limit.CELL_DEADLINE),
                        time.toMillis(), TimeUnit.MILLISECONDS));
            }
            running = Optional.of(execution);
            last = running;
            executions.put(execution.id, execution);
            send(new Frame.Execute(execution.id, cell.executionCount(), cell.silent(), cell.storeHistory(),
                    cell.allowStdin(), cell.userExpressions(), cell.code()));
        }
        audit.accept(new Event.Cell(cell.executionCount(), cell.code()));
    }

    /// @param storeHistory whether the code becomes part of the session's own `In` and `Out`
    public record Cell(String code, int executionCount, boolean silent, boolean storeHistory, boolean allowStdin,
            Map<String, String> userExpressions) {
        public Cell {
            userExpressions = Map.copyOf(userExpressions);
        }
    }

    /// @param cursor in Unicode code points
    /// @param answer is given nothing when the worker cannot tell, or not in time; so in the other questions
    public void complete(String code, int cursor, Consumer<Optional<Answers.Completion>> answer) {
        ask(id -> new Frame.Complete(id, cursor, code), answer, resolve -> new Answers.Completion(
                resolve.fields().strings("matches"), resolve.fields().integer("start"),
                resolve.fields().integer("end")));
    }

    /// @param cursor in Unicode code points
    /// @param detail 0, or 1 for the source too
    public void inspect(String code, int cursor, int detail, Consumer<Optional<Answers.Inspection>> answer) {
        ask(id -> new Frame.Inspect(id, cursor, detail, code), answer,
                resolve -> new Answers.Inspection(resolve.fields().bool("found"),
                        outlet.display(resolve.fields().bundle(resolve.buffers()), Optional.empty())));
    }

    public void isComplete(String code, Consumer<Optional<Answers.Completeness>> answer) {
        ask(id -> new Frame.IsComplete(id, code), answer, resolve -> new Answers.Completeness(
                resolve.fields().string("status"), resolve.fields().optionalString("indent")));
    }

    private <T> void ask(Function<String, Frame.ToWorker> question, Consumer<Optional<T>> answer,
            Function<Frame.Resolve, T> reader) {
        synchronized (this) {
            var promise = promises.create(Optional.of(QUESTION_DEADLINE), settlement -> {
                Optional<T> value = Optional.empty();
                try {
                    if (settlement instanceof Settlement.Resolved<Frame.Resolve>(var resolve)) {
                        value = Optional.of(reader.apply(resolve));
                    }
                } finally {
                    answer.accept(value);
                }
            });
            send(question.apply(promise.id()));
        }
    }

    /// To the worker, as soon as it listens; a worker that is not there is started.
    private void send(Frame.ToWorker frame) {
        if (worker.isEmpty() && !closed) {
            startWorker();
        }
        if (greeted) {
            worker.ifPresent(live -> live.send(frame));
        } else {
            unsent.add(frame);
        }
    }

    /// Interrupts the running execution: cancels it, after [#SIGNAL_AFTER] signals the worker from outside, after
    /// [#KILL_AFTER] kills it. Does nothing when none runs. Returns at once.
    public void interrupt() {
        Optional<Execution> execution;
        synchronized (this) {
            execution = running;
        }
        execution.ifPresent(this::interrupt);
    }

    private void interrupt(Execution execution) {
        synchronized (this) {
            if (running.filter(execution::equals).isEmpty()) {
                return;
            }
            send(new Frame.Cancel(execution.id));
            if (execution.interrupted) {
                return;
            }
            execution.interrupted = true;
            Future<?> _ = clock.schedule(() -> whileRunning(execution, WorkerProcess::interruptFromOutside),
                    SIGNAL_AFTER.toMillis(), TimeUnit.MILLISECONDS);
            Future<?> _ = clock.schedule(() -> whileRunning(execution, live -> {
                LOG.log(Level.INFO,
                        () -> "killing the worker: it has not stopped " + KILL_AFTER + " after an interrupt");
                execution.killed = true;
                audit.accept(new Event.Killed(workerCount, "interrupted, and still running " + KILL_AFTER + " later"));
                live.kill();
            }), KILL_AFTER.toMillis(), TimeUnit.MILLISECONDS);
        }
        // Whoever is asked for input need not answer any more; the worker itself leaves its wait by the interrupt.
        inputs.settleAll(new Settlement.Canceled<>("interrupted"));
    }

    private synchronized Optional<WorkerProcess> worker() {
        return worker;
    }

    private synchronized void whileRunning(Execution execution, Consumer<WorkerProcess> step) {
        if (running.filter(execution::equals).isPresent()) {
            worker.ifPresent(step);
        }
    }

    /// The version of the language, once a worker has told it.
    public synchronized Optional<String> languageVersion() {
        return languageVersion;
    }

    /// Ends the worker and everything it started; returns when they are gone.
    public void close() {
        Optional<WorkerProcess> live;
        boolean busy;
        synchronized (this) {
            closed = true;
            live = worker;
            busy = running.isPresent();
        }
        live.ifPresent(process -> process.stop(busy ? Duration.ZERO : STOP_GRACE));
    }

    private void executionSettled(Settlement<Frame.Resolve> settlement) {
        Execution execution;
        boolean killedForMemory;
        synchronized (this) {
            execution = running.orElseThrow();
            running = Optional.empty();
            execution.deadline.ifPresent(due -> due.cancel(false));
            killedForMemory = settlement instanceof Settlement.Rejected && worker.isPresent()
                    && worker.get().killedForMemory();
        }
        if (execution.listener.isBomb()) {
            worker().ifPresent(WorkerProcess::endOthers);
        }
        remarks.get().forEach(remark -> execution.listener.stream("stderr",
                "[Capsule: %s]\n".formatted(remark).getBytes(StandardCharsets.UTF_8)));
        var outcome = outcome(settlement, execution, killedForMemory);
        execution.listener.exceeded().ifPresent(limit -> audit.accept(
                new Event.LimitHit(limit.key(), limit.value(profile.limits()), execution.count)));
        var withheld = outlet.takeWithheld();
        if (!withheld.isEmpty()) {
            audit.accept(new Event.OutputWithheld(execution.count, withheld));
        }
        execution.listener.settled(outcome);
    }

    private Outcome outcome(Settlement<Frame.Resolve> settlement, Execution execution, boolean killedForMemory) {
        return switch (settlement) {
            case Settlement.Resolved<Frame.Resolve>(var resolve) -> {
                var payload = outlet.payload(resolve.buffers().getLast());
                payload.shown().forEach(execution.listener::display);
                yield new Outcome.Succeeded(outlet.userExpressions(resolve.buffers().getFirst()), payload.json());
            }
            case Settlement.Rejected<Frame.Resolve>(var failure) ->
                advice.explain(new Outcome.Failed(failure.ename(), failure.evalue(), failure.traceback(),
                        execution.errorShown), killedForMemory);
            case Settlement.Canceled<Frame.Resolve>(var reason) -> Outcome.Failed.because(Outcome.WORKER_DIED, reason);
            case Settlement.TimedOut<Frame.Resolve>() ->
                Outcome.Failed.because("TimeoutError", "the cell took too long");
        };
    }

    /// Listens to one worker, on that worker's thread.
    private final class Attendant implements WorkerProcess.Listener {
        private final int number;
        private final long startedAtNanos = System.nanoTime();
        private boolean ready;

        Attendant(int number) {
            this.number = number;
        }

        @Override
        public void frame(Frame.FromWorker frame) {
            switch (frame) {
                case Frame.Hello hello -> greet(hello);
                case Frame.Ready _ -> {
                    if (ready) {
                        throw new FrameException("second ready");
                    }
                    ready = true;
                    long micros = TimeUnit.NANOSECONDS.toMicros(System.nanoTime() - startedAtNanos);
                    LOG.log(Level.DEBUG, () -> "worker %d is ready, after %d us".formatted(number, micros));
                }
                case Frame.Result(var id, var bundle, var ack) -> {
                    active(id).listener.result(outlet.display(bundle, Optional.empty()));
                    acknowledge(id, ack);
                }
                case Frame.Display(var id, var bundle, var displayId, var ack) -> {
                    emitter(id).listener.display(outlet.display(bundle, displayId));
                    acknowledge(id, ack);
                }
                case Frame.UpdateDisplay(var id, var bundle, var displayId, var ack) -> {
                    emitter(id).listener.updateDisplay(outlet.display(bundle, Optional.of(displayId)));
                    acknowledge(id, ack);
                }
                case Frame.ClearOutput(var id, var waits, var ack) -> {
                    emitter(id).listener.clearOutput(waits);
                    acknowledge(id, ack);
                }
                case Frame.LateStream(var id, var stream, var text) ->
                    emitter(id).listener.stream(stream.wireName(), text);
                case Frame.Input input -> ask(input);
                case Frame.Resolve resolve -> resolved(resolve);
                case Frame.ShownError(var id, var ename, var evalue, var traceback, var ack) -> {
                    var error = advice.explain(new Outcome.Failed(ename, evalue, traceback, true),
                            worker().filter(WorkerProcess::killedForMemory).isPresent());
                    emitter(id).listener.error(ename, evalue, error.traceback());
                    acknowledge(id, ack);
                }
                case Frame.Reject(var id, var ename, var evalue, var traceback, var shown) -> {
                    if (shown) {
                        active(id).errorShown = true;
                    }
                    settle(id, new Settlement.Rejected<>(new Failure(ename, evalue, traceback)));
                }
            }
        }

        private void greet(Frame.Hello hello) {
            synchronized (Session.this) {
                if (greeted) {
                    throw new FrameException("second hello");
                }
                greeted = true;
                languageVersion = Optional.of(hello.languageVersion());
                unsent.forEach(worker.orElseThrow()::send);
                unsent.clear();
            }
        }

        /// The execution that is running, which must have this id.
        private Execution active(String id) {
            synchronized (Session.this) {
                return running.filter(execution -> execution.id.equals(id)).orElseThrow(
                        () -> new FrameException("frame for the execution " + id + ", which is not running"));
            }
        }

        /// The execution with this id; late output of one that is long forgotten goes to the last.
        private Execution emitter(String id) {
            synchronized (Session.this) {
                var known = Optional.ofNullable(executions.get(id));
                return known.or(() -> last.filter(_ -> promises.issued(id)))
                        .orElseThrow(() -> new FrameException("frame for the execution " + id + ", which never was"));
            }
        }

        private void acknowledge(String id, boolean wanted) {
            if (wanted) {
                synchronized (Session.this) {
                    worker.orElseThrow().send(new Frame.Delivered(id));
                }
            }
        }

        private void ask(Frame.Input input) {
            if (!isRunning(input.execution())) {
                // Of a thread that outlived its cell; there is no client any more that could be asked.
                answer(input.id(), new Settlement.Rejected<>(new Failure("StdinNotImplementedError",
                        "input was asked for by a thread whose cell has ended", List.of())));
                return;
            }
            var execution = active(input.execution());
            try {
                inputs.create(input.id(), Optional.empty(), settlement -> answer(input.id(), settlement));
            } catch (IllegalStateException e) {
                throw new FrameException("input id " + input.id() + " is in use", e);
            }
            execution.listener.input(new InputRequest(input.id(), input.prompt(), input.password(), inputs));
        }

        private void answer(String id, Settlement<String> settlement) {
            var frame = switch (settlement) {
                case Settlement.Resolved<String>(var value) -> new Frame.Answer(id, value);
                case Settlement.Rejected<String>(var failure) ->
                    new Frame.Refuse(id, failure.ename(), failure.evalue());
                case Settlement.Canceled<String>(var reason) -> new Frame.Refuse(id, "KeyboardInterrupt", reason);
                case Settlement.TimedOut<String>() -> new Frame.Refuse(id, "TimeoutError", "nobody answered in time");
            };
            synchronized (Session.this) {
                worker.ifPresent(live -> live.send(frame));
            }
        }

        private void resolved(Frame.Resolve resolve) {
            if (isRunning(resolve.id())) {
                resolve.checkExecution();
            }
            settle(resolve.id(), new Settlement.Resolved<>(resolve));
        }

        private boolean isRunning(String id) {
            synchronized (Session.this) {
                return running.filter(execution -> execution.id.equals(id)).isPresent();
            }
        }

        private void settle(String id, Settlement<Frame.Resolve> settlement) {
            if (!promises.issued(id)) {
                throw new FrameException("answer to " + id + ", which was never asked");
            }
            if (!promises.settle(id, settlement)) {
                LOG.log(Level.DEBUG, () -> "answer to " + id + " came after its deadline");
            }
        }

        @Override
        public void output(Frame.Stream stream, byte[] text) {
            Optional<Execution> owner;
            synchronized (Session.this) {
                owner = last;
            }
            owner.ifPresent(execution -> execution.listener.stream(stream.wireName(), text));
        }

        @Override
        public void exceeded(Limit limit) {
            Optional<Execution> owner;
            synchronized (Session.this) {
                owner = running.filter(_ -> current.filter(this::equals).isPresent());
            }
            owner.ifPresent(execution -> execution.listener.exceed(limit));
        }

        @Override
        public void curtailed(Limit limit) {
            Optional<Execution> owner;
            synchronized (Session.this) {
                owner = running.filter(_ -> current.filter(this::equals).isPresent());
            }
            owner.ifPresent(execution -> execution.listener.curtailed(limit));
        }

        @Override
        public void ended(End end) {
            String cause;
            List<String> lost;
            synchronized (Session.this) {
                if (current.filter(this::equals).isEmpty()) {
                    // A start that failed and was tried again since.
                    return;
                }
                worker = Optional.empty();
                greeted = false;
                unsent.clear();
                cause = describe(end);
                if (end instanceof End.LimitExceeded(var limit)) {
                    running.ifPresent(execution -> execution.listener.endedBy(limit));
                }
                // Those that are opened from here on are for the next worker.
                lost = promises.openIds();
                // A worker that could not start would hardly fare better at once; the next cell tries again.
                if (!closed && !(end instanceof End.NotStarted)) {
                    startWorker();
                }
            }
            LOG.log(closed ? Level.DEBUG : Level.WARNING, () -> "the worker " + end.cause());
            if (end instanceof End.Violation(var message)) {
                audit.accept(new Event.ProtocolViolation(number, message));
            }
            audit.accept(new Event.WorkerEnded(number, end.cause()));
            inputs.settleAll(new Settlement.Canceled<>("the worker is gone"));
            lost.forEach(id -> promises.settle(id, new Settlement.Canceled<>(cause)));
        }

        private String describe(End end) {
            if (end instanceof End.NotStarted) {
                return "the worker " + end.cause();
            }
            String lost = " A fresh worker was started; variables, imports and functions of earlier cells are lost.";
            return running.filter(execution -> execution.killed).isPresent()
                    ? "the cell did not stop within %d s of the interrupt, so its worker was killed.%s"
                            .formatted(KILL_AFTER.toSeconds(), lost)
                    : "the worker %s while it ran this cell.%s".formatted(end.cause(), lost);
        }
    }
}
