package dev.capsule.worker;

import dev.capsule.frame.Frame;
import dev.capsule.frame.FrameCodec;
import dev.capsule.frame.FrameDecoder;
import dev.capsule.frame.FrameException;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.concurrent.Executor;
import java.util.concurrent.Executors;
import java.util.stream.Stream;

/// The first process of a worker, which never runs a cell, as the kernel uses it (`worker/PROTOCOL.md`, section 6): it
/// tells how the live process ends, and signals that and its snapshots. Processes are named by the numbers that they
/// have for the worker. Safe for several threads.
final class Supervisor {
    /// Within this time it must have done what it was told to. Much more than that takes on a busy machine, and what is
    /// given up then is the state.
    static final Duration REACTION = Duration.ofSeconds(5);

    /// Within this time what the dead live process has left is to be gone.
    private static final Duration END = Duration.ofSeconds(10);

    /// A snapshot waits for it.
    private static final int WAKE = 10;

    /// The status, as of `wait(2)`, of a process that has come of a snapshot and cannot go on.
    private static final int NOT_WOKEN = 86 << 8;

    /// Looks after the snapshots of all workers. (The first virtual thread brings two others with it, which stay.)
    private static final Executor BEHIND = Executors
            .newSingleThreadExecutor(Thread.ofPlatform().name("snapshots").daemon().factory());

    private final PipeWriter orders;
    private int reports;
    private final FrameDecoder decoder = new FrameDecoder();

    // Guarded by this.
    private Optional<Integer> live = Optional.empty();
    /// The same by the number that it has for the kernel, once that is known.
    private Optional<Long> livePid = Optional.empty();
    /// The processes from the worker's outermost to the supervisor, which is the last; empty when there is none.
    private List<Long> chain = List.of();
    /// The oldest first, with the numbers that they have for the kernel, once these are known.
    private final Map<Integer, Optional<Long>> snapshots = new LinkedHashMap<>();
    /// The one of a fresh worker, to which the way is always open.
    private Optional<Integer> spare = Optional.empty();
    /// The one from which the live process has come, or which was made of it last.
    private Optional<Integer> newest = Optional.empty();
    private Optional<Integer> waking = Optional.empty();
    private OptionalLong dueNanos = OptionalLong.empty();
    private int lost;

    /// @param reports owned by the caller, as is `orders`
    Supervisor(PipeWriter orders, int reports) {
        this.orders = orders;
        this.reports = reports;
    }

    /// Lets it start others: it is in the kernel's charge now, and so are they.
    void begin() {
        boolean _ = orders.write(FrameCodec.encode(new Frame.Begin()));
    }

    /// What to wait for, to read; negative when it is gone, or never was.
    int descriptor() {
        return reports;
    }

    /// Reads what is there.
    ///
    /// @return the processes that have ended
    /// @throws FrameException if something else was said
    List<Frame.Died> read(MemorySegment target) throws IOException {
        int count = Posix.read(reports, target);
        if (count <= 0) {
            reports = -1;
            return List.of();
        }
        decoder.feed(target.asSlice(0, count).asByteBuffer());
        var ended = new ArrayList<Frame.Died>();
        for (var frame = decoder.next(); frame.isPresent(); frame = decoder.next()) {
            if (!(frame.get() instanceof Frame.Died died)) {
                throw new FrameException("the supervisor said " + frame.get().getClass().getSimpleName());
            }
            ended.add(died);
        }
        return ended;
    }

    /// It has started the worker's first live process.
    ///
    /// @param root the worker's outermost process
    /// @param depth how many generations the supervisor is below it
    synchronized void stands(long root, int depth) {
        var found = new ArrayList<>(List.of(root));
        for (int i = 0; i < depth; i++) {
            var children = ProcessTree.children(found.getLast());
            if (children.isEmpty()) {
                // It has ended already, which its exit tells.
                return;
            }
            found.add(children.getFirst());
        }
        chain = List.copyOf(found);
    }

    /// Whether there has been one.
    synchronized boolean stood() {
        return !chain.isEmpty();
    }

    /// @param pid of the process that runs the cells from now on
    synchronized void serves(int pid) {
        live = Optional.of(pid);
        livePid = Optional.empty();
        dueNanos = OptionalLong.empty();
        waking.ifPresent(this::rank);
        waking = Optional.empty();
    }

    synchronized Optional<Integer> live() {
        return live;
    }

