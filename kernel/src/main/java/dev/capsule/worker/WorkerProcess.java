package dev.capsule.worker;

import dev.capsule.frame.Encoding;
import dev.capsule.frame.Frame;
import dev.capsule.frame.FrameCodec;
import dev.capsule.frame.FrameDecoder;
import dev.capsule.frame.FrameException;
import dev.capsule.log.Logs;
import dev.capsule.policy.LeakyBucket;
import dev.capsule.policy.Limit;
import dev.capsule.sandbox.Launch;
import dev.capsule.sandbox.Quota;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicLong;

/// One worker process and the pipes to it (`worker/PROTOCOL.md`, section 1). A thread of its own, `worker-N`, reads
/// everything that the process writes and calls the [Listener]; the other methods may be called from any thread and
/// never wait for the process.
public final class WorkerProcess {
    private static final Logger LOG = Logs.of(WorkerProcess.class);

    /// Output that comes in quick succession is handed on this often.
    private static final long BATCH_NANOS = TimeUnit.MILLISECONDS.toNanos(10);

    /// After a piece of output this large the writer is fast, and waiting would stop it at a full pipe.
    private static final int BURST_BYTES = 128 << 10;
    private static final long BURST_BATCH_NANOS = TimeUnit.MILLISECONDS.toNanos(1);

    /// Output is handed on in pieces of about this size at the most.
    private static final int PIECE_BYTES = 512 << 10;

    /// A worker that wrote more than this between two ticks is told to buffer in blocks.
    private static final int BLOCK_BUFFERING_BYTES = 4_096;
    private static final long SHORTEST_TICK_NANOS = TimeUnit.MILLISECONDS.toNanos(10);
    private static final long LONGEST_TICK_NANOS = TimeUnit.MILLISECONDS.toNanos(100);

    /// A worker that does something is looked at this often; what it leaves running, the watchdog follows by itself.
    private static final long LOOK_NANOS = TimeUnit.MILLISECONDS.toNanos(100);

    /// For this long after a cell the thread looks for the next one by itself; later it has to be woken.
    private static final long LINGER_NANOS = TimeUnit.SECONDS.toNanos(1);

    // What the thread waits for: places in its poll set.
    private static final int FRAMES_SLOT = 0;
    private static final int STDOUT_SLOT = 1;
    private static final int STDERR_SLOT = 2;
    private static final int WAKE_SLOT = 3;
    private static final int REQUESTS_SLOT = 4;
    private static final int CONTROL_SLOT = 5;
    private static final int REPORTS_SLOT = 6;
    private static final int SLOTS = 7;

    /// The budget of one execution, and what is added to that in each second; output through descriptors 1 and 2 is not part
    /// of it.
    private static final int MAX_FRAMES = 1_000_000;
    private static final int MORE_FRAMES = 1_000;
    private static final long MAX_FRAME_BYTES = 4L << 30;
    private static final long MORE_FRAME_BYTES = 2 << 20;

    private static final Path NOTHING = Path.of("/dev/null");
    /// How long a worker may live on after it closed its frames.
    private static final long EXIT_GRACE_NANOS = TimeUnit.MILLISECONDS.toNanos(500);

    private static final int MAX_BOOT_OUTPUT_BYTES = 8 << 10;

    /// Says how a worker is to be started.
    public interface Launches {
        /// May wait until that is known; each is used once.
        ///
        /// @param number tells the worker from earlier ones
        /// @throws IOException if there is no way; the message is for a person
        Launch next(int number) throws IOException;

        /// Whether workers are to be supervised, which is what snapshots need.
        default boolean supervised() {
            return true;
        }

        /// The same, but not before the future is complete.
        default Launches after(CompletableFuture<?> first) {
            var all = this;
            return new Launches() {
                @Override
                public Launch next(int number) throws IOException {
                    first.join();
                    return all.next(number);
                }

                @Override
                public boolean supervised() {
                    return all.supervised();
                }
            };
        }
    }

    /// Hears what the process says; every call comes on its thread.
    public interface Listener {
        /// The process has said several things at once.
        ///
        /// @param telling calls the other methods; to be run
        default void said(Runnable telling) {
            telling.run();
        }

        /// @throws FrameException if the frame makes no sense: the worker is ended
        void frame(Frame.FromWorker frame);

