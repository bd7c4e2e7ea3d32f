package dev.capsule.worker;

import dev.capsule.log.Logs;
import dev.capsule.policy.LeakyBucket;
import dev.capsule.policy.Limit;
import dev.capsule.sandbox.Launch;
import dev.capsule.sandbox.Quota;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;

/// A worker process whose limits are enforced from outside: by a control group where there can be one, and else by
/// looking at what its processes use. [Watchdog] has it look.
final class Ward {
    private static final Logger LOG = Logs.of(Ward.class);

    private static final long INTERVAL_NANOS = TimeUnit.MILLISECONDS.toNanos(100);
    /// While no cell runs, but something that it has started.
    private static final long IDLE_INTERVAL_NANOS = TimeUnit.SECONDS.toNanos(1);
    /// A look that takes long is the less often taken; but it may only seem long on a busy machine.
    private static final int REST = 20;
    private static final long LONGEST_REST_NANOS = 4 * INTERVAL_NANOS;

    /// Of the process that runs the cells: the main one, and that of control.
    private static final int OWN_THREADS = 2;

    /// For so long a worker may have all the processes that it may have; a quarter of the time that passes is forgotten of it.
    /// A program that meets the limit and gives up needs less, also where the end of 250 processes takes a second; what goes
    /// on would keep the machine busy with nothing else. As that ends and begins all the time, some looks find less of it.
    private static final long PATIENCE_NANOS = TimeUnit.SECONDS.toNanos(3);
    private static final int FORGOTTEN = 4;
    /// A system that has ended a process for its memory is taken for the cause of an end this much later.
    private static final long RECENT_NANOS = TimeUnit.SECONDS.toNanos(2);

    /// For so long the end of what cells have started is waited for, while nothing else is watched.
    private static final Duration END = Duration.ofSeconds(1);

    /// What it is told that it watches.
    interface Subject {
        /// Whether a cell runs.
        boolean busy();

        /// When the last one began, as [System#nanoTime] has it.
        long begunAtNanos();

        /// A limit is exceeded, by the running cell if there is one; told on the watchdog's thread.
        void exceeded(Limit limit);

        /// A process was ended for a limit, and it was not the worker itself, since the cell that runs has begun; told on the
        /// watchdog's thread.
        void curtailed(Limit limit);

        /// The worker has to end.
        void condemn(End end);
    }

    private static final class Groups {
        private static final Optional<Cgroup.Place> PLACE = Cgroup.find(Path.of("/proc/self/cgroup"),
                Path.of("/proc/self/mountinfo"));
    }

    /// How many processes the system has ended for their memory, and how many snapshots have ended by themselves: a
    /// snapshot that the system has ended has only made room.
    private record Kills(long all, long snapshots) {
        boolean concernsOthers(Kills before) {
            return all - before.all > Math.max(0, snapshots - before.snapshots);
        }
    }

    private final Quota quota;
    private final int depth;
    private final Child child;
    private final Supervisor supervisor;
    private final Subject subject;
    private final Optional<Cgroup> group;
    private final List<Growth> growing = new ArrayList<>();

    private final SystemMemory systemMemory = new SystemMemory(Path.of("/proc/vmstat"));

    private volatile boolean asked;
    private volatile boolean closed;

    /// The processes that have built the sandbox and, last, the worker's first; empty before the first look.
    private volatile List<Long> chain = List.of();
    private volatile Kills known = new Kills(0, 0);
    private volatile long killedAtNanos = System.nanoTime() - RECENT_NANOS;

    // Of thread watchdog.
    private boolean following;
    /// Whether the last look found a process ended for its memory that was no snapshot as far as was known; and the time of
    /// the look before, since which that has happened.
    private boolean unexplained;
    private long unexplainedSinceNanos;
    private long lookedAtNanos = System.nanoTime();
    private long costNanos;
    private final LeakyBucket fullNanos = new LeakyBucket(1, Duration.ofNanos(FORGOTTEN), lookedAtNanos);
    private boolean full;
    private long countedAtNanos = lookedAtNanos;
    private final Set<Path> crowded = new HashSet<>();
    private boolean exceededIdle;

