package dev.capsule.worker;

/// The kernel's own heap. The JVM would collect old objects only when all that it may take is used up: a busy session's
/// memory would grow for hours. For one thread.
final class Heap {
    /// Used before anything is done.
    private static final long LEAST_BYTES = 24L << 20;

    private final Runtime runtime = Runtime.getRuntime();
    private long limitBytes = LEAST_BYTES;

    /// Collects all that is of no use any more, for 5 to 15 ms, if the heap holds more than twice what was of use the last
    /// time.
    void tidy() {
        if (usedBytes() > limitBytes) {
            System.gc();
            limitBytes = Math.max(LEAST_BYTES, 2 * usedBytes());
        }
    }

    private long usedBytes() {
        return runtime.totalMemory() - runtime.freeMemory();
    }
}