        /// @param text UTF-8 that belongs to the running execution, or to the last one
        void output(Frame.Stream stream, byte[] text);

        /// The live process has ended, and with it all that it has started; all that they said has been delivered. What is
        /// sent from here on is for the process that comes of the snapshot, which says so by [Frame.Revived].
        ///
        /// @return the snapshot to wake; empty to have the worker end
        default Optional<Integer> died(End end) {
            return Optional.empty();
        }

        /// Nothing has come of the snapshot that was to be woken, which is gone.
        ///
        /// @return another to wake; empty to have the worker end
        default Optional<Integer> sleepsOn(int snapshot) {
            return Optional.empty();
        }

        /// The running cell has exceeded a limit and is to be stopped. Comes on a thread of the kernel's, and the cell may
        /// have ended meanwhile.
        void exceeded(Limit limit);

        /// A process that the worker has started was ended for a limit. Comes on a thread of the kernel's.
        void curtailed(Limit limit);

        /// The last call: the process and its children are gone, and all that they said has been delivered.
        void ended(End end);
    }

    private final int number;
    private final Launches launches;
    private final Listener listener;
    private final CompletableFuture<End> ended = new CompletableFuture<>();
    private final Posix.Pipe wakePipe;
    private final PipeWriter wake;
    private final PipeWriter requests;
    private final PipeWriter control;
    private final Set<Integer> descriptors = new HashSet<>();
    private final Posix.Pipe stdout;
    private final Posix.Pipe stderr;
    private final Posix.Pipe frames;
    private final int requestsReadEnd;
    private final int controlReadEnd;
    private final Posix.Pipe reports;
    private final int ordersReadEnd;
    private final PipeWriter orders;
    private final Supervisor supervisor;
    private final FrameDecoder decoder = new FrameDecoder();

    // Guarded by this; all three from the start of the process on.
    private Optional<Launch> launch = Optional.empty();
    private Optional<Child> process = Optional.empty();
    private Optional<Ward> ward = Optional.empty();
    private Optional<End> verdict = Optional.empty();
    private boolean killed;
    /// Whether the live process is to end, or has, because the kernel wants it to.
    private boolean ending;

    private volatile Encoding encoding = Encoding.JSON;
    private volatile boolean exited;
    private volatile boolean parked;

    /// The execution that was sent and is not settled, and when it was sent.
    private volatile Optional<String> running = Optional.empty();
    /// The same of subshells.
    private final Set<String> beside = ConcurrentHashMap.newKeySet();
    private final AtomicLong executionsBegun = new AtomicLong();
    private volatile long startedAtNanos;

    // Of thread worker-N.
    private boolean said;
    private long lastActivityNanos = System.nanoTime();
    private long lastBatchNanos = lastActivityNanos - BATCH_NANOS;
    private long batchNanos = BATCH_NANOS;
    private OptionalLong silentSinceNanos = OptionalLong.empty();
    private final LeakyBucket frameCount = new LeakyBucket(MORE_FRAMES, Duration.ofSeconds(1), lastActivityNanos);
    private final LeakyBucket frameBytes = new LeakyBucket(MORE_FRAME_BYTES, Duration.ofSeconds(1), lastActivityNanos);
    private long begunAtRest;
    private int bytesSinceTick;
    private long tickNanos = SHORTEST_TICK_NANOS;
    private long lastTickNanos;
    private long lastLookNanos = lastActivityNanos;
    /// How the process has ended whose place a snapshot takes, and whether one has already let the time pass.
    private End replaced = new End.Exited(0);
    private boolean overdueOnce;
    private Frame.Buffering buffering = Frame.Buffering.LINE;
    private final StringBuilder bootOutput = new StringBuilder();

    private WorkerProcess(int number, Launches launches, Listener listener) throws IOException {
        this.number = number;
        this.launches = launches;
        this.listener = listener;
        var requestsPipe = open();
        var controlPipe = open();
        frames = open();
        stdout = open();
        stderr = open();
        wakePipe = open();
        reports = open();
        var ordersPipe = open();
        ordersReadEnd = ordersPipe.readEnd();
        orders = writer(ordersPipe);
        supervisor = new Supervisor(orders, reports.readEnd());
        requestsReadEnd = requestsPipe.readEnd();
        controlReadEnd = controlPipe.readEnd();
        requests = writer(requestsPipe);
        control = writer(controlPipe);
        wake = writer(wakePipe);
        Posix.setNonBlocking(stdout.readEnd());
        Posix.setNonBlocking(stderr.readEnd());
    }

