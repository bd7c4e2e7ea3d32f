package dev.capsule.session;

import dev.capsule.audit.Event;
import dev.capsule.checkpoint.Shelf;
import dev.capsule.frame.Frame;
import dev.capsule.log.Logs;
import dev.capsule.policy.Limit;
import dev.capsule.policy.Profile;
import dev.capsule.policy.Profile.Deadline;
import dev.capsule.promise.Settlement;
import dev.capsule.session.Execution.Rollback;
import dev.capsule.session.Execution.Task;
import dev.capsule.worker.End;
import dev.capsule.worker.WorkerProcess;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Supplier;

/// One language session. It outlives its worker: when one ends, a fresh one takes its place. Its main shell and each of its
/// subshells run one execution at a time; none blocks its caller, and what comes of an execution is told on the worker's
/// thread. A subshell is there once something is asked of it. Safe for several threads.
public final class Session {
    private static final Logger LOG = Logs.of(Session.class);

    static final Duration QUESTION_DEADLINE = Duration.ofSeconds(10);
    /// Who has typed a line waits for this; `jupyter console` does so for one second, and never asks again.
    private static final Duration IS_COMPLETE_DEADLINE = Duration.ofMillis(800);
    private static final Duration STOP_GRACE = Duration.ofSeconds(1);

    /// How long a shutdown may wait for its checkpoint.
    static final Duration KEEP_PATIENCE = Duration.ofSeconds(10);

    static final String LOST = " A fresh worker was started; variables, imports and functions of earlier cells are lost.";
    static final String NOT_REPLACED = " It has failed so often that no fresh one was started; variables, imports and"
            + " functions of earlier cells are lost.";

    private final WorkerProcess.Launches launches;
    private final Profile profile;
    private final Advice advice;
    private final Supplier<List<String>> remarks;
    private final Consumer<Event> audit;
    private final ScheduledExecutorService clock;
    private final Outlet outlet;
    private final CountDownLatch kept = new CountDownLatch(1);
    private final Checkpoints checkpoints;
    private final Commands commands;
    private final Debugging debugging;
    private volatile Consumer<Runnable> said = Runnable::run;

    // All below guarded by this.
    private Optional<Attendant> current = Optional.empty();
    private int workerCount;
    /// By subshell; empty for the main shell.
    private final Map<Optional<String>, Execution> running = new LinkedHashMap<>();
    private Optional<String> languageVersion = Optional.empty();
    private boolean closed;
    /// While the first cell has to wait for the variables of a checkpoint.
    private boolean opening;
    private final List<Runnable> waiting = new ArrayList<>();
    private Optional<String> keptAs = Optional.empty();
    /// What happened between two cells, to be told with the next.
    private Optional<String> untold = Optional.empty();
    private final Tally tally = new Tally(System::nanoTime);

    /// @param profile what its cells may use up, and what of their outputs leaves
    /// @param remarks what a person should know of what the last cell has done
    /// @param audit does not wait
    /// @param shelf where checkpoints are kept, if there is a place; may have to be waited for
    /// @param madeBy what the manifest of a checkpoint names
    /// @param clock runs deadlines and the steps of an interrupt
    public Session(WorkerProcess.Launches launches, Profile profile, Advice advice, Supplier<List<String>> remarks,
            Consumer<Event> audit, Supplier<Optional<Shelf>> shelf, String madeBy, ScheduledExecutorService clock) {
        this.launches = launches;
        this.profile = profile;
        this.advice = advice;
        outlet = new Outlet(profile);
        debugging = new Debugging(this, outlet);
        this.remarks = remarks;
        this.audit = audit;
        this.clock = clock;
        checkpoints = new Checkpoints(this, shelf, madeBy);
        commands = new Commands(this, checkpoints);
    }

    /// Starts the first worker, so that it is ready when the first cell comes; if that was not earlier.
    public synchronized void start() {
        if (!closed) {
            serving();
        }
    }

