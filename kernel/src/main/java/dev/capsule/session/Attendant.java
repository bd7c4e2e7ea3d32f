package dev.capsule.session;

import dev.capsule.audit.Event;
import dev.capsule.frame.Frame;
import dev.capsule.frame.FrameException;
import dev.capsule.log.Logs;
import dev.capsule.policy.Limit;
import dev.capsule.promise.Failure;
import dev.capsule.promise.Promises;
import dev.capsule.promise.Settlement;
import dev.capsule.worker.End;
import dev.capsule.worker.WorkerProcess;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Function;

/// One worker as its session knows it: what it was asked and says, and which states it can go back to. The worker speaks
/// on a thread of its own; all else is guarded by the session.
final class Attendant implements WorkerProcess.Listener {
    private static final Logger LOG = Logs.of(Attendant.class);

    private static final int MAX_REASON_CHARS = 200;

    /// Executions whose late output still finds its cell.
    private static final int REMEMBERED_EXECUTIONS = 1_000;

    private final Session session;
    private final int number;
    private final Promises<Frame.Resolve> promises;
    private final Promises<String> inputs;

    // All below guarded by the session.
    private Optional<WorkerProcess> worker = Optional.empty();
    private boolean gone;
    private boolean greeted;
    private final List<Frame.ToWorker> unsent = new ArrayList<>();
    private Optional<Execution> last = Optional.empty();
    private Optional<Execution> lastCell = Optional.empty();
    private final Map<String, Execution> cells = Bounded.map(REMEMBERED_EXECUTIONS);
    /// Apart, since a slider that is moved makes hundreds.
    private final Map<String, Execution> handlings = Bounded.map(REMEMBERED_EXECUTIONS);
    private final OpenComms comms = new OpenComms();
    private final Snapshots snapshots;
    /// While a snapshot is to serve, until it does.
    private Optional<Restoration> restoring = Optional.empty();
    private boolean ranSinceRevival;

    // Of the worker's thread.
    private final long startedAtNanos = System.nanoTime();
    private boolean ready;

    /// @param otherwise from which state to look for another way, should nothing come of this one
    /// @param fellBack whether that was so once
    /// @param cause why the process before it has ended
    /// @param death empty when it was ended to go that way
    /// @param left what was asked of a process that was ended to go that way, and has come to nothing
    /// @param done told nothing when the snapshot serves that was meant, or else why not
    private record Restoration(Snapshots.Way way, Snapshots.State otherwise, boolean fellBack, String cause,
            Optional<Death> death, List<String> left, Consumer<Optional<String>> done) {
        Restoration by(Snapshots.Way other) {
            return new Restoration(other, otherwise, true, cause, death, left, done);
        }

        Restoration leaving(List<String> open) {
            return new Restoration(way, otherwise, fellBack, cause, death, open, done);
        }
    }

    /// @param told what a person reads of it
    /// @param lost what was asked of the process
    private record Death(String told, List<String> lost) {}

    /// @param number tells the worker from earlier ones; from 1 on
    /// @param lastCount the highest that a cell had before
    Attendant(Session session, int number, int lastCount) {
        this.session = session;
        this.number = number;
        snapshots = new Snapshots(lastCount);
        promises = new Promises<>("k" + number + ".", session.clock());
        inputs = new Promises<>("", session.clock());
    }

    /// Starts the worker; once.
    void start(WorkerProcess.Launches launches) {
        try {
            worker = Optional.of(WorkerProcess.start(number, launches, this));
        } catch (IOException e) {
            session.clock().execute(() -> ended(new End.NotStarted(e.toString())));
        }
    }

    int number() {
        return number;
    }

    /// Whether nothing will come of what it is asked.
    boolean isGone() {
        return gone;
    }

    Optional<WorkerProcess> worker() {
        return worker;
    }

    Snapshots snapshots() {
        return snapshots;
    }

    OpenComms comms() {
        return comms;
    }

