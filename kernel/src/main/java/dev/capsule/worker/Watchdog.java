package dev.capsule.worker;

import dev.capsule.log.Logs;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.locks.LockSupport;

/// Looks after what workers use up, and after the kernel's own heap, which grows by what they say. Its thread, `watchdog`,
/// waits until a worker is busy, or has left something running; it takes a few percent of a processor at the most.
final class Watchdog {
    private static final Logger LOG = Logs.of(Watchdog.class);
    private static final Set<Ward> WARDS = ConcurrentHashMap.newKeySet();
    private static final Thread THREAD = Thread.ofPlatform().name("watchdog").daemon().unstarted(Watchdog::run);

    private Watchdog() {}

    static synchronized void add(Ward ward) {
        WARDS.add(ward);
        if (THREAD.getState() == Thread.State.NEW) {
            THREAD.start();
        }
    }

    static void remove(Ward ward) {
        WARDS.remove(ward);
    }

    /// A worker wants to be looked at.
    static void wake() {
        LockSupport.unpark(THREAD);
    }

    private static void run() {
        var heap = new Heap();
        while (true) {
            heap.tidy();
            long nanos = Long.MAX_VALUE;
            for (var ward : WARDS) {
                nanos = Math.min(nanos, turn(ward));
            }
            if (nanos == Long.MAX_VALUE) {
                LockSupport.park(WARDS);
            } else {
                LockSupport.parkNanos(WARDS, nanos);
            }
        }
    }

    private static long turn(Ward ward) {
        try {
            return ward.turn();
        } catch (RuntimeException | Error e) {
            // Of ours. The other workers' limits still hold; nothing runs without its own.
            LOG.log(Level.ERROR, "watching a worker", e);
            remove(ward);
            ward.abandon(e);
            return Long.MAX_VALUE;
        }
    }
}