    /// Has the first cell find the variables of a checkpoint; until they are there, it waits. If they cannot be had, it is
    /// told why.
    ///
    /// @param nameOrPath a path where it has a slash
    public void startFrom(String nameOrPath) {
        start();
        synchronized (this) {
            opening = true;
        }
        checkpoints.restoreAny(nameOrPath, new Unseen((text, outcome) -> {
            List<Runnable> given;
            synchronized (this) {
                tellLater(switch (outcome) {
                    case Outcome.Succeeded _ -> text.strip();
                    case Outcome.Failed failed -> failed.evalue();
                });
                opening = false;
                given = List.copyOf(waiting);
                waiting.clear();
            }
            given.forEach(Runnable::run);
        }));
    }

    private Attendant startWorker() {
        return startWorker(launches);
    }

    private Attendant startWorker(WorkerProcess.Launches how) {
        var attendant = nextWorker();
        current = Optional.of(attendant);
        attendant.start(how);
        debugging.moved(attendant);
        return attendant;
    }

    private Attendant nextWorker() {
        return new Attendant(this, ++workerCount, current.map(last -> last.snapshots().lastCount()).orElse(0));
    }

    /// The worker that cells and questions are for. One that is gone is replaced, but not when the session is closed, nor
    /// when workers fail again and again.
    synchronized Attendant serving() {
        return current.filter(attendant -> closed || !attendant.isGone() || !tally.trusts())
                .orElseGet(this::startWorker);
    }

    /// The worker for a cell, which may try to start one when nothing else may.
    ///
    /// @return empty when that is to be tried later: the cell is told so, on another thread
    synchronized Optional<Attendant> serving(ExecutionListener listener) {
        var live = current.filter(attendant -> closed || !attendant.isGone());
        var refusal = live.isPresent() ? Optional.<String>empty() : tally.refusal();
        refusal.ifPresent(why -> clock.execute(
                () -> listener.settled(Outcome.Failed.because(Outcome.WORKER_DIED, why))));
        return refusal.isPresent() ? Optional.empty() : live.or(() -> Optional.of(startWorker()));
    }

    /// Guarded by this.
    Tally tally() {
        return tally;
    }

    /// Starts a fresh worker in place of the one that serves, when that has ended: without namespaces, the orphans of both
    /// would end with it.
    ///
    /// @param done called on another thread when it is gone
    synchronized void recycle(Runnable done) {
        tally.forgive();
        var old = current.flatMap(Attendant::worker);
        var gone = new CompletableFuture<Void>();
        startWorker(launches.after(gone));
        Thread.ofVirtual().name("recycle").start(() -> {
            try {
                old.ifPresent(worker -> worker.stop(STOP_GRACE));
            } finally {
                gone.complete(null);
            }
            done.run();
        });
    }

    /// Whether what becomes of this worker is of interest.
    boolean isServedBy(Attendant attendant) {
        return !closed && current.filter(attendant::equals).isPresent();
    }

    /// Guarded by this. That of the main shell comes first.
    List<Execution> running() {
        return running.values().stream().sorted(Comparator.comparing(execution -> execution.subshell.isPresent()))
                .toList();
    }

    /// Guarded by this.
    Optional<Execution> running(String id) {
        for (var execution : running.values()) {
            if (execution.id.equals(id)) {
                return Optional.of(execution);
            }
        }
        return Optional.empty();
    }

    ScheduledExecutorService clock() {
        return clock;
    }

    Profile profile() {
        return profile;
    }

    Outlet outlet() {
        return outlet;
    }

    Debugging debugging() {
        return debugging;
    }

    void audit(Event event) {
        audit.accept(event);
    }

    /// Runs a cell. Only when the one before is settled may the next be given to the same shell.
    public void execute(Cell cell, ExecutionListener listener) {
        var command = Command.parse(cell.code());
        synchronized (this) {
            if (opening) {
                waiting.add(() -> execute(cell, listener));
                return;
            }
            requireNoneRunning(cell.subshell());
            if (cell.storeHistory()) {
                serving().snapshots().given(cell.executionCount(), cell.code());
            }
        }
        if (cell.subshell().isPresent()) {
            commands.runBeside(command, cell, listener);
        } else if (command.isPresent()) {
            // On another thread: who gives a cell is told of it when that is done.
            clock.execute(() -> commands.run(command.get(), cell, listener));
        } else {
            commands.run(cell, listener);
        }
        // While it runs: who waits for it does not wait for this.
        audit.accept(new Event.Cell(cell.executionCount(), cell.code()));
    }