    /// There is another snapshot, after which memory may be short: that is seen to on another thread, since the next cell
    /// may be running.
    synchronized void keeps(int snapshot, boolean first) {
        snapshots.put(snapshot, Optional.empty());
        if (first && spare.isEmpty()) {
            spare = Optional.of(snapshot);
        }
        BEHIND.execute(() -> makeRoomBehind(snapshot));
    }

    private synchronized void makeRoomBehind(int snapshot) {
        if (!snapshots.containsKey(snapshot)) {
            return;
        }
        find();
        var oldestFirst = List.copyOf(snapshots.keySet());
        if (newest.map(oldestFirst::indexOf).orElse(-1) < oldestFirst.indexOf(snapshot)) {
            rank(snapshot);
        } else {
            score(snapshot, Sacrifice.FIRST);
        }
        if (ProcessTree.memoryIsShort()) {
            // One more than there has come.
            endOldest();
            endOldest();
        }
    }

    /// Finds out which processes the snapshots are, and which the live one: they are children of the supervisor's.
    private void find() {
        if (chain.isEmpty() || !snapshots.containsValue(Optional.<Long>empty())) {
            return;
        }
        var known = new HashSet<>(snapshots.values());
        known.add(livePid);
        for (long pid : ProcessTree.children(chain.getLast())) {
            if (!known.contains(Optional.of(pid))) {
                ProcessTree.innerPid(pid).ifPresent(inner -> found(inner, pid));
            }
        }
    }

    private void found(int inner, long pid) {
        if (live.filter(each -> each == inner).isPresent()) {
            livePid = Optional.of(pid);
        } else {
            snapshots.computeIfPresent(inner, (_, _) -> Optional.of(pid));
        }
    }

    /// When memory is short, the system ends a snapshot rather than anything else; the newest, which stands for all that
    /// the live process would lose, only when it is large. That of a fresh worker has next to nothing for itself.
    private void rank(int snapshot) {
        newest.filter(each -> each != snapshot).ifPresent(each -> score(each, Sacrifice.FIRST));
        newest = Optional.of(snapshot);
        score(snapshot, Sacrifice.SECOND);
    }

    private void score(int snapshot, Sacrifice sacrifice) {
        if (spare.filter(each -> each == snapshot).isEmpty()) {
            snapshots.getOrDefault(snapshot, Optional.empty())
                    .ifPresent(pid -> sacrifice.apply(pid, chain.getLast()));
        }
    }

    /// Forgets a process that has ended.
    ///
    /// @return whether it was the live one
    synchronized boolean buried(int pid) {
        lost += forget(pid) ? 1 : 0;
        if (live.filter(each -> each == pid).isEmpty()) {
            return false;
        }
        live = Optional.empty();
        livePid = Optional.empty();
        dueNanos = OptionalLong.empty();
        return true;
    }

    private boolean forget(int snapshot) {
        newest = newest.filter(each -> each != snapshot);
        spare = spare.filter(each -> each != snapshot);
        return snapshots.remove(snapshot) != null;
    }

    /// Signals the live process.
    ///
    /// @return false when there is none yet
    synchronized boolean signal(int... numbers) {
        live.ifPresent(pid -> {
            for (int number : numbers) {
                order(pid, number);
            }
        });
        return live.isPresent();
    }

    /// Has what runs in the live process make way for what reads its frames, by SIGURG. That goes there at once where its
    /// number is known: should it be another's by now, that ignores the signal, unless it expects it at any time.
    synchronized void hasten() {
        if (livePid.isPresent()) {
            Posix.kill(livePid.get(), Posix.SIGURG);
        } else {
            boolean _ = signal(Posix.SIGURG);
        }
    }

    /// Ends the live process, whose end is then to be reported.
    ///
    /// @return false when there is none yet
    synchronized boolean endLive() {
        if (live.isPresent()) {
            expect();
        }
        return signal(Posix.SIGKILL);
    }

    /// Wakes a snapshot: a process that comes of it is then to say that it serves.
    synchronized void wake(int snapshot) {
        expect();
        waking = Optional.of(snapshot);
        // What comes of it has the same.
        score(snapshot, Sacrifice.NONE);
        // A cell may have stopped it.
        order(snapshot, Posix.SIGCONT);
        order(snapshot, WAKE);
    }

    /// The snapshot that is to serve, and does not yet.
    synchronized Optional<Integer> waking() {
        return waking;
    }

