package dev.capsule.worker;

import dev.capsule.frame.Frame;
import dev.capsule.frame.FrameCodec;
import dev.capsule.frame.FrameDecoder;
import dev.capsule.frame.FrameException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
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

/// The first process of a worker, which never runs a cell, as the kernel uses it (`worker/PROTOCOL.md`, section 6): it
/// tells how the live process ends, and signals that and its snapshots. Processes are named by the numbers that they
/// have for the worker. Safe for several threads.
final class Supervisor {
    /// Within this time it must have done what it was told to.
    static final Duration REACTION = Duration.ofSeconds(1);

    /// A snapshot waits for it.
    private static final int WAKE = 10;

    private final PipeWriter orders;
    private int reports;
    private final FrameDecoder decoder = new FrameDecoder();

    // Guarded by this.
    private Optional<Integer> live = Optional.empty();
    private boolean supervises;
    /// The oldest first.
    private final Set<Integer> snapshots = new LinkedHashSet<>();
    private OptionalLong dueNanos = OptionalLong.empty();

    /// @param reports owned by the caller, as is `orders`
    Supervisor(PipeWriter orders, int reports) {
        this.orders = orders;
        this.reports = reports;
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

    /// @param pid of the process that runs the cells from now on
    synchronized void serves(int pid) {
        supervises = true;
        live = Optional.of(pid);
        dueNanos = OptionalLong.empty();
    }

    synchronized Optional<Integer> live() {
        return live;
    }

    synchronized void keeps(int snapshot) {
        snapshots.add(snapshot);
    }

    /// Forgets a process that has ended.
    ///
    /// @return whether it was the live one
    synchronized boolean buried(int pid) {
        snapshots.remove(pid);
        if (live.filter(each -> each == pid).isEmpty()) {
            return false;
        }
        live = Optional.empty();
        dueNanos = OptionalLong.empty();
        return true;
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
        order(snapshot, WAKE);
    }

    synchronized void end(int snapshot) {
        if (snapshots.remove(snapshot)) {
            order(snapshot, Posix.SIGKILL);
        }
    }

    /// Ends the oldest snapshot, if there is another.
    synchronized void endOldest() {
        if (snapshots.size() > 1) {
            end(snapshots.iterator().next());
        }
    }

    private void expect() {
        dueNanos = OptionalLong.of(System.nanoTime() + REACTION.toNanos());
    }

    private void order(int pid, int number) {
        // Should the pipe be full, nobody reads it, and what was ordered is overdue soon.
        boolean _ = orders.write(FrameCodec.encode(new Frame.Kill(pid, number)));
    }

    /// Until when something is to happen.
    synchronized OptionalLong dueNanos() {
        return dueNanos;
    }

    /// Ends all that the dead live process has left, in whatever session; not the snapshots. Returns when it is gone.
    ///
    /// @param root the worker's outermost process
    /// @param depth how many generations the supervisor is below it
    /// @throws IOException if something does not end
    void endRest(long root, int depth) throws IOException {
        ProcessTree.end(() -> rest(root, depth));
        for (long pid : rest(root, depth)) {
            if (ProcessTree.threads(pid) > 0) {
                throw new IOException("process " + pid + " does not end");
            }
        }
    }

    private Set<Long> rest(long root, int depth) throws IOException {
        var rest = new LinkedHashSet<>(ProcessTree.below(List.of(root)).keySet());
        rest.remove(root);
        long parent = root;
        for (int i = 0; i < depth; i++) {
            parent = firstChild(parent);
            rest.remove(parent);
        }
        rest.removeAll(snapshotsAmong(rest).values());
        return rest;
    }

    private static long firstChild(long parent) throws IOException {
        return ProcessTree.below(List.of(parent)).keySet().stream().skip(1).findFirst()
                .orElseThrow(() -> new IOException("process " + parent + " has no child"));
    }

    /// How many processes of the worker's no cell has started, without those that it is in itself: this one and the
    /// snapshots.
    synchronized int processes() {
        return supervises ? 1 + snapshots.size() : 0;
    }

    /// Which of these processes are snapshots, by the numbers that they have for the worker, the oldest first.
    Map<Integer, Long> snapshotsAmong(Collection<Long> pids) {
        var all = new HashMap<Integer, Long>();
        pids.forEach(pid -> innerPid(pid).ifPresent(inner -> all.put(inner, pid)));
        var found = new LinkedHashMap<Integer, Long>();
        synchronized (this) {
            for (int snapshot : snapshots) {
                Long pid = all.get(snapshot);
                if (pid != null) {
                    found.put(snapshot, pid);
                }
            }
        }
        return found;
    }

    boolean isLive(long pid) {
        return innerPid(pid).equals(live());
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
        var spared = new HashSet<>(snapshotsAmong(pids).values());
        spared.removeIf(pid -> !ProcessTree.below(List.of(pid)).equals(Map.of(pid, 1)));
        pids.stream().filter(this::isLive).forEach(spared::add);
        return spared;
    }

    /// What each of these snapshots has in memory, in bytes, with its part of what it shares; those that cannot be read
    /// are left out.
    Map<Integer, Long> memory(long root) {
        var memory = new HashMap<Integer, Long>();
        snapshotsAmong(ProcessTree.below(List.of(root)).keySet()).forEach(
                (inner, pid) -> ProcessTree.proportionalBytes(pid).ifPresent(bytes -> memory.put(inner, bytes)));
        return memory;
    }

    /// The number that a process has in the innermost process namespace.
    private static Optional<Integer> innerPid(long pid) {
        try (var lines = Files.lines(Path.of("/proc", Long.toString(pid), "status"))) {
            return lines.filter(line -> line.startsWith("NSpid:"))
                    .map(line -> Integer.valueOf(line.substring(line.lastIndexOf('\t') + 1))).findFirst();
        } catch (IOException | UncheckedIOException e) {
            // It has ended.
            return Optional.empty();
        }
    }
}