    /// Has the worker run a cell.
    synchronized void start(Cell cell, ExecutionListener listener, Rollback rollback) {
        serving(listener).ifPresent(attendant -> begin(attendant, Task.CELL, cell, listener, rollback, Optional.empty(),
                id -> to(cell.subshell(), new Frame.Execute(id, cell.request(), cell.executionCount(), cell.silent(),
                        cell.storeHistory(), cell.allowStdin(), cell.userExpressions(), cell.code()))));
    }

    /// Has the worker handle a front end's message to a comm, as it runs a cell: one at a time.
    ///
    /// @return whether it does; otherwise no such comm is open, or the profile has none, and the listener hears nothing
    public synchronized boolean comm(Optional<String> subshell, CommRequest request, ExecutionListener listener) {
        var attendant = serving();
        boolean known = request.kind() == CommMessage.Kind.OPEN || attendant.comms().has(request.commId());
        if (!known || !outlet.letsComms() || attendant.isGone() || opening) {
            LOG.log(Level.DEBUG, () -> "there is no comm " + request.commId());
            return false;
        }
        requireNoneRunning(subshell);
        attendant.comms().said(request.kind(), request.commId(), request.target());
        var unseen = new Cell(subshell, request.request(), "", 0, true, false, false, Map.of(), Optional.empty());
        begin(attendant, Task.COMM, unseen, listener, Rollback.NEVER, Optional.empty(),
                id -> to(subshell, request.frame(id)));
        return true;
    }

    /// The targets of the comms that are open, by their ids.
    ///
    /// @param target empty for those of every target
    public synchronized Map<String, String> comms(Optional<String> target) {
        return current.map(attendant -> attendant.comms().list(target)).orElse(Map.of());
    }

    private void requireNoneRunning(Optional<String> subshell) {
        var before = running.get(subshell);
        if (before != null) {
            throw new IllegalStateException("execution " + before.id + " is not settled");
        }
    }

    /// Has the worker end what it has of a subshell, of which nothing runs.
    public synchronized void endSubshell(String subshell) {
        current.ifPresent(attendant -> attendant.send(new Frame.EndSubshell(subshell)));
    }

    /// Has the worker do what is no cell's code.
    synchronized void start(Cell cell, ExecutionListener listener, Errand errand) {
        serving(listener).ifPresentOrElse(attendant -> begin(attendant, cell, listener, errand), errand::forget);
    }

    /// Has a fresh worker do what is no cell's code. The worker then takes the place of the one that serves; but if it
    /// fails, that goes on as if nothing had been.
    synchronized void startAfresh(Cell cell, ExecutionListener listener, Errand errand) {
        var fresh = nextWorker();
        fresh.start(launches);
        begin(fresh, cell, listener, errand);
    }

    private void begin(Attendant attendant, Cell cell, ExecutionListener listener, Errand errand) {
        begin(attendant, Task.CELL, cell, listener, Rollback.NEVER, Optional.of(errand), errand::request);
    }

    private void begin(Attendant attendant, Task task, Cell cell, ExecutionListener listener, Rollback rollback,
            Optional<Errand> errand, Function<String, Frame.ToWorker> request) {
        var subshell = cell.subshell();
        var metered = new Metered(listener, profile.limits().outputBytes(), advice);
        if (!cell.silent()) {
            untold.ifPresent(metered::note);
            untold = Optional.empty();
        }
        attendant.run(id -> {
            var execution = new Execution(id, subshell, task, cell.executionCount(), metered, rollback, errand,
                    attendant);
            metered.whenExceeded(() -> interrupt(execution));
            if (profile.limits().cellDeadline() instanceof Deadline.After(var time)) {
                execution.deadline = Optional.of(clock.schedule(() -> metered.exceed(Limit.CELL_DEADLINE),
                        time.toMillis(), TimeUnit.MILLISECONDS));
            }
            running.put(subshell, execution);
            return execution;
        }, cell.storeHistory() && errand.isEmpty() ? Optional.of(cell.executionCount()) : Optional.empty(),
                errand.map(Errand::title).orElseGet(() -> task == Task.COMM ? Task.COMM.title : cell.title()),
                request, settlement -> executionSettled(subshell, settlement));
    }