    private Posix.Pipe open() throws IOException {
        try {
            var pipe = Posix.pipe();
            descriptors.add(pipe.readEnd());
            descriptors.add(pipe.writeEnd());
            return pipe;
        } catch (IOException e) {
            descriptors.forEach(Posix::close);
            throw e;
        }
    }

    private PipeWriter writer(Posix.Pipe pipe) throws IOException {
        Posix.setNonBlocking(pipe.writeEnd());
        descriptors.remove(pipe.writeEnd());
        return new PipeWriter(pipe.writeEnd());
    }

    /// Prepares the process that starts workers; a second time does nothing.
    static void prepareHost() {
        Posix.ignoreInterrupts();
        Posix.adoptOrphans();
    }

    /// Does ahead what the first worker would have to wait for: some 50 ms, for the most part of loading what calls the system.
    public static void prepare() {
        prepareHost();
        Spawn.load();
        Ward.prepare();
    }

    /// How the limits that a worker's processes have together are enforced on this machine, for a person to read.
    public static String enforcement() {
        return Ward.describe();
    }

    /// Starts a worker; whether that succeeds is told to the listener. The kernel's `hello` is sent already.
    ///
    /// @param number tells this worker from earlier ones; from 1 on
    /// @throws IOException if the system gives no more pipes
    public static WorkerProcess start(int number, Launches launches, Listener listener) throws IOException {
        prepareHost();
        var worker = new WorkerProcess(number, launches, listener);
        worker.requests.write(FrameCodec.encode(new Frame.Offer(List.of(Encoding.JSON, Encoding.MESSAGE_PACK),
                FrameCodec.MAX_HEADER_BYTES, FrameCodec.MAX_BUFFERS_BYTES), Encoding.JSON));
        Thread.ofPlatform().name("worker-" + number).daemon().start(worker::run);
        return worker;
    }

    /// Sends a frame on the channel it belongs to. A frame for a process that is gone is dropped. Before the worker's
    /// `hello` nothing but control may be sent, since the encoding is not agreed.
    public void send(Frame.ToWorker frame) {
        byte[] bytes = FrameCodec.encode(frame, encoding);
        boolean written = switch (frame) {
            case Frame.Execute execute -> run(execute.id(), bytes);
            case Frame.CommRequest request -> run(request.id(), bytes);
            case Frame.Checkpoint(var id, _) -> run(id, bytes);
            case Frame.Restore(var id, _, _, _) -> run(id, bytes);
            case Frame.Supply _,Frame.Offer _,Frame.Complete _,Frame.Inspect _,Frame.IsComplete _,Frame.Keep _,Frame.Inputs _,Frame.Rest _ ->
                requests.write(bytes);
            case Frame.InSubshell(_, var request) -> {
                if (request instanceof Frame.Execute || request instanceof Frame.CommRequest) {
                    begins();
                    beside.add(request.id());
                }
                yield control.write(bytes) && !parked;
            }
            case Frame.Cancel(var id) -> {
                boolean told = control.write(bytes);
                if (running.filter(id::equals).isPresent()) {
                    supervisor.hasten();
                }
                yield told;
            }
            case Frame.EndSubshell _,Frame.Flush _,Frame.Delivered _,Frame.Debug _,Frame.Shutdown _,Frame.Answer _,Frame.Refuse _ ->
                control.write(bytes);
        };
        if (!written) {
            wake();
        }
    }

    private void begins() {
        startedAtNanos = System.nanoTime();
        executionsBegun.incrementAndGet();
    }

    private boolean run(String id, byte[] request) {
        begins();
        running = Optional.of(id);
        return requests.write(request) && !parked;
    }

    private boolean isBusy() {
        return running.isPresent() || !beside.isEmpty();
    }

    private void wake() {
        wake.write(new byte[1]);
    }

    /// Signals the worker from outside: it is continued in case it is stopped, and gets SIGINT.
    public synchronized void interruptFromOutside() {
        if (supervisor.signal(Posix.SIGCONT, Posix.SIGINT)) {
            return;
        }
        process.flatMap(live -> live.descendant(launch.orElseThrow().depth())).ifPresent(pid -> {
            Posix.kill(pid, Posix.SIGCONT);
            Posix.kill(pid, Posix.SIGINT);
        });
    }