    /// Asks the worker, as soon as it listens.
    ///
    /// @param question made of the promise's id
    /// @param whenSettled called on the thread that settles
    void ask(Duration timeout, Function<String, Frame.ToWorker> question,
            Consumer<Settlement<Frame.Resolve>> whenSettled) {
        open(promises.create(Optional.of(timeout), whenSettled).id(), question);
    }

    /// Sends what opens a promise. When that cannot be sent, for which the memory may not suffice, the promise is rejected:
    /// on another thread, since who asks is told of an answer when it has asked.
    private void open(String id, Function<String, Frame.ToWorker> request) {
        try {
            send(request.apply(id));
        } catch (RuntimeException | Error e) {
            LOG.log(Level.ERROR, "asking a worker", e);
            session.clock().execute(() -> promises.settle(id,
                    new Settlement.Rejected<>(new Failure("InternalError", e.toString(), List.of()))));
        }
    }

    /// Has the worker run a cell.
    ///
    /// @param execution made of its id, as is the request
    /// @param count empty for what is not to be taken back as a cell
    /// @param title of it, as messages name it
    /// @param whenSettled called on the thread that settles
    void run(Function<String, Execution> execution, Optional<Integer> count, String title,
            Function<String, Frame.ToWorker> request, Consumer<Settlement<Frame.Resolve>> whenSettled) {
        String id = promises.create(Optional.empty(), whenSettled).id();
        var begun = execution.apply(id);
        snapshots.runs(id, count, title);
        ranSinceRevival = true;
        // Nobody can tell whose raw output is: it is taken for the main shell's.
        if (begun.subshell.isEmpty() || last.isEmpty()) {
            last = Optional.of(begun);
        }
        switch (begun.task) {
            case CELL -> {
                lastCell = begun.subshell.isEmpty() || lastCell.isEmpty() ? Optional.of(begun) : lastCell;
                cells.put(id, begun);
            }
            case COMM -> handlings.put(id, begun);
        }
        open(id, request);
    }

    /// An execution is over. Output of which nobody can tell whose it is belongs to the last cell, where people see it.
    void rests(Execution execution) {
        snapshots.settled(execution.id);
        if (execution.subshell.isEmpty()) {
            last = lastCell.or(() -> last);
        } else {
            rests();
        }
    }

    /// A subshell has nothing to do any more. While it had, no snapshot could be made.
    void rests() {
        if (greeted && running().isEmpty()) {
            send(new Frame.Rest());
        }
    }

    /// To the worker, as soon as it listens.
    void send(Frame.ToWorker frame) {
        if (greeted) {
            worker.ifPresent(live -> live.send(frame));
        } else {
            unsent.add(frame);
        }
    }

    /// Whoever is asked for input by an execution need not answer any more.
    void withdrawInputs(Execution execution) {
        List<String> open;
        synchronized (session) {
            open = execution.inputs();
        }
        open.forEach(id -> inputs.settle(id, new Settlement.Canceled<>("interrupted")));
    }

    /// Ends the live process and has a snapshot take its place.
    ///
    /// @param cause of that end
    /// @param done told nothing when the snapshot serves, or else why it does not
    void restore(Snapshots.Way way, String cause, Consumer<Optional<String>> done) {
        if (gone) {
            session.clock().execute(() -> done.accept(Optional.of("the worker has just ended." + Session.LOST)));
            return;
        }
        restoring = Optional.of(
                new Restoration(way, snapshots.present(), false, cause, Optional.empty(), List.of(), done));
        worker.ifPresent(WorkerProcess::killLive);
    }

    private List<Execution> running() {
        return session.running().stream().filter(execution -> execution.attendant == this).toList();
    }

    private Optional<Execution> running(String id) {
        return session.running(id).filter(execution -> execution.attendant == this);
    }

    /// The one that messages are about.
    private Optional<Execution> foremost() {
        return running().stream().min(Comparator.comparing(execution -> execution.task));
    }

