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

    private static final String LOST = " A fresh worker was started; variables, imports and functions of earlier cells are"
            + " lost.";
    private static final int MAX_REASON_CHARS = 200;

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
    private final Snapshots snapshots = new Snapshots();
    /// While a snapshot is to serve, until it does.
    private Optional<Restoration> restoring = Optional.empty();
    private boolean ranSinceRevival;
    /// What happened between two cells, to be told with the next.
    private Optional<String> untold = Optional.empty();
    private Transaction transaction = Transaction.COMMIT_ALWAYS;

    /// @param cause why the process before it has ended
    /// @param done told nothing when the snapshot serves, or else why it does not
    private record Restoration(Snapshots.Way way, String cause, Consumer<Optional<String>> done) {}

    /// One cell's run.
    private static final class Execution {
        private final String id;
        private final int count;
        private final Metered listener;
        private final Rollback rollback;

        // Guarded by the session.
        private Optional<Future<?>> deadline = Optional.empty();
        private boolean interrupted;
        private boolean killed;

        // Of the worker's thread, which is also the one that settles an execution with an error.
        private boolean errorShown;

        Execution(String id, int count, Metered listener, Rollback rollback) {
            this.id = id;
            this.count = count;
            this.listener = listener;
            this.rollback = rollback;
        }
    }

    /// What becomes of a cell's effects.
    private sealed interface Rollback {
        record Never() implements Rollback {}

        /// @param to the state before the cell
        record By(Transaction policy, Snapshots.Snapshot to) implements Rollback {}
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
        snapshots.clear();
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
        var command = Command.parse(cell.code());
        Transaction policy;
        synchronized (this) {
            if (running.isPresent()) {
                throw new IllegalStateException("execution " + running.get().id + " is not settled");
            }
            if (cell.storeHistory()) {
                snapshots.given(cell.executionCount(), cell.code());
            }
            policy = cell.transaction().orElse(transaction);
        }
        audit.accept(new Event.Cell(cell.executionCount(), cell.code()));
        if (command.isPresent()) {
            // On another thread: who gives a cell is told of it when that is done.
            clock.execute(() -> run(command.get(), cell, listener));
        } else {
            transact(policy, cell, listener);
        }
    }

    private void run(Command command, Cell cell, ExecutionListener listener) {
        switch (command) {
            case Command.Malformed(var message) -> listener.settled(Outcome.Failed.because("UsageError", message));
            case Command.Snapshots() -> list(cell, listener);
            case Command.Undo(var cells) -> undo(cells, cell, listener);
            case Command.GoTo(var count) -> {
                Optional<Snapshots.Snapshot> target;
                synchronized (this) {
                    target = snapshots.after(count);
                }
                goTo(target, "there is no snapshot of the state after In [%d]; %%snapshots lists those that there are"
                        .formatted(count), cell, listener);
            }
            case Command.SetTransaction(var policy) -> {
                synchronized (this) {
                    transaction = policy;
                }
                answer("Cells run with " + policy.wireName() + " from now on.\n", cell, listener);
            }
            case Command.Transact(var policy, var code) -> transact(policy, cell.withCode(code), listener);
        }
    }

    private void list(Cell cell, ExecutionListener listener) {
        var memory = live().map(WorkerProcess::memoryOfSnapshots).orElse(Map.of());
        String text;
        synchronized (this) {
            text = snapshots.list(memory);
        }
        answer(text, cell, listener);
    }

    private synchronized Optional<WorkerProcess> live() {
        return worker;
    }

    private void undo(int cells, Cell cell, ExecutionListener listener) {
        Optional<Snapshots.Snapshot> target;
        String why;
        synchronized (this) {
            var state = snapshots.back(cells);
            target = state.flatMap(snapshots::of);
            why = state.isEmpty()
                    ? "fewer than %d cells have been run since the state was fresh".formatted(cells)
                    : "there is no snapshot of the state before them (%s); %%snapshots lists those that there are"
                            .formatted(snapshots.why());
        }
        goTo(target, why, cell, listener);
    }

    private void goTo(Optional<Snapshots.Snapshot> target, String why, Cell cell, ExecutionListener listener) {
        if (target.isEmpty()) {
            listener.settled(Outcome.Failed.because("SnapshotError", "nothing was changed: " + why));
            return;
        }
        var way = new Snapshots.Way(target.get(), List.of());
        restore(way, "cells are taken back", problem -> {
            if (problem.isPresent()) {
                listener.settled(Outcome.Failed.because("SnapshotError", problem.get()));
            } else {
                answer(snapshots.describe(way) + "\n", cell, listener);
            }
        });
    }

    private void answer(String text, Cell cell, ExecutionListener listener) {
        if (!cell.silent()) {
            listener.stream(Frame.Stream.STDOUT.wireName(), text.getBytes(StandardCharsets.UTF_8));
        }
        listener.settled(new Outcome.Succeeded("{}".getBytes(StandardCharsets.UTF_8),
                "[]".getBytes(StandardCharsets.UTF_8)));
    }

    /// Ends the live process and has a snapshot take its place.
    private void restore(Snapshots.Way way, String cause, Consumer<Optional<String>> done) {
        synchronized (this) {
            restoring = Optional.of(new Restoration(way, cause, done));
            worker.ifPresent(WorkerProcess::killLive);
        }
    }

    private void transact(Transaction policy, Cell cell, ExecutionListener listener) {
        if (policy == Transaction.COMMIT_ALWAYS) {
            start(cell, listener, new Rollback.Never());
            return;
        }
        synchronized (this) {
            var promise = promises.create(Optional.of(QUESTION_DEADLINE), _ -> {
                Optional<Snapshots.Snapshot> before;
                String why;
                synchronized (this) {
                    before = snapshots.of(snapshots.present());
                    why = snapshots.why();
                }
                if (before.isPresent()) {
                    start(cell, listener, new Rollback.By(policy, before.get()));
                } else {
                    listener.settled(Outcome.Failed.because("TransactionError",
                            "the cell was not run, for its effects could not be taken back: " + why));
                }
            });
            send(new Frame.Keep(promise.id()));
        }
    }

    private void start(Cell cell, ExecutionListener listener, Rollback rollback) {
        synchronized (this) {
            var promise = promises.create(Optional.empty(), this::executionSettled);
            var execution = new Execution(promise.id(), cell.executionCount(),
                    new Metered(listener, profile.limits().outputBytes(), advice), rollback);
            if (!cell.silent()) {
                untold.ifPresent(execution.listener::note);
                untold = Optional.empty();
            }
            snapshots.runs(execution.id,
                    cell.storeHistory() ? Optional.of(cell.executionCount()) : Optional.empty());
            ranSinceRevival = true;
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
    }

    /// @param transaction empty for the session's own
    /// @param storeHistory whether the code becomes part of the session's own `In` and `Out`
    public record Cell(String code, int executionCount, boolean silent, boolean storeHistory, boolean allowStdin,
            Map<String, String> userExpressions, Optional<Transaction> transaction) {
        public Cell {
            userExpressions = Map.copyOf(userExpressions);
        }

        private Cell withCode(String other) {
            return new Cell(other, executionCount, silent, storeHistory, allowStdin, userExpressions, transaction);
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
                live.killLive();
            }), KILL_AFTER.toMillis(), TimeUnit.MILLISECONDS);
        }
        // Whoever is asked for input need not answer any more; the worker itself leaves its wait by the interrupt.
        inputs.settleAll(new Settlement.Canceled<>("interrupted"));
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
            live().ifPresent(WorkerProcess::endOthers);
        }
        remarks.get().forEach(execution.listener::note);
        var outcome = outcome(settlement, execution, killedForMemory);
        var exceeded = execution.listener.exceeded();
        exceeded.ifPresent(limit -> audit.accept(
                new Event.LimitHit(limit.key(), limit.value(profile.limits()), execution.count)));
        var withheld = outlet.takeWithheld();
        if (!withheld.isEmpty()) {
            audit.accept(new Event.OutputWithheld(execution.count, withheld));
        }
        switch (execution.rollback) {
            case Rollback.By(var policy, var to) when policy == Transaction.ROLLBACK_ALWAYS
                    || outcome instanceof Outcome.Failed || exceeded.isPresent() ->
                rollBack(to, execution.listener, outcome);
            case Rollback.By _,Rollback.Never _ -> execution.listener.settled(outcome);
        }
    }

    private void rollBack(Snapshots.Snapshot to, Metered listener, Outcome outcome) {
        boolean there;
        boolean kept;
        synchronized (this) {
            there = snapshots.present() == to.state();
            kept = snapshots.of(to.state()).isPresent();
        }
        if (there || !kept) {
            // The worker has died, and the outcome says what has become of its state.
            listener.settled(outcome);
            return;
        }
        var way = new Snapshots.Way(to, List.of());
        restore(way, "a cell is rolled back", problem -> {
            if (problem.isEmpty()) {
                listener.rolledBack();
            }
            listener.note(problem.orElseGet(() -> "rolled back. " + snapshots.describe(way)));
            listener.settled(outcome);
        });
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
                case Frame.Snapshot(var pid, var after) -> {
                    synchronized (Session.this) {
                        snapshots.made(pid, after).forEach(worker.orElseThrow()::drop);
                    }
                }
                case Frame.NoSnapshot(_, var reason) -> {
                    synchronized (Session.this) {
                        snapshots.refused(shortened(reason));
                    }
                }
                case Frame.Revived _ -> revived();
                case Frame.Died(var pid, _) -> {
                    synchronized (Session.this) {
                        snapshots.gone(pid);
                    }
                }
                case Frame.Resolve resolve -> resolved(resolve);
                case Frame.ShownError(var id, var ename, var evalue, var traceback, var ack) -> {
                    var error = advice.explain(new Outcome.Failed(ename, evalue, traceback, true),
                            live().filter(WorkerProcess::killedForMemory).isPresent());
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

        /// User code may have made it up.
        private String shortened(String reason) {
            String plain = reason.replaceAll("\\p{Cntrl}", " ");
            return plain.length() > MAX_REASON_CHARS ? plain.substring(0, MAX_REASON_CHARS) + "…" : plain;
        }

        @Override
        public Optional<Integer> died(End end) {
            synchronized (Session.this) {
                if (current.filter(this::equals).isEmpty() || closed) {
                    return Optional.empty();
                }
                greeted = false;
                unsent.clear();
                if (restoring.isEmpty()) {
                    if (!ranSinceRevival) {
                        // Of that state nothing comes that lives.
                        snapshots.of(snapshots.present()).ifPresent(snapshot -> {
                            snapshots.gone(snapshot.pid());
                            worker.ifPresent(process -> process.drop(snapshot.pid()));
                        });
                    }
                    var way = snapshots.from(running.isPresent() ? snapshots.before() : snapshots.present());
                    String cause = happened(end);
                    List<String> lost = promises.openIds();
                    restoring = way.map(to -> new Restoration(to, end.cause(), problem -> {
                        if (problem.isEmpty()) {
                            recovered(cause, to, lost);
                        }
                    }));
                    if (restoring.isPresent()) {
                        noteCause(end);
                    }
                }
                LOG.log(Level.INFO, () -> "the worker's process " + end.cause());
                return restoring.map(restoration -> restoration.way().to().pid());
            }
        }

        private void noteCause(End end) {
            if (end instanceof End.LimitExceeded(var limit)) {
                running.ifPresent(execution -> execution.listener.endedBy(limit));
            }
            if (end instanceof End.Violation(var message)) {
                audit.accept(new Event.ProtocolViolation(number, message));
            }
        }

        private void recovered(String cause, Snapshots.Way way, List<String> lost) {
            String told;
            synchronized (Session.this) {
                told = cause + " " + snapshots.describe(way);
                if (running.isEmpty()) {
                    untold = Optional.of(told);
                }
            }
            inputs.settleAll(new Settlement.Canceled<>("the worker's process is gone"));
            lost.forEach(id -> promises.settle(id, new Settlement.Canceled<>(told)));
        }

        private void revived() {
            Restoration restoration;
            synchronized (Session.this) {
                restoration = restoring.orElseThrow(() -> new FrameException("a revival that nobody wanted"));
                restoring = Optional.empty();
                ranSinceRevival = false;
                greeted = true;
                var missed = snapshots.restored(restoration.way().to());
                var process = worker.orElseThrow();
                if (!missed.isEmpty()) {
                    process.send(new Frame.Inputs(missed));
                }
                unsent.forEach(process::send);
                unsent.clear();
            }
            audit.accept(new Event.Revived(number, restoration.cause(), restoration.way().to().state().describe()));
            restoration.done().accept(Optional.empty());
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
            Optional<Restoration> failed;
            synchronized (Session.this) {
                if (current.filter(this::equals).isEmpty()) {
                    // A start that failed and was tried again since.
                    return;
                }
                worker = Optional.empty();
                greeted = false;
                unsent.clear();
                cause = describe(end);
                failed = restoring;
                restoring = Optional.empty();
                if (running.isEmpty() && !closed && !(end instanceof End.NotStarted)) {
                    untold = Optional.of(cause);
                }
                noteCause(end);
                // Those that are opened from here on are for the next worker.
                lost = promises.openIds();
                // A worker that could not start would hardly fare better at once; the next cell tries again.
                if (!closed && !(end instanceof End.NotStarted)) {
                    startWorker();
                }
            }
            LOG.log(closed ? Level.DEBUG : Level.WARNING, () -> "the worker " + end.cause());
            audit.accept(new Event.WorkerEnded(number, end.cause()));
            inputs.settleAll(new Settlement.Canceled<>("the worker is gone"));
            lost.forEach(id -> promises.settle(id, new Settlement.Canceled<>(cause)));
            failed.ifPresent(restoration -> restoration.done().accept(Optional.of(
                    "the snapshot could not be woken." + LOST)));
        }

        private String describe(End end) {
            if (end instanceof End.NotStarted) {
                return "the worker " + end.cause();
            }
            return happened(end) + LOST;
        }

        private String happened(End end) {
            if (running.isEmpty()) {
                return "the worker %s between two cells.".formatted(end.cause());
            }
            return running.filter(execution -> execution.killed).isPresent()
                    ? "the cell did not stop within %d s of the interrupt, so its worker was killed."
                            .formatted(KILL_AFTER.toSeconds())
                    : "the worker %s while it ran this cell.".formatted(end.cause());
        }
    }
}