    /// @param subshell empty for the main shell
    /// @param request the front end's name for it, its `msg_id`
    /// @param transaction empty for the session's own
    /// @param storeHistory whether the code becomes part of the session's own `In` and `Out`
    public record Cell(Optional<String> subshell, String request, String code, int executionCount, boolean silent,
            boolean storeHistory,
            boolean allowStdin,
            Map<String, String> userExpressions, Optional<Transaction> transaction) {
        public Cell {
            userExpressions = Map.copyOf(userExpressions);
        }

        String title() {
            return storeHistory
                    ? "In [" + executionCount + "]"
                    : subshell.isPresent() ? "a cell of a subshell" : "a cell that was run silently";
        }

        Cell withCode(String other) {
            return new Cell(subshell, request, other, executionCount, silent, storeHistory, allowStdin, userExpressions,
                    transaction);
        }
    }

    /// @param subshell empty for the main shell; so in the other questions
    /// @param cursor in Unicode code points
    /// @param answer is given nothing when the worker cannot tell, or not in time; so in the other questions
    public void complete(Optional<String> subshell, String code, int cursor,
            Consumer<Optional<Answers.Completion>> answer) {
        ask(subshell, QUESTION_DEADLINE, id -> new Frame.Complete(id, cursor, code), answer,
                resolve -> new Answers.Completion(
                        resolve.fields().strings("matches"), resolve.fields().integer("start"),
                        resolve.fields().integer("end"),
                        resolve.fields().optionalStrings("types")));
    }

    /// @param cursor in Unicode code points
    /// @param detail 0, or 1 for the source too
    public void inspect(Optional<String> subshell, String code, int cursor, int detail,
            Consumer<Optional<Answers.Inspection>> answer) {
        ask(subshell, QUESTION_DEADLINE, id -> new Frame.Inspect(id, cursor, detail, code), answer,
                resolve -> new Answers.Inspection(resolve.fields().bool("found"),
                        outlet.display(resolve.fields().bundle(resolve.buffers()), Optional.empty())));
    }

    public void isComplete(Optional<String> subshell, String code, Consumer<Optional<Answers.Completeness>> answer) {
        ask(subshell, IS_COMPLETE_DEADLINE, id -> new Frame.IsComplete(id, code), answer,
                resolve -> new Answers.Completeness(
                        resolve.fields().string("status"), resolve.fields().optionalString("indent")));
    }

    private <T> void ask(Optional<String> subshell, Duration deadline, Function<String, Frame.ToShell> question,
            Consumer<Optional<T>> answer,
            Function<Frame.Resolve, T> reader) {
        synchronized (this) {
            var attendant = serving();
            if (attendant.isGone()) {
                clock.execute(() -> answer.accept(Optional.empty()));
                return;
            }
            var asked = new AtomicReference<String>();
            attendant.ask(deadline, id -> {
                asked.set(id);
                return to(subshell, question.apply(id));
            }, settlement -> {
                Optional<T> value = Optional.empty();
                try {
                    if (settlement instanceof Settlement.Resolved<Frame.Resolve>(var resolve)) {
                        value = Optional.of(reader.apply(resolve));
                    }
                } finally {
                    answer.accept(value);
                    if (settlement instanceof Settlement.TimedOut) {
                        giveUp(attendant, Objects.requireNonNull(asked.get()));
                    } else if (subshell.isPresent()) {
                        rests(attendant);
                    }
                }
            });
        }
    }

    /// The worker would go on with it for ever, perhaps, before it answers another or makes a snapshot.
    private synchronized void giveUp(Attendant attendant, String question) {
        attendant.send(new Frame.Cancel(question));
    }