    private Ward(Quota quota, int depth, Child child, Supervisor supervisor, Subject subject,
            Optional<Cgroup> group) {
        this.quota = quota;
        this.depth = depth;
        this.child = child;
        this.supervisor = supervisor;
        this.subject = subject;
        this.group = group;
    }

    /// How the limits are enforced that a worker's processes have together, for a person to read.
    static String describe() {
        return Groups.PLACE.map(Cgroup.Place::describe)
                .orElse("the system's limits on each process, and a look at /proc "
                        + "every " + TimeUnit.NANOSECONDS.toMillis(INTERVAL_NANOS)
                        + " ms while a cell runs (no control group can "
                        + "be made here)");
    }

    /// Finds out what this machine offers, while the caller would wait for something else.
    static void prepare() {
        LOG.log(Level.DEBUG, describe());
    }

    /// Takes charge of a process that was just started and runs nobody's code yet.
    ///
    /// @param number of the worker
    /// @throws IOException if it cannot be limited: it must then be ended
    static Ward of(int number, Launch launch, Quota quota, Child child, Supervisor supervisor, Subject subject)
            throws IOException {
        var group = Groups.PLACE.isPresent()
                ? Optional.of(Cgroup.make(Groups.PLACE.get(), number, quota.limits(),
                        launch.depth() + Launch.OWN_PROCESSES))
                : Optional.<Cgroup>empty();
        var ward = new Ward(quota, launch.depth(), child, supervisor, subject, group);
        try {
            for (var entry : quota.growing().entrySet()) {
                ward.growing.add(new Growth(entry.getKey(), entry.getValue(), ward.limitOf(entry.getKey())));
            }
            if (group.isPresent()) {
                Guardian.guard(group.get().directories());
                group.get().addTree(child.pid());
            }
        } catch (IOException e) {
            group.ifPresent(Cgroup::close);
            throw e;
        }
        Watchdog.add(ward);
        return ward;
    }

    private long limitOf(Limit limit) {
        return switch (limit) {
            case TMP -> quota.limits().tmpBytes();
            case WORKSPACE_GROWTH -> quota.limits().workspaceGrowthBytes();
            case MEMORY, PROCESSES, DESCRIPTORS, FILE_SIZE, CELL_DEADLINE, OUTPUT ->
                throw new IllegalArgumentException(limit + " is not a directory's");
        };
    }

    /// Asks for a look, now that the worker itself runs; costs next to nothing.
    void ask() {
        asked = true;
        Watchdog.wake();
    }

    /// Ends whatever the worker's cells have started. Meant for when it does not start more: when its cell has ended.
    void endOthers() {
        growing.forEach(Growth::forgive);
        try {
            if (!chain.isEmpty()) {
                var _ = ProcessTree.end(this::others, END);
                // Without namespaces, those whose parents have ended are now this process' and count until then.
                Child.reapOrphans();
            }
        } catch (IOException e) {
            // Most likely the worker has just ended, and with it the others.
            LOG.log(Level.DEBUG, () -> "ending what a worker has started: " + e);
        }
    }

    /// Who has sent a SIGKILL that the kernel itself has not sent.
    End explainKill() {
        return killedForMemory() ? new End.LimitExceeded(Limit.MEMORY) : new End.Struck(systemMemory.sinceLook());
    }

    /// Whether a process was ended just now because of what all have in memory.
    boolean killedForMemory() {
        return System.nanoTime() - killedAtNanos < RECENT_NANOS || kills().concernsOthers(known);
    }

    private Kills kills() {
        try {
            return group.isPresent() ? kills(group.get().killsForMemory(), known) : known;
        } catch (IOException e) {
            LOG.log(Level.WARNING, () -> "control group: " + e);
            return known;
        }
    }

    private Kills kills(long all, Kills before) {
        // Who has ended just now and is not reported yet is looked for only if that is to be known: it takes a file for
        // each snapshot.
        return new Kills(all,
                all == before.all ? Math.max(before.snapshots, supervisor.reportedLost()) : supervisor.lost());
    }

    /// Nobody looks any more.
    void abandon(Throwable fault) {
        subject.condemn(new End.Unwatched(fault.toString()));
    }

