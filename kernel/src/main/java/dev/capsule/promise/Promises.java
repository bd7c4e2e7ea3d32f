package dev.capsule.promise;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;

/// The open promises of one asker, in memory. A promise leaves the store when it is settled. Safe for several threads.
public final class Promises<T> {
    private final String prefix;
    private final ScheduledExecutorService clock;
    private final AtomicLong count = new AtomicLong();
    private final Map<String, Open<T>> open = new ConcurrentHashMap<>();

    /// When the clock looks for what is overdue, by [System#nanoTime]; empty when it will not. One look for many promises:
    /// nearly all are settled in time, and each task of the clock's would wake its thread. Guarded by this.
    private OptionalLong lookAtNanos = OptionalLong.empty();

    /// @param dueNanos by [System#nanoTime]; empty when there is no deadline
    private record Open<T>(Promise<T> promise, OptionalLong dueNanos) {}

    /// @param prefix begins every id
    /// @param clock runs the deadlines
    public Promises(String prefix, ScheduledExecutorService clock) {
        this.prefix = prefix;
        this.clock = clock;
    }

    /// @param timeout after which the promise is settled as timed out; empty for none
    /// @param whenSettled called once, on the thread that settles
    public Promise<T> create(Optional<Duration> timeout, Consumer<Settlement<T>> whenSettled) {
        return create(prefix + count.incrementAndGet(), timeout, whenSettled);
    }

    /// A promise whose id the other side chose.
    ///
    /// @throws IllegalStateException if the id is in use
    public Promise<T> create(String id, Optional<Duration> timeout, Consumer<Settlement<T>> whenSettled) {
        var timeoutAt = OptionalLong.empty();
        var due = OptionalLong.empty();
        if (timeout.isPresent()) {
            timeoutAt = OptionalLong.of(System.currentTimeMillis() + timeout.get().toMillis());
            due = OptionalLong.of(System.nanoTime() + timeout.get().toNanos());
        }
        var promise = new Promise<T>(id, timeoutAt, whenSettled);
        if (open.putIfAbsent(id, new Open<>(promise, due)) != null) {
            throw new IllegalStateException("promise id " + id + " is in use");
        }
        // Not before, for a look that found nothing to settle would be none.
        due.ifPresent(this::lookAt);
        return promise;
    }

    private synchronized void lookAt(long dueNanos) {
        if (lookAtNanos.isPresent() && lookAtNanos.getAsLong() - dueNanos <= 0) {
            return;
        }
        lookAtNanos = OptionalLong.of(dueNanos);
        Future<?> _ = clock.schedule(this::look, dueNanos - System.nanoTime(), TimeUnit.NANOSECONDS);
    }

    /// Settles what is overdue.
    private void look() {
        synchronized (this) {
            lookAtNanos = OptionalLong.empty();
        }
        open.forEach((id, each) -> each.dueNanos.ifPresent(due -> {
            if (due - System.nanoTime() > 0) {
                lookAt(due);
            } else {
                settle(id, new Settlement.TimedOut<>());
            }
        }));
    }

    /// @return false when no promise of this id is open
    public boolean settle(String id, Settlement<T> settlement) {
        var settled = open.remove(id);
        return settled != null && settled.promise.settle(settlement);
    }

    /// Settles all that are open now; not those that are opened by what is done when one is settled.
    public void settleAll(Settlement<T> settlement) {
        openIds().forEach(id -> settle(id, settlement));
    }

    /// @return the ids of the promises that are open now
    public List<String> openIds() {
        return List.copyOf(open.keySet());
    }

    public boolean isOpen(String id) {
        return open.containsKey(id);
    }

    /// Whether this store has ever given out the id, be the promise open or settled.
    public boolean issued(String id) {
        if (!id.startsWith(prefix) || id.length() == prefix.length()) {
            return false;
        }
        try {
            long number = Long.parseLong(id.substring(prefix.length()));
            return number > 0 && number <= count.get();
        } catch (NumberFormatException e) {
            return false;
        }
    }

    public int size() {
        return open.size();
    }
}
