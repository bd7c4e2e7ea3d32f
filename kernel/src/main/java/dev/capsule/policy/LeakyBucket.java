package dev.capsule.policy;

import java.time.Duration;

/// How much there was of something, of which a steady amount is forgotten in each second: so a flood fills it, and what goes
/// on for days at a moderate rate does not. Times are by [System#nanoTime]. Not safe for several threads.
public final class LeakyBucket {
    private final double leakPerNano;
    private double level;
    private long atNanos;

    /// @param leak how much is forgotten in each period
    public LeakyBucket(long leak, Duration period, long nowNanos) {
        leakPerNano = (double) leak / period.toNanos();
        atNanos = nowNanos;
    }

    /// Adds an amount, in whatever unit.
    ///
    /// @return how much there is then
    public long add(long amount, long nowNanos) {
        level = Math.max(0, level - (nowNanos - atNanos) * leakPerNano) + amount;
        atNanos = nowNanos;
        return (long) Math.ceil(level);
    }

    /// Forgets all of it.
    public void empty() {
        level = 0;
    }
}
