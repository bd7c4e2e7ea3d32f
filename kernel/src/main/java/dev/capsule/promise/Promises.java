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

    private static final class Open<T> {
        private final Promise<T> promise;

        // Guarded by this.
        private Optional<Future<?>> deadline = Optional.empty();
        private boolean ended;

        Open(Promise<T> promise) {
            this.promise = promise;
        }

        synchronized void end() {
            ended = true;
            deadline.ifPresent(future -> future.cancel(false));
        }

        synchronized void endsBy(Future<?> future) {
            deadline = Optional.of(future);
            if (ended) {
                future.cancel(false);
            }
        }
    }

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
        var timeoutAt = timeout.map(after -> OptionalLong.of(System.currentTimeMillis() + after.toMillis()))
                .orElse(OptionalLong.empty());
        var promise = new Promise<T>(id, timeoutAt, whenSettled);
        var opened = new Open<>(promise);
        if (open.putIfAbsent(id, opened) != null) {
            throw new IllegalStateException("promise id " + id + " is in use");
        }
        // Not before, for a deadline that found nothing to settle would be none.
        timeout.ifPresent(after -> opened.endsBy(clock.schedule(() -> settle(id, new Settlement.TimedOut<>()),
                after.toMillis(), TimeUnit.MILLISECONDS)));
        return promise;
    }

    /// @return false when no promise of this id is open
    public boolean settle(String id, Settlement<T> settlement) {
        var settled = open.remove(id);
        if (settled == null) {
            return false;
        }
        settled.end();
        return settled.promise.settle(settlement);
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