    /// Ends the process that runs the cells, whose end is then told by [Listener#died]. Where there is no supervisor, or it
    /// does not do as it is told, the whole worker ends.
    public void killLive() {
        synchronized (this) {
            ending = true;
        }
        if (supervisor.endLive()) {
            wake();
        } else {
            kill();
        }
    }

    /// Ends a snapshot.
    public void drop(int snapshot) {
        supervisor.end(snapshot);
    }

    /// What the snapshots have in memory, in bytes by their numbers; those that cannot be read are left out.
    public Map<Integer, Long> memoryOfSnapshots() {
        return supervisor.memory();
    }

    /// What all processes of the worker use now; empty when there is none. Reads files for some milliseconds, and waits for
    /// nothing that the worker does.
    public Optional<Usage> usage() {
        var child = launched();
        if (child.isEmpty() || exited) {
            return Optional.empty();
        }
        Set<Long> pids;
        try {
            pids = ward().isPresent()
                    ? ward().get().processes()
                    : ProcessTree.below(List.of(child.get().pid())).keySet();
        } catch (IOException e) {
            // It has just ended.
            return Optional.empty();
        }
        return Optional.of(Usage.of(pids, launchDepth()));
    }

    /// Ends the process and all that it started, now.
    public synchronized void kill() {
        killed = true;
        process.ifPresent(Child::killTree);
    }