    @Override
    public void said(Runnable telling) {
        session.said(telling);
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
                active(id).listener.result(session.outlet().display(bundle, Optional.empty()));
                acknowledge(id, ack);
            }
            case Frame.Display(var id, var bundle, var displayId, var ack) -> {
                emitter(id).listener.display(session.outlet().display(bundle, displayId));
                acknowledge(id, ack);
            }
            case Frame.UpdateDisplay(var id, var bundle, var displayId, var ack) -> {
                emitter(id).listener.updateDisplay(session.outlet().display(bundle, Optional.of(displayId)));
                acknowledge(id, ack);
            }
            case Frame.ClearOutput(var id, var waits, var ack) -> {
                emitter(id).listener.clearOutput(waits);
                acknowledge(id, ack);
            }
            case Frame.Comm comm -> {
                said(comm);
                acknowledge(comm.id(), comm.ack());
            }
            case Frame.LateStream(var id, var stream, var text) ->
                emitter(id).listener.stream(stream.wireName(), text);
            case Frame.Input input -> ask(input);
            case Frame.Part part -> {
                var execution = active(part.id());
                if (!errand(execution).part(part)) {
                    session.interrupt(execution);
                }
            }
            case Frame.Fetch fetch -> {
                var supply = errand(active(fetch.id())).fetch(fetch);
                synchronized (session) {
                    worker.orElseThrow().send(supply);
                }
            }
            case Frame.Snapshot(var pid, var after) -> {
                synchronized (session) {
                    snapshots.made(pid, after).forEach(worker.orElseThrow()::drop);
                }
            }
            case Frame.NoSnapshot(_, var reason) -> {
                synchronized (session) {
                    snapshots.refused(shortened(reason));
                }
            }
            case Frame.DebugEvent(var message) -> session.debugging().tell(message.json());
            case Frame.Revived(_, var open, var cut) -> revived(open, cut);
            case Frame.Died(var pid, _) -> {
                synchronized (session) {
                    snapshots.gone(pid);
                }
            }
            case Frame.Resolve resolve -> resolved(resolve);
            case Frame.ShownError(var id, var ename, var evalue, var traceback, var ack) -> {
                var error = session.explain(new Outcome.Failed(ename, evalue, traceback, true), this);
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
        synchronized (session) {
            session.greeted(hello.languageVersion());
            listens(worker.orElseThrow());
        }
    }

    private void listens(WorkerProcess process) {
        greeted = true;
        unsent.forEach(process::send);
        unsent.clear();
    }

    /// The execution that is running, which must have this id.
    private Execution active(String id) {
        synchronized (session) {
            return running(id).orElseThrow(
                    () -> new FrameException("frame for the execution " + id + ", which is not running"));
        }
    }

    /// The execution with this id; late output of one that is long forgotten goes to the last.
    private Execution emitter(String id) {
        synchronized (session) {
            return Optional.ofNullable(cells.get(id)).or(() -> Optional.ofNullable(handlings.get(id)))
                    // One that runs for long may be older than all that are remembered.
                    .or(() -> running(id))
                    .or(() -> last.filter(_ -> promises.issued(id)))
                    .orElseThrow(() -> new FrameException("frame for the execution " + id + ", which never was"));
        }
    }

    private static Errand errand(Execution execution) {
        return execution.errand.orElseThrow(() -> new FrameException("a part of a checkpoint that nobody wants"));
    }

    private void said(Frame.Comm comm) {
        var execution = emitter(comm.id());
        if (session.outlet().releases(comm)) {
            var message = CommMessage.of(comm);
            synchronized (session) {
                comms.said(message.kind(), message.commId(), message.target());
            }
            execution.listener.comm(message);
        }
    }