    /// The process has ended; ends what is left of it.
    void close() {
        closed = true;
        Watchdog.remove(this);
        group.ifPresent(cgroup -> {
            cgroup.close();
            Guardian.release(cgroup.directories());
        });
    }

    /// Looks, if that was asked for, or is going on, and the time has come.
    ///
    /// @return after how many nanoseconds it is to be called again, if it is not woken before
    long turn() {
        if (closed || (!asked && !following)) {
            return Long.MAX_VALUE;
        }
        long begun = System.nanoTime();
        long rest = Math.max(subject.busy() || asked ? INTERVAL_NANOS : IDLE_INTERVAL_NANOS,
                Math.min(LONGEST_REST_NANOS, REST * costNanos));
        if (begun - lookedAtNanos < rest) {
            return lookedAtNanos + rest - begun;
        }
        asked = false;
        systemMemory.look();
        try {
            following = look(begun);
        } catch (IOException e) {
            // Most likely it has just ended.
            LOG.log(Level.DEBUG, () -> "watching a worker: " + e);
        }
        following |= subject.busy();
        lookedAtNanos = System.nanoTime();
        costNanos = lookedAtNanos - begun;
        return following ? INTERVAL_NANOS : Long.MAX_VALUE;
    }

    /// @return whether something is running beside the worker itself
    private boolean look(long now) throws IOException {
        if (chain.isEmpty()) {
            chain = chain();
        }
        if (chain.isEmpty()) {
            throw new IOException("process " + child.pid() + " has ended");
        }
        Map<Long, Integer> tree = group.isPresent() ? Map.of() : tree();
        int tasks = group.isPresent()
                ? group.get().tasks()
                : tree.values().stream().mapToInt(Integer::intValue).sum();
        int own = depth + supervisor.processes();
        processes(tasks - own, own, now);
        if (group.isPresent()) {
            var kills = kills();
            boolean concernsOthers = kills.concernsOthers(known);
            if (concernsOthers && !unexplained) {
                // The end of a snapshot is told a moment after the system has counted it.
                unexplained = true;
                unexplainedSinceNanos = lookedAtNanos;
            } else {
                unexplained = false;
                known = kills;
                if (concernsOthers) {
                    killedAtNanos = now;
                    if (subject.begunAtNanos() - unexplainedSinceNanos < 0) {
                        subject.curtailed(Limit.MEMORY);
                    }
                }
            }
            makeRoom();
        } else {
            memory(tree.keySet(), now);
        }
        for (Path path : quota.inMemory()) {
            files(path);
        }
        for (var growth : growing) {
            if (growth.exceeds(this::processes) && !isMadeRoom(growth)) {
                exceeded(growth.limit());
            }
        }
        return unexplained || tasks > own + OWN_THREADS;
    }

    /// Ends the snapshots that alone have files open which cells have removed and closed.
    ///
    /// @return whether there were any
    private boolean isMadeRoom(Growth growth) throws IOException {
        var snapshots = supervisor.snapshots();
        var others = new HashSet<>(processes());
        others.removeAll(snapshots.values());
        var holders = growth.holders(snapshots.values(), others);
        snapshots.forEach((snapshot, pid) -> {
            if (holders.contains(pid)) {
                supervisor.end(snapshot);
            }
        });
        if (!holders.isEmpty()) {
            growth.reconsider();
        }
        return !holders.isEmpty();
    }

    private List<Long> chain() {
        var found = new ArrayList<Long>();
        for (int i = 0; i <= depth; i++) {
            child.descendant(i).ifPresent(found::add);
        }
        return found;
    }

    private Map<Long, Integer> tree() {
        var roots = new ArrayList<>(List.of(child.pid()));
        if (depth == 0) {
            // Without namespaces, who loses its parent becomes a child of the kernel.
            roots.addAll(Child.adopted());
        }
        return ProcessTree.below(roots);
    }

    Set<Long> processes() throws IOException {
        return group.isPresent() ? group.get().processes() : tree().keySet();
    }

    private Set<Long> others() throws IOException {
        var others = new HashSet<>(processes());
        others.removeAll(chain);
        others.removeAll(supervisor.spared(others));
        return others;
    }