    private synchronized void rests(Attendant attendant) {
        attendant.rests();
    }

    private static Frame.ToWorker to(Optional<String> subshell, Frame.ToShell request) {
        return subshell.<Frame.ToWorker>map(name -> new Frame.InSubshell(name, request)).orElse(request);
    }

    /// Asks the debugger, whatever a cell does.
    public void debug(DebugRequest request, Consumer<Answers.Debugged> answer) {
        synchronized (this) {
            var attendant = serving();
            if (attendant.isGone()) {
                clock.execute(() -> answer.accept(new Answers.Debugged.Failed("there is no worker")));
            } else {
                debugging.ask(attendant, request, answer);
            }
        }
    }

    /// @param around is given what tells listeners of all that a worker has said at once, and has to run it
    public void whenSaid(Consumer<Runnable> around) {
        said = around;
    }

    /// Tells of it, on the worker's thread.
    void said(Runnable telling) {
        said.accept(telling);
    }

    /// @param listener is given the debugger's events, JSON objects; may wait
    public void whenDebugged(Consumer<byte[]> listener) {
        debugging.listen(listener);
    }

    /// Interrupts the running executions of all shells: cancels each, and if it goes on, signals the worker from outside and
    /// then kills it
    /// ([Profile.Interrupt]). Does nothing when none runs. Returns at once.
    public void interrupt() {
        List<Execution> executions;
        synchronized (this) {
            executions = running();
        }
        executions.forEach(this::interrupt);
    }

    /// Interrupts what runs in one subshell.
    public void interrupt(String subshell) {
        Optional<Execution> execution;
        synchronized (this) {
            execution = Optional.ofNullable(running.get(Optional.of(subshell)));
        }
        execution.ifPresent(this::interrupt);
    }

    void interrupt(Execution execution) {
        synchronized (this) {
            if (!isRunning(execution)) {
                return;
            }
            execution.attendant.send(new Frame.Cancel(execution.id));
            if (execution.interrupted) {
                return;
            }
            execution.interrupted = true;
            var steps = profile.interrupt();
            Future<?> _ = clock.schedule(() -> whileRunning(execution, live -> {
                if (execution.subshell.isPresent()) {
                    // A signal is heard by the main shell's cell, which may be none of this.
                    live.send(new Frame.Cancel(execution.id));
                } else {
                    execution.signalled = true;
                    live.interruptFromOutside();
                }
            }), steps.signalAfter().toMillis(), TimeUnit.MILLISECONDS);
            Future<?> _ = clock.schedule(() -> whileRunning(execution, live -> {
                LOG.log(Level.INFO,
                        () -> "killing the worker: it has not stopped " + steps.killAfter() + " after an interrupt");
                execution.killed = true;
                audit.accept(new Event.Killed(execution.attendant.number(),
                        "interrupted, and still running " + steps.killAfter() + " later"));
                live.killLive();
            }), steps.killAfter().toMillis(), TimeUnit.MILLISECONDS);
        }
        // The worker itself leaves its wait by the interrupt.
        execution.attendant.withdrawInputs(execution);
    }

    private boolean isRunning(Execution execution) {
        return execution.equals(running.get(execution.subshell));
    }

    private synchronized void whileRunning(Execution execution, Consumer<WorkerProcess> step) {
        if (isRunning(execution)) {
            execution.attendant.worker().ifPresent(step);
        }
    }

    /// What the worker uses now; empty when there is none. Reads files for some milliseconds; does not wait for the worker.
    public Optional<Answers.Usage> usage() {
        Optional<WorkerProcess> worker;
        synchronized (this) {
            worker = current.flatMap(Attendant::worker);
        }
        var limits = profile.limits();
        return worker.flatMap(WorkerProcess::usage).map(usage -> new Answers.Usage(usage.memoryBytes(),
                limits.memoryBytes(), usage.cpu(), usage.processes(), limits.processes()));
    }

    /// The version of the language, once a worker has told it.
    public synchronized Optional<String> languageVersion() {
        return languageVersion;
    }

