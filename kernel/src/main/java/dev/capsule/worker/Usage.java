package dev.capsule.worker;

import java.time.Duration;
import java.util.Collection;

/// What the processes of a worker use, snapshots among them, as the kernel itself reads it from `/proc`.
///
/// @param memoryBytes in memory; what several processes share counts once
/// @param cpu that they have used so far, with those of their children that have ended and were waited for
/// @param processes in the worker's namespace
public record Usage(long memoryBytes, Duration cpu, int processes) {
    /// `sysconf(_SC_CLK_TCK)` of every architecture that Java 25 runs on (`USER_HZ` in Linux).
    private static final long NANOS_PER_TICK = 10_000_000;

    /// @param pids of all processes; those that have ended meanwhile are left out
    /// @param outer how many of them are outside of the worker's namespace
    static Usage of(Collection<Long> pids, int outer) {
        long bytes = 0;
        long ticks = 0;
        int living = 0;
        for (long pid : pids) {
            bytes += ProcessTree.proportionalBytes(pid).orElseGet(() -> ProcessTree.residentBytes(pid));
            ticks += ProcessTree.cpuTicks(pid);
            living += ProcessTree.threads(pid) > 0 ? 1 : 0;
        }
        return new Usage(bytes, Duration.ofNanos(ticks * NANOS_PER_TICK), Math.max(0, living - outer));
    }
}