    /// Asks the worker to end, and kills it if it has not after `grace`. Returns when it is gone.
    public void stop(Duration grace) {
        send(new Frame.Shutdown());
        try {
            ended.get(grace.toMillis(), TimeUnit.MILLISECONDS);
        } catch (TimeoutException e) {
            kill();
            ended.join();
        } catch (ExecutionException | InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    /// Whether a process of the worker's was ended just now because of what all have in memory.
    public boolean killedForMemory() {
        return ward().filter(Ward::killedForMemory).isPresent();
    }

    /// Ends whatever the worker has started, but not itself.
    public void endOthers() {
        ward().ifPresent(Ward::endOthers);
    }

    private void run() {
        End end;
        try {
            launch();
            end = serve();
        } catch (IOException e) {
            kill();
            // Of an exception about a file, the message is its name only.
            end = new End.NotStarted(e instanceof FileSystemException ? e.toString() : String.valueOf(e.getMessage()));
        } catch (RuntimeException | Error e) {
            // Too little memory for what it said, perhaps. Its cell must end all the same.
            LOG.log(Level.ERROR, "listening to a worker", e);
            kill();
            end = new End.Violation("the kernel failed on what it said: " + e);
        }
        try {
            bury();
        } finally {
            try {
                listener.ended(end);
            } finally {
                ended.complete(end);
            }
        }
    }

    private void bury() {
        launched().filter(_ -> isLeftToItself()).ifPresent(dead -> Guardian.release(dead.pid()));
        Child.killOrphans();
        ward().ifPresent(Ward::close);
        requests.close();
        control.close();
        orders.close();
        wake.close();
        descriptors.forEach(Posix::close);
        decoder.close();
    }

    private void launch() throws IOException {
        Ward.prepare();
        var launch = launches.next(number);
        int nothing = Posix.openToRead(NOTHING);
        Child started;
        try {
            var given = new ArrayList<>(List.of(nothing, stdout.writeEnd(), stderr.writeEnd(), requestsReadEnd,
                    frames.writeEnd(), controlReadEnd));
            if (launches.supervised()) {
                given.addAll(List.of(ordersReadEnd, reports.writeEnd()));
            }
            started = Child.start(launch, given);
        } finally {
            Posix.close(nothing);
        }
        synchronized (this) {
            this.launch = Optional.of(launch);
            process = Optional.of(started);
            if (killed) {
                started.killTree();
            }
        }
        if (isLeftToItself()) {
            Guardian.guard(started.pid());
        }
        if (launch.quota().isPresent()) {
            limit(launch, launch.quota().get(), started);
        }
        supervisor.begin();
        CompletableFuture<Void> _ = started.exit().handle((_, _) -> {
            exited = true;
            wake();
            return null;
        });
        LOG.log(Level.DEBUG, () -> "worker process " + started.pid() + " started");
    }

    /// Before its `hello`, so that none of its cells has run yet.
    private void limit(Launch launch, Quota quota, Child started) throws IOException {
        var watched = Ward.of(number, launch, quota, started, supervisor, new Subject());
        synchronized (this) {
            ward = Optional.of(watched);
        }
    }

    private final class Subject implements Ward.Subject {
        @Override
        public boolean busy() {
            return isBusy();
        }

        @Override
        public long begunAtNanos() {
            return startedAtNanos;
        }

        @Override
        public void exceeded(Limit limit) {
            listener.exceeded(limit);
        }

        @Override
        public void curtailed(Limit limit) {
            listener.curtailed(limit);
        }

        @Override
        public void condemn(End end) {
            WorkerProcess.this.condemn(end);
        }
    }

    private synchronized Optional<Ward> ward() {
        return ward;
    }

    /// Whether nothing but this process ends what the worker starts.
    private synchronized boolean isLeftToItself() {
        return launch.filter(used -> used.depth() == 0 && !used.confinement().ownsThread()).isPresent();
    }

    private synchronized Optional<Child> launched() {
        return process;
    }

    /// Reads until the process is gone.
    private End serve() throws IOException {
        var output = new RawOutput(stdout.readEnd(), stderr.readEnd(), this::deliver);
        var target = Posix.reserve(Posix.MAX_PIPE_BYTES);
        var poll = new Posix.PollSet(SLOTS);
        poll.set(WAKE_SLOT, wakePipe.readEnd(), Posix.POLLIN);
        while (!exited) {
            // What a fast writer says is left in its pipe for a moment, so that it wakes nobody for each line.
            boolean holdsBack = System.nanoTime() - lastBatchNanos < batchNanos;
            poll.set(STDOUT_SLOT, holdsBack ? -1 : output.descriptor(Frame.Stream.STDOUT), Posix.POLLIN);
            poll.set(STDERR_SLOT, holdsBack ? -1 : output.descriptor(Frame.Stream.STDERR), Posix.POLLIN);
            poll.set(FRAMES_SLOT, silentSinceNanos.isPresent() ? -1 : frames.readEnd(), Posix.POLLIN);
            poll.set(REPORTS_SLOT, supervisor.descriptor(), Posix.POLLIN);
            poll.set(REQUESTS_SLOT, requests.hasBacklog() ? requests.descriptor() : -1, Posix.POLLOUT);
            poll.set(CONTROL_SLOT, control.hasBacklog() ? control.descriptor() : -1, Posix.POLLOUT);
            await(poll, output, target, output.pendingBytes() > 0 || holdsBack);
            if (poll.ready(WAKE_SLOT)) {
                Posix.read(wakePipe.readEnd(), target.asSlice(0, 1_024));
            }
            requests.flush();
            control.flush();
            if (poll.ready(FRAMES_SLOT)) {
                readFrames(output, target);
            }
            if (poll.ready(REPORTS_SLOT)) {
                readReports(output, target);
            }
            if (poll.ready(STDOUT_SLOT) || poll.ready(STDERR_SLOT)) {
                readOutput(output);
            } else if (output.pendingBytes() > 0 && System.nanoTime() - lastBatchNanos >= batchNanos) {
                handOn(output);
            }
            tick();
        }
        return finish(output, target);
    }

    private void await(Posix.PollSet poll, RawOutput output, MemorySegment target, boolean batching)
            throws IOException {
        long now = System.nanoTime();
        if (said && now - lastLookNanos >= LOOK_NANOS) {
            lastLookNanos = now;
            ward().ifPresent(Ward::ask);
            supervisor.urge();
        }
        long nanos;
        var due = supervisor.dueNanos();
        if (due.isPresent()) {
            nanos = Math.max(0, due.getAsLong() - now);
            if (nanos == 0) {
                overdue(output, target);
            }
        } else if (silentSinceNanos.isPresent()) {
            nanos = Math.max(0, silentSinceNanos.getAsLong() + EXIT_GRACE_NANOS - now);
            if (nanos == 0) {
                condemn(new End.Violation("it closed the pipe of its frames"));
                nanos = EXIT_GRACE_NANOS;
            }
        } else if (batching) {
            nanos = Math.max(0, lastBatchNanos + batchNanos - now);
        } else if (isBusy()) {
            nanos = Math.max(0, Math.max(startedAtNanos, lastTickNanos) + tickNanos - now);
        } else if (now - lastActivityNanos < LINGER_NANOS) {
            nanos = 2 * SHORTEST_TICK_NANOS;
        } else {
            Child.reapOrphans();
            parked = true;
            // Whoever sent a cell before it could see that this thread was parked did not wake it.
            nanos = isBusy() ? 0 : -1;
        }
        poll.await(nanos < 0 ? -1 : (int) TimeUnit.NANOSECONDS.toMillis(nanos + 999_999));
        parked = false;
    }

    private void readFrames(RawOutput output, MemorySegment target) throws IOException {
        int count = Posix.read(frames.readEnd(), target);
        lastActivityNanos = System.nanoTime();
        if (count == 0) {
            // Most likely it has just ended; if not, it will never say anything again.
            silentSinceNanos = OptionalLong.of(lastActivityNanos);
            return;
        }
        if (verdict().isPresent()) {
            // The cell must not succeed because the worker was quicker than its end.
            return;
        }
        decoder.feed(target.asSlice(0, count).asByteBuffer());
        long _ = frameBytes.add(count, lastActivityNanos);
        try {
            listener.said(() -> actOnFrames(output));
        } catch (UncheckedIOException e) {
            throw e.getCause();
        }
    }

    private void actOnFrames(RawOutput output) {
        try {
            // What was written before these frames is there.
            bytesSinceTick += output.drain();
            for (var frame = decoder.next(); frame.isPresent(); frame = decoder.next()) {
                act(frame.get(), output);
                checkBudget();
            }
        } catch (FrameException e) {
            condemn(new End.Violation(e.getMessage()));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private void readReports(RawOutput output, MemorySegment target) throws IOException {
        List<Frame.Died> ended;
        try {
            ended = supervisor.read(target);
        } catch (FrameException e) {
            condemn(new End.Violation(e.getMessage()));
            kill();
            return;
        }
        for (var died : ended) {
            // It may be one of which it is still to be read that it serves.
            if (supervisor.live().filter(pid -> pid == died.pid()).isEmpty()) {
                drainFrames(output, target);
            }
            boolean wasToWake = supervisor.failsToWake(died);
            boolean wasLive = supervisor.buried(died.pid());
            if (wasToWake) {
                wakeAnother(output, target);
            } else if (wasLive) {
                replace(explain(End.ofStatus(died.status())), output, target);
            } else if (said) {
                listener.frame(died);
            } else {
                setVerdict(End.ofStatus(died.status()));
                kill();
            }
        }
    }

    /// The live process is gone: hands on what it has left, and has a snapshot take its place.
    private void replace(End how, RawOutput output, MemorySegment target) throws IOException {
        if (!endRest(how)) {
            return;
        }
        drainFrames(output, target);
        output.drain();
        output.flushAll();
        decoder.reset();
        var end = verdict().orElse(how);
        overdueOnce = false;
        wake(listener.died(end), end, target);
    }

    /// Ends what is left of a process that is no more; of the whole worker if that does not work.
    private boolean endRest(End how) {
        try {
            supervisor.endRest();
            return true;
        } catch (IOException e) {
            LOG.log(Level.WARNING, () -> "ending the worker: of what it has started, " + e.getMessage());
            setVerdict(how);
            kill();
            return false;
        }
    }

    private void wake(Optional<Integer> snapshot, End how, MemorySegment target) throws IOException {
        if (snapshot.isEmpty()) {
            setVerdict(how);
            kill();
            return;
        }
        replaced = how;
        synchronized (this) {
            verdict = Optional.empty();
            ending = false;
        }
        running = Optional.empty();
        beside.clear();
        silentSinceNanos = OptionalLong.empty();
        frameCount.empty();
        frameBytes.empty();
        tickNanos = SHORTEST_TICK_NANOS;
        empty(requests, requestsReadEnd, target);
        empty(control, controlReadEnd, target);
        supervisor.wake(snapshot.get());
    }

    /// The snapshot that was to serve has died, or not done so in time.
    private void wakeAnother(RawOutput output, MemorySegment target) throws IOException {
        int snapshot = supervisor.waking().orElseThrow();
        LOG.log(Level.WARNING, () -> "snapshot " + snapshot + " has not woken");
        supervisor.giveUp();
        if (!endRest(replaced)) {
            return;
        }
        // It may have said just now that it serves.
        discard(frames.readEnd(), target);
        output.drain();
        decoder.reset();
        wake(listener.sleepsOn(snapshot), replaced, target);
    }

    private void overdue(RawOutput output, MemorySegment target) throws IOException {
        if (supervisor.waking().isPresent() && !overdueOnce) {
            overdueOnce = true;
            wakeAnother(output, target);
        } else {
            LOG.log(Level.WARNING, "ending the worker: its supervisor does not do as it is told");
            if (supervisor.waking().isPresent()) {
                setVerdict(replaced);
            }
            supervisor.giveUp();
            kill();
        }
    }

    private End explain(End how) {
        if (!how.equals(new End.Signaled(Posix.SIGKILL)) || isEnding()) {
            return how;
        }
        return ward().map(Ward::explainKill).orElse(new End.Struck(End.Struck.Memory.UNKNOWN));
    }

    private synchronized boolean isEnding() {
        return killed || ending;
    }

    /// Takes back what was sent to a process that is gone.
    private static void empty(PipeWriter writer, int readEnd, MemorySegment target) throws IOException {
        writer.discard();
        discard(readEnd, target);
    }

    private static void discard(int readEnd, MemorySegment target) throws IOException {
        var poll = new Posix.PollSet(1);
        poll.set(0, readEnd, Posix.POLLIN);
        while (poll.await(0) && Posix.read(readEnd, target) > 0) {
        }
    }

    private synchronized int launchDepth() {
        return launch.orElseThrow().depth();
    }

    private synchronized void setVerdict(End end) {
        if (verdict.isEmpty()) {
            verdict = Optional.of(end);
        }
    }

    private void checkBudget() {
        long begun = executionsBegun.get();
        if (!isBusy()) {
            frameCount.empty();
            frameBytes.empty();
            begunAtRest = begun;
            return;
        }
        // Of several that run at once nobody knows whose a frame is before it is acted on: they share.
        long budgets = Math.max(1, begun - begunAtRest);
        if (frameCount.add(1, lastActivityNanos) > MAX_FRAMES * budgets) {
            throw new FrameException("one cell has sent more than its limit of %d frames".formatted(MAX_FRAMES));
        } else if (frameBytes.add(0, lastActivityNanos) > MAX_FRAME_BYTES * budgets) {
            throw new FrameException("one cell has sent more than its limit of %d bytes in frames"
                    .formatted(MAX_FRAME_BYTES));
        }
    }

    private void act(Frame.FromWorker frame, RawOutput output) {
        switch (frame) {
            case Frame.Hello hello -> {
                if (said) {
                    // Before what follows is closed once more, which may be another's by then.
                    throw new FrameException("second hello");
                }
                encoding = hello.encoding();
                boolean supervised = hello.offers().contains("snapshot");
                if (supervised) {
                    supervisor.stands(launched().orElseThrow().pid(), launchDepth());
                    supervisor.serves(hello.pid());
                } else {
                    List.of(requestsReadEnd, controlReadEnd).forEach(this::closeOurs);
                }
                // The process has these ends by now; as long as we had them too, no end of file would ever come.
                List.of(stdout.writeEnd(), stderr.writeEnd(), frames.writeEnd(), ordersReadEnd, reports.writeEnd())
                        .forEach(this::closeOurs);
                said = true;
                if (!bootOutput.isEmpty()) {
                    LOG.log(Level.WARNING, () -> "while it started, the worker wrote: " + bootOutput);
                }
            }
            case Frame.Resolve(var id, _, _) -> settled(id, output);
            case Frame.Reject(var id, _, _, _, _) -> settled(id, output);
            case Frame.Snapshot(var pid, var after) -> supervisor.keeps(pid, after.isEmpty());
            case Frame.NoSnapshot _ -> {
            }
            case Frame.Revived(var pid, _, _) -> supervisor.serves(pid);
            case Frame.Died _ -> throw new FrameException("the worker itself said that it has died");
            case Frame.Result(var id, _, var ack) -> {
                if (!ack && running.filter(id::equals).isPresent()) {
                    // Its cell's last words, which nothing is to complete any more.
                    output.flushAll();
                } else {
                    output.flush();
                }
            }
            case Frame.Ready _,Frame.Display _,Frame.UpdateDisplay _,Frame.ShownError _,Frame.LateStream _,Frame.ClearOutput _,Frame.Comm _,Frame.Input _,Frame.Part _,Frame.Fetch _,Frame.DebugEvent _ ->
                output.flush();
        }
        listener.frame(frame);
    }

    private void settled(String id, RawOutput output) {
        if (running.filter(id::equals).isPresent()) {
            output.flushAll();
            running = Optional.empty();
            tickNanos = SHORTEST_TICK_NANOS;
            bytesSinceTick = 0;
            lastBatchNanos = System.nanoTime() - BATCH_NANOS;
        } else {
            beside.remove(id);
            output.flush();
        }
    }

    private void closeOurs(int descriptor) {
        descriptors.remove(descriptor);
        Posix.close(descriptor);
    }

    private void readOutput(RawOutput output) throws IOException {
        int count = output.read();
        lastActivityNanos = System.nanoTime();
        bytesSinceTick += count;
        batchNanos = count > BURST_BYTES ? BURST_BATCH_NANOS : BATCH_NANOS;
        if (count <= BURST_BYTES || output.pendingBytes() >= PIECE_BYTES) {
            handOn(output);
        }
    }

    private void handOn(RawOutput output) {
        output.flush();
        lastBatchNanos = System.nanoTime();
    }

    /// Makes a worker whose cell takes long write out what it has buffered, the less often the quieter it is.
    private void tick() {
        long now = System.nanoTime();
        if (!isBusy() || now < Math.max(startedAtNanos, lastTickNanos) + tickNanos || control.hasBacklog()) {
            return;
        }
        buffering = bytesSinceTick > BLOCK_BUFFERING_BYTES ? Frame.Buffering.BLOCK : Frame.Buffering.LINE;
        tickNanos = bytesSinceTick > 0 ? SHORTEST_TICK_NANOS : Math.min(2 * tickNanos, LONGEST_TICK_NANOS);
        bytesSinceTick = 0;
        lastTickNanos = now;
        send(new Frame.Flush(buffering));
    }

    private void deliver(Frame.Stream stream, byte[] text) {
        if (said) {
            listener.output(stream, text);
        } else if (bootOutput.length() < MAX_BOOT_OUTPUT_BYTES) {
            // No cell's yet: it is told when the worker does not get any further.
            bootOutput.append(new String(text, StandardCharsets.UTF_8));
        }
    }

    /// Ends the process for a reason of ours, which is then what is reported.
    private void condemn(End end) {
        if (verdict().isEmpty()) {
            LOG.log(Level.WARNING, () -> "ending the worker: it " + end.cause());
            setVerdict(end);
        }
        killLive();
    }

    /// Delivers what the process said before it went.
    private End finish(RawOutput output, MemorySegment target) throws IOException {
        var dead = launched().orElseThrow();
        // Children may outlive it and hold its pipes.
        Posix.kill(-dead.pid(), Posix.SIGKILL);
        drainFrames(output, target);
        output.drain();
        output.flushAll();
        var how = explain(End.of(dead.exit().join()));
        // Of the live process' end its supervisor would have told.
        boolean isItsOwn = supervisor.stood() && launchDepth() == 0 && !isEnding()
                && !(how instanceof End.LimitExceeded);
        var end = verdict().orElse(isItsOwn ? new End.Unsupervised(how) : how);
        return said
                ? end
                : new End.NotStarted(program() + " " + end.cause() + " before it was ready"
                        + (bootOutput.isEmpty() ? "" : "\n" + bootOutput.toString().strip()));
    }

    /// Acts on the frames that are in the pipe. Of a worker that is condemned, they are dropped.
    private void drainFrames(RawOutput output, MemorySegment target) throws IOException {
        var left = new Posix.PollSet(1);
        left.set(0, frames.readEnd(), Posix.POLLIN);
        while (left.await(0)) {
            int count = Posix.read(frames.readEnd(), target);
            if (count == 0) {
                break;
            }
            if (verdict().isPresent()) {
                continue;
            }
            decoder.feed(target.asSlice(0, count).asByteBuffer());
            try {
                for (var frame = decoder.next(); frame.isPresent(); frame = decoder.next()) {
                    output.drain();
                    act(frame.get(), output);
                }
            } catch (FrameException e) {
                condemn(new End.Violation(e.getMessage()));
            }
        }
    }

    private synchronized String program() {
        return launch.orElseThrow().program();
    }

    private synchronized Optional<End> verdict() {
        return verdict;
    }
}
