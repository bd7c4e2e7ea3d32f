package dev.capsule.promise;

import java.util.OptionalLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/// A named, single-assignment outcome: the first settlement holds, every later one is ignored.
public final class Promise<T> {
    private final String id;
    private final OptionalLong timeoutAtMillis;
    private final Consumer<Settlement<T>> whenSettled;
    private final AtomicReference<@Nullable Settlement<T>> settlement = new AtomicReference<>();

    /// @param timeoutAtMillis since the epoch; empty when there is no deadline
    /// @param whenSettled called once, on the thread that settles
    Promise(String id, OptionalLong timeoutAtMillis, Consumer<Settlement<T>> whenSettled) {
        this.id = id;
        this.timeoutAtMillis = timeoutAtMillis;
        this.whenSettled = whenSettled;
    }

    public String id() {
        return id;
    }

    public OptionalLong timeoutAtMillis() {
        return timeoutAtMillis;
    }

    public State state() {
        var settled = settlement.get();
        return settled == null ? State.PENDING : settled.state();
    }

    /// @return false when it was settled before
    boolean settle(Settlement<T> outcome) {
        if (!settlement.compareAndSet(null, outcome)) {
            return false;
        }
        whenSettled.accept(outcome);
        return true;
    }
}