    private void processes(int count, int own, long now) throws IOException {
        // What begins and ends all the time is seldom all there.
        int most = quota.limits().processes() / 16 * 15;
        // Those count that have ended and were not waited for; but they do no harm.
        int living = count < most ? 0 : processes().stream().mapToInt(ProcessTree::threads).sum() - own;
        boolean before = full;
        full = living >= most;
        // Between cells that nothing is left of, nobody looks.
        long since = Math.min(now - countedAtNanos, IDLE_INTERVAL_NANOS);
        countedAtNanos = now;
        // What has become full, or not, between two looks has most likely done so halfway.
        long filled = full && before ? since : full || before ? since / 2 : 0;
        if (fullNanos.add(filled, now) > PATIENCE_NANOS) {
            fullNanos.empty();
            exceeded(Limit.PROCESSES);
        }
    }

    private void exceeded(Limit limit) {
        LOG.log(Level.WARNING, () -> "a worker exceeds the limit \"" + limit.key() + "\"");
        endOthers();
        if (subject.busy()) {
            exceededIdle = false;
            subject.exceeded(limit);
        } else if (exceededIdle && limit != Limit.PROCESSES) {
            // It is a thread of the worker itself.
            subject.condemn(new End.LimitExceeded(limit));
        } else {
            exceededIdle = true;
        }
    }

    /// Where the snapshots take much of what little is left, the oldest goes, before the system has to end one.
    private void makeRoom() throws IOException {
        long most = quota.limits().memoryBytes();
        long used = group.orElseThrow().anonymousBytes();
        if (used > most / 4 * 3) {
            var others = new HashSet<>(processes());
            others.removeAll(supervisor.snapshots().values());
            if (used - others.stream().mapToLong(ProcessTree::anonymousBytes).sum() > most / 4) {
                supervisor.endOldest();
            }
        }
    }

    /// As the system does it for a control group: who has the most is ended. But where there would be room enough without
    /// the snapshots, those are, the oldest first.
    private void memory(Set<Long> pids, long now) {
        long most = quota.limits().memoryBytes();
        if (pids.stream().mapToLong(ProcessTree::residentBytes).sum() <= most) {
            return;
        }
        // What they share was counted for each.
        var snapshots = supervisor.snapshots();
        long sum = 0;
        long without = 0;
        long largest = 0;
        long victim = child.pid();
        for (long pid : pids) {
            boolean copy = snapshots.containsValue(pid);
            long resident = copy ? 0 : ProcessTree.residentBytes(pid);
            long bytes = ProcessTree.proportionalBytes(pid).orElse(resident);
            sum += bytes;
            without += resident;
            if (!copy && bytes > largest) {
                largest = bytes;
                victim = pid;
            }
        }
        if (sum <= most) {
            return;
        }
        if (without <= most) {
            drop(supervisor.expendableSnapshots(), sum - most);
            return;
        }
        killedAtNanos = now;
        if (chain.contains(victim) || supervisor.isLive(victim)) {
            subject.condemn(new End.LimitExceeded(Limit.MEMORY));
        } else {
            Posix.kill(victim, Posix.SIGKILL);
            subject.curtailed(Limit.MEMORY);
        }
    }

    private void drop(Map<Integer, Long> snapshots, long bytes) {
        long left = bytes;
        for (var snapshot : snapshots.entrySet()) {
            if (left <= 0) {
                return;
            }
            left -= ProcessTree.proportionalBytes(snapshot.getValue()).orElse(0);
            supervisor.end(snapshot.getKey());
        }
    }

    /// Files that are empty take memory, too, and no size limits them.
    private void files(Path path) {
        FileSystemUse use;
        try {
            // Of the sandbox's first process, which the cells cannot make unreadable.
            use = FileSystemUse.of(Path.of("/proc", Long.toString(chain.get(Math.min(1, chain.size() - 1))), "root")
                    .resolve(Path.of("/").relativize(path)));
        } catch (IOException e) {
            return;
        }
        long most = quota.limits().tmpBytes() / Growth.FILE_BYTES;
        if (use.files() <= most) {
            crowded.remove(path);
        } else if (crowded.add(path)) {
            exceeded(Limit.TMP);
        }
    }
}
