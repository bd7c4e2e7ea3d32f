package dev.capsule.promise;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class PromisesTest {
    private final ScheduledExecutorService clock = Executors.newSingleThreadScheduledExecutor();
    private final Promises<String> promises = new Promises<>("p", clock);

    @AfterEach
    void stopClock() {
        clock.shutdownNow();
    }

    @Test
    void theFirstSettlementHolds() {
        var heard = new ArrayList<Settlement<String>>();
        var promise = promises.create(Optional.empty(), heard::add);
        assertEquals(State.PENDING, promise.state());
        assertTrue(promises.settle(promise.id(), new Settlement.Resolved<>("one")));
        assertFalse(promises.settle(promise.id(), new Settlement.Canceled<>("two")));
        assertEquals(List.of(new Settlement.Resolved<>("one")), heard);
        assertEquals(State.RESOLVED, promise.state());
        assertEquals(0, promises.size());
    }

    @Test
    void aDeadlineSettlesAsTimedOut() throws Exception {
        var heard = new CompletableFuture<Settlement<String>>();
        var promise = promises.create(Optional.of(Duration.ofMillis(1)), heard::complete);
        assertEquals(new Settlement.TimedOut<>(), heard.get(10, TimeUnit.SECONDS));
        assertEquals(State.REJECTED_TIMEDOUT, promise.state());
    }

    /// The deadline was set before the promise was open: on a busy machine it found none, and the promise stayed open for
    /// ever.
    @Test
    void aDeadlineThatIsOverAtOnceSettlesToo() {
        var heard = new ArrayList<Settlement<String>>();
        try (var hasty = new ScheduledThreadPoolExecutor(1) {
            @Override
            public <V> ScheduledFuture<V> schedule(Callable<V> task, long delay, TimeUnit unit) {
                try {
                    V value = task.call();
                    return super.schedule(() -> value, 0, unit);
                } catch (Exception e) {
                    throw new IllegalStateException(e);
                }
            }
        }) {
            var promise = new Promises<String>("p", hasty).create(Optional.of(Duration.ofMillis(1)), heard::add);
            assertEquals(List.of(new Settlement.TimedOut<>()), heard);
            assertEquals(State.REJECTED_TIMEDOUT, promise.state());
        }
    }

    @Test
    void anIdInUseIsRefused() {
        promises.create("w1", Optional.empty(), _ -> {});
        assertThrows(IllegalStateException.class, () -> promises.create("w1", Optional.empty(), _ -> {}));
    }

    @Test
    void allThatAreOpenCanBeSettledTogether() {
        var heard = new ArrayList<State>();
        promises.create(Optional.empty(), settlement -> heard.add(settlement.state()));
        promises.create(Optional.of(Duration.ofHours(1)), settlement -> heard.add(settlement.state()));
        promises.settleAll(new Settlement.Canceled<>("the worker is gone"));
        assertEquals(List.of(State.REJECTED_CANCELED, State.REJECTED_CANCELED), heard);
    }
}