    private void acknowledge(String id, boolean wanted) {
        if (wanted) {
            synchronized (session) {
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
            synchronized (session) {
                execution.asks(input.id());
            }
            inputs.create(input.id(), Optional.empty(), settlement -> answer(input.id(), settlement));
        } catch (IllegalStateException e) {
            throw new FrameException("input id " + input.id() + " is in use", e);
        }
        execution.listener.input(new InputRequest(input.id(), input.prompt(), input.password(), inputs));
    }

    private void answer(String id, Settlement<String> settlement) {
        var frame = switch (settlement) {
            case Settlement.Resolved<String>(var value) -> new Frame.Answer(id, value);
            case Settlement.Rejected<String>(var failure) -> new Frame.Refuse(id, failure.ename(), failure.evalue());
            case Settlement.Canceled<String>(var reason) -> new Frame.Refuse(id, "KeyboardInterrupt", reason);
            case Settlement.TimedOut<String>() -> new Frame.Refuse(id, "TimeoutError", "nobody answered in time");
        };
        synchronized (session) {
            worker.ifPresent(live -> {
                try {
                    live.send(frame);
                } catch (FrameException e) {
                    live.send(
                            new Frame.Refuse(id, "ValueError", "the answer is too long (%s); put it into a file in the"
                                    .formatted(e.getMessage()) + " notebook's directory, and have the cell read that"));
                }
            });
        }
    }

    private void resolved(Frame.Resolve resolve) {
        if (isRunning(resolve.id())) {
            active(resolve.id()).errand.ifPresentOrElse(errand -> errand.resolved(resolve), resolve::checkExecution);
        }
        settle(resolve.id(), new Settlement.Resolved<>(resolve));
    }

    private boolean isRunning(String id) {
        synchronized (session) {
            return running(id).isPresent();
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
        synchronized (session) {
            owner = last;
        }
        owner.ifPresent(execution -> execution.listener.stream(stream.wireName(), text));
    }

    /// User code may have made it up.
    private static String shortened(String reason) {
        String plain = reason.replaceAll("\\p{Cntrl}", " ");
        return plain.length() > MAX_REASON_CHARS ? plain.substring(0, MAX_REASON_CHARS) + "…" : plain;
    }

    @Override
    public void exceeded(Limit limit) {
        // Whose doing it is cannot be told when several run.
        runningNow().forEach(execution -> execution.listener.exceed(limit));
    }

    @Override
    public void curtailed(Limit limit) {
        runningNow().forEach(execution -> execution.listener.curtailed(limit));
    }

    private List<Execution> runningNow() {
        synchronized (session) {
            return running();
        }
    }

    @Override
    public Optional<Integer> died(End end) {
        synchronized (session) {
            if (!session.isServedBy(this)) {
                return Optional.empty();
            }
            greeted = false;
            unsent.clear();
            session.debugging().lost();
            if (restoring.isEmpty()) {
                if (!ranSinceRevival) {
                    // Of that state nothing comes that lives.
                    snapshots.of(snapshots.present()).ifPresent(snapshot -> {
                        snapshots.gone(snapshot.pid());
                        worker.ifPresent(process -> process.drop(snapshot.pid()));
                    });
                }
                var death = new Death(happened(end), promises.openIds());
                var wanted = snapshots.present();
                restoring = snapshots.from(wanted).map(way -> new Restoration(way, wanted, false, causeOf(end),
                        Optional.of(death), List.of(), _ -> {}));
                if (restoring.isPresent()) {
                    noteCause(end);
                }
            } else {
                restoring = restoring.map(restoration -> restoration.leaving(promises.openIds()));
            }
            LOG.log(Level.INFO, () -> "the worker's process " + end.cause());
            return restoring.map(restoration -> restoration.way().to().pid());
        }
    }

    @Override
    public Optional<Integer> sleepsOn(int snapshot) {
        synchronized (session) {
            snapshots.gone(snapshot);
            var other = restoring.flatMap(failed -> snapshots.from(failed.otherwise()).map(failed::by));
            if (other.isPresent()) {
                restoring = other;
            }
            return other.map(restoration -> restoration.way().to().pid());
        }
    }

    private void noteCause(End end) {
        if (end instanceof End.LimitExceeded(var limit)) {
            running().forEach(execution -> execution.listener.endedBy(limit));
        }
        if (end instanceof End.Violation(var message)) {
            session.audit(new Event.ProtocolViolation(number, message));
        }
    }

    private void recovered(Restoration restoration, Death death, String where) {
        String told = death.told() + " " + where;
        synchronized (session) {
            tally(restoration.cause(), !running().isEmpty(),
                    "state restored, as it was " + restoration.way().to().state().describe());
            if (running().isEmpty()) {
                session.tellLater(told);
            }
        }
        cancel(death.lost(), told);
    }

    private void cancel(List<String> lost, String reason) {
        inputs.settleAll(new Settlement.Canceled<>("the worker's process is gone"));
        lost.forEach(id -> promises.settle(id, new Settlement.Canceled<>(reason)));
    }

    private void revived(Map<String, String> open, int cut) {
        Restoration restoration;
        String where;
        synchronized (session) {
            restoration = restoring.orElseThrow(() -> new FrameException("a revival that nobody wanted"));
            restoring = Optional.empty();
            ranSinceRevival = false;
            if (session.outlet().letsComms()) {
                comms.replace(open);
            }
            var missed = snapshots.restored(restoration.way().to(), cut);
            where = snapshots.describe(restoration.way());
            var process = worker.orElseThrow();
            if (!missed.isEmpty()) {
                process.send(new Frame.Inputs(missed));
            }
            listens(process);
            session.debugging().moved(this);
        }
        session.audit(new Event.Revived(number, restoration.cause(), restoration.way().to().state().describe()));
        restoration.death().ifPresent(death -> recovered(restoration, death, where));
        cancel(restoration.left(), "cells were taken back while this was running, so its process was ended.");
        restoration.done().accept(restoration.fellBack()
                ? Optional.of("the snapshot could not be woken. " + where)
                : Optional.empty());
    }

    @Override
    public void ended(End end) {
        String cause;
        List<String> lost;
        Optional<Restoration> failed;
        synchronized (session) {
            gone = true;
            worker = Optional.empty();
            greeted = false;
            unsent.clear();
            failed = restoring;
            restoring = Optional.empty();
            if (session.isServedBy(this)) {
                tally(failed.map(restoration -> "could not be revived (%s)".formatted(restoration.cause()))
                        .orElseGet(() -> causeOf(end)), !running().isEmpty() && ready && failed.isEmpty(),
                        ready ? "state lost" : "nothing lost");
            }
            snapshots.clear();
            cause = describe(end);
            noteCause(end);
            // Those that are opened from here on are for the next worker.
            lost = promises.openIds();
            session.ended(this, end, cause);
        }
        session.audit(new Event.WorkerEnded(number, end.cause()));
        cancel(lost, cause);
        failed.ifPresent(restoration -> restoration.done().accept(Optional.of(
                "the snapshot could not be woken." + Session.LOST)));
    }

    private String describe(End end) {
        if (end instanceof End.NotStarted) {
            return "the worker " + end.cause();
        }
        if (!session.isServedBy(this)) {
            return happened(end);
        }
        return happened(end) + (session.tally().trusts() ? Session.LOST : Session.NOT_REPLACED);
    }

    /// @param atWork whether it is the doing of the cell that runs
    private void tally(String cause, boolean atWork, String sequel) {
        session.tally().died(foremost().filter(_ -> ready).map(execution -> switch (execution.task) {
            case CELL -> execution.subshell.isEmpty() ? "In [%s]".formatted(execution.count) : "a cell of a subshell";
            case COMM -> execution.task.title;
        })
                .orElse(ready ? "between cells" : "at its start"), cause, sequel);
        if (!atWork) {
            session.tally().failed(cause);
        }
    }

    private String causeOf(End end) {
        return running().stream().filter(execution -> execution.killed).findFirst()
                .map(execution -> "was killed, since %s did not stop within %d s of the interrupt"
                        .formatted(execution.task.title, killAfterSeconds()))
                .orElseGet(end::cause);
    }

    private long killAfterSeconds() {
        return session.profile().interrupt().killAfter().toSeconds();
    }

    private String happened(End end) {
        return foremost().map(execution -> running().stream().anyMatch(each -> each.killed)
                ? "%s did not stop within %d s of the interrupt, so its worker was killed."
                        .formatted(execution.task.title, killAfterSeconds())
                : "the worker %s while it %s%s.".formatted(end.cause(), execution.task.doing,
                        end instanceof End.Unsupervised ? ", or just before" : ""))
                .orElseGet(() -> "the worker %s between two cells.".formatted(end.cause()));
    }
}