    /// A worker says what it is.
    synchronized void greeted(String version) {
        languageVersion = Optional.of(version);
    }

    /// With the next cell.
    synchronized void tellLater(String text) {
        untold = Optional.of(text);
    }

    /// A worker is gone; its promises are still open.
    synchronized void ended(Attendant attendant, End end, String cause) {
        LOG.log(isServedBy(attendant) ? Level.WARNING : Level.DEBUG, () -> "the worker " + end.cause());
        if (!isServedBy(attendant) || end instanceof End.NotStarted) {
            // One that could not start would hardly fare better at once; the next cell tries again.
            return;
        }
        debugging.lost();
        if (running.isEmpty()) {
            untold = Optional.of(cause);
        }
        if (tally.trusts()) {
            startWorker();
        }
    }

    /// Has [#shutdownRequested] take a checkpoint of this name.
    public synchronized void keepOnShutdown(String name) {
        keptAs = Optional.of(name);
    }

    /// Takes the checkpoint that is to be taken, if any; none while a cell runs. Returns after [#KEEP_PATIENCE] at the
    /// latest, or when it is told to [#hurry].
    public void shutdownRequested() {
        String name;
        synchronized (this) {
            if (keptAs.isEmpty()) {
                return;
            }
            name = keptAs.get();
            if (!running.isEmpty() || opening) {
                LOG.log(Level.WARNING, () -> "no checkpoint \"%s\" is taken: a cell is running".formatted(name));
                return;
            }
        }
        checkpoints.save(name, Checkpoints.NO_CELL, new Unseen((text, outcome) -> {
            LOG.log(Level.INFO, () -> outcome instanceof Outcome.Failed failed ? failed.evalue() : text.strip());
            kept.countDown();
        }));
        try {
            if (!kept.await(KEEP_PATIENCE.toMillis(), TimeUnit.MILLISECONDS)) {
                LOG.log(Level.WARNING, () -> "no checkpoint \"%s\" is taken: it took longer than %d s".formatted(name,
                        KEEP_PATIENCE.toSeconds()));
            }
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    /// Whoever waits for a checkpoint to be taken waits no more.
    public void hurry() {
        kept.countDown();
    }

    /// Ends the worker and everything it started; returns when they are gone.
    public void close() {
        var live = new LinkedHashSet<WorkerProcess>();
        boolean busy;
        synchronized (this) {
            closed = true;
            // Nobody is to start one any more.
            current = current.or(() -> Optional.of(nextWorker()));
            current.flatMap(Attendant::worker).ifPresent(live::add);
            running.values().forEach(execution -> execution.attendant.worker().ifPresent(live::add));
            busy = !running.isEmpty();
        }
        live.forEach(process -> process.stop(busy ? Duration.ZERO : STOP_GRACE));
    }

    private void executionSettled(Optional<String> subshell, Settlement<Frame.Resolve> settlement) {
        Execution execution;
        Optional<WorkerProcess> worker;
        synchronized (this) {
            execution = Objects.requireNonNull(running.remove(subshell));
            execution.deadline.ifPresent(due -> due.cancel(false));
            execution.attendant.rests(execution);
            worker = execution.attendant.worker();
            if (settlement instanceof Settlement.Resolved || settlement instanceof Settlement.Rejected) {
                tally.forgive();
                if (execution.signalled) {
                    execution.listener
                            .note("%s did not stop by itself when it was interrupted; after %d s its worker "
                                    .formatted(execution.task.title, profile.interrupt().signalAfter().toSeconds())
                                    + "was signalled from outside");
                }
            }
        }
        if (execution.listener.isBomb()) {
            worker.ifPresent(WorkerProcess::endOthers);
        }
        remarks.get().forEach(execution.listener::note);
        var outcome = outcome(settlement, execution);
        if (execution.errand.isPresent()) {
            succeed(execution.attendant, outcome instanceof Outcome.Succeeded);
        }
        var exceeded = execution.listener.exceeded();
        exceeded.ifPresent(limit -> audit.accept(
                new Event.LimitHit(limit.key(), limit.value(profile.limits()), execution.count)));
        var withheld = outlet.takeWithheld();
        if (!withheld.isEmpty()) {
            audit.accept(new Event.OutputWithheld(execution.count, withheld));
            Outlet.unseenComm(withheld).ifPresent(what -> execution.listener.note(outlet.note(what)));
        }
        if (execution.task == Task.COMM && settlement instanceof Settlement.Canceled<Frame.Resolve>(var reason)) {
            // Front ends hardly show what comes of a comm.
            tellLater(reason);
        }
        switch (execution.rollback) {
            case Rollback.By(var policy, var to) when policy == Transaction.ROLLBACK_ALWAYS
                    || outcome instanceof Outcome.Failed || exceeded.isPresent() ->
                commands.rollBack(execution, to, outcome);
            case Rollback.By _,Rollback.Never _ -> execution.listener.settled(outcome);
        }
    }

    /// A worker has done its errand. If it is a fresh one, it takes the place of the one that serves, or ends.
    private void succeed(Attendant fresh, boolean serves) {
        Optional<WorkerProcess> other;
        synchronized (this) {
            if (isServedBy(fresh) || closed) {
                return;
            }
            other = serves ? current.flatMap(Attendant::worker) : fresh.worker();
            if (serves) {
                current = Optional.of(fresh);
                debugging.moved(fresh);
            }
        }
        other.ifPresent(WorkerProcess::kill);
    }

    private Outcome outcome(Settlement<Frame.Resolve> settlement, Execution execution) {
        try {
            return outcomeOf(settlement, execution);
        } catch (RuntimeException | Error e) {
            // Of ours, or for want of memory; whoever waits for the execution must hear of its end all the same.
            LOG.log(Level.ERROR, "what came of an execution", e);
            return Outcome.Failed.because("InternalError", e.toString());
        }
    }

    private Outcome outcomeOf(Settlement<Frame.Resolve> settlement, Execution execution) {
        var outcome = execution.errand.isPresent() && settlement instanceof Settlement.Resolved
                ? Outcome.Succeeded.EMPTY
                : cellOutcome(settlement, execution);
        var failure = Optional.of(outcome).filter(Outcome.Failed.class::isInstance).map(Outcome.Failed.class::cast)
                .or(() -> execution.listener.exceeded()
                        .map(limit -> Outcome.Failed.because("LimitError", limit.key() + " was exceeded")));
        return execution.errand.map(errand -> {
            var end = errand.end(failure, text -> execution.listener.stream(Frame.Stream.STDOUT.wireName(),
                    text.getBytes(StandardCharsets.UTF_8)));
            audit.accept(new Event.Checkpoint(errand.title(), end instanceof Outcome.Succeeded));
            return end;
        }).orElse(outcome);
    }

    private Outcome cellOutcome(Settlement<Frame.Resolve> settlement, Execution execution) {
        return switch (settlement) {
            case Settlement.Resolved<Frame.Resolve>(var resolve) -> {
                var payload = outlet.payload(resolve.buffers().getLast());
                payload.shown().forEach(execution.listener::display);
                yield new Outcome.Succeeded(outlet.userExpressions(resolve.buffers().getFirst()), payload.json());
            }
            case Settlement.Rejected<Frame.Resolve>(var failure) ->
                explain(new Outcome.Failed(failure.ename(), failure.evalue(), failure.traceback(),
                        execution.errorShown), execution.attendant);
            case Settlement.Canceled<Frame.Resolve>(var reason) -> Outcome.Failed.because(Outcome.WORKER_DIED, reason);
            case Settlement.TimedOut<Frame.Resolve>() ->
                Outcome.Failed.because("TimeoutError", "the cell took too long");
        };
    }

    /// Adds to a failure what a person may want to know of its cause.
    Outcome.Failed explain(Outcome.Failed failure, Attendant attendant) {
        Optional<WorkerProcess> worker;
        synchronized (this) {
            worker = attendant.worker();
        }
        return advice.explain(failure, () -> worker.filter(WorkerProcess::killedForMemory).isPresent());
    }
}