    /// Whether this is the end of the snapshot that is to serve, or of the process that has come of it.
    synchronized boolean failsToWake(Frame.Died died) {
        return waking.filter(snapshot -> snapshot == died.pid() || died.status() == NOT_WOKEN).isPresent();
    }

    /// Gives up the snapshot that is to serve.
    synchronized void giveUp() {
        waking.ifPresent(this::end);
        waking = Optional.empty();
        dueNanos = OptionalLong.empty();
    }

    synchronized void end(int snapshot) {
        if (forget(snapshot)) {
            order(snapshot, Posix.SIGKILL);
        }
    }

    /// Ends the oldest snapshot of those that can be spared, if there is one.
    synchronized void endOldest() {
        expendable().findFirst().ifPresent(this::end);
    }

    private Stream<Integer> expendable() {
        return List.copyOf(snapshots.keySet()).stream().map(Optional::of)
                .filter(each -> !each.equals(spare) && !each.equals(newest) && !each.equals(waking))
                .map(Optional::get);
    }

    private void expect() {
        dueNanos = OptionalLong.of(System.nanoTime() + REACTION.toNanos());
    }

    private void order(int pid, int number) {
        urge();
        // Should the pipe be full, nobody reads it, and what was ordered is overdue soon.
        boolean _ = orders.write(FrameCodec.encode(new Frame.Kill(pid, number)));
    }

    /// Has it go on: a cell may have stopped it.
    synchronized void urge() {
        if (!chain.isEmpty()) {
            Posix.kill(chain.getLast(), Posix.SIGCONT);
        }
    }

    /// Until when something is to happen.
    synchronized OptionalLong dueNanos() {
        return dueNanos;
    }

    /// Ends all that the dead live process has left, in whatever session; not the snapshots. Returns when it is gone.
    ///
    /// @throws IOException if something does not end
    void endRest() throws IOException {
        var left = ProcessTree.end(this::rest, END);
        if (!left.isEmpty()) {
            throw new IOException("processes " + left + " do not end");
        }
    }

    private synchronized Set<Long> rest() {
        var rest = new LinkedHashSet<>(ProcessTree.below(List.of(chain.getFirst())).keySet());
        chain.forEach(rest::remove);
        find();
        snapshots.values().forEach(pid -> pid.ifPresent(rest::remove));
        return rest;
    }

    /// How many processes of the worker's no cell has started, without those that it is in itself: this one and the
    /// snapshots.
    synchronized int processes() {
        return chain.isEmpty() ? 0 : 1 + snapshots.size();
    }

    /// How many snapshots have ended that were not told to.
    synchronized long lost() {
        return lost + snapshots.values().stream().flatMap(Optional::stream)
                .filter(ProcessTree::isEnding).count();
    }

    /// How many of these it has reported.
    synchronized long reportedLost() {
        return lost;
    }

    /// The snapshots that can be found, by the numbers that they have for the worker, the oldest first.
    synchronized Map<Integer, Long> snapshots() {
        find();
        var found = new LinkedHashMap<Integer, Long>();
        snapshots.forEach((inner, outer) -> outer.ifPresent(pid -> found.put(inner, pid)));
        return found;
    }

    /// Those of them that may be ended to make room.
    synchronized Map<Integer, Long> expendableSnapshots() {
        var found = snapshots();
        found.keySet().retainAll(expendable().toList());
        return found;
    }

    boolean isLive(long pid) {
        return ProcessTree.innerPid(pid).equals(live());
    }

    /// Which of these processes go on when what cells have started is ended: the live one and the snapshots; all, while
    /// a snapshot is being woken.
    Set<Long> spared(Collection<Long> pids) {
        if (processes() == 0) {
            return Set.of();
        }
        if (live().isEmpty()) {
            return Set.copyOf(pids);
        }
        // It is the worker that says which they are; one that does anything but sleep is none.
        var spared = new HashSet<>(snapshots().values());
        spared.removeIf(pid -> !ProcessTree.below(List.of(pid)).equals(Map.of(pid, 1)));
        pids.stream().filter(this::isLive).forEach(spared::add);
        return spared;
    }

    /// What each of the snapshots has in memory, in bytes, with its part of what it shares; those that cannot be read are
    /// left out.
    Map<Integer, Long> memory() {
        var memory = new HashMap<Integer, Long>();
        snapshots().forEach(
                (inner, pid) -> ProcessTree.proportionalBytes(pid).ifPresent(bytes -> memory.put(inner, bytes)));
        return memory;
    }
}
