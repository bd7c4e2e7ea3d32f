package dev.capsule.promise;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class PromisesTest {
    private final ScheduledThreadPoolExecutor clock = new ScheduledThreadPoolExecutor(1);
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
        try (var late = new ScheduledThreadPoolExecutor(1) {
            @Override
            public ScheduledFuture<?> schedule(Runnable task, long delay, TimeUnit unit) {
                long due = System.nanoTime() + unit.toNanos(delay);
                for (long left; (left = due - System.nanoTime()) > 0;) {
                    LockSupport.parkNanos(left);
                }
                task.run();
                return super.schedule(() -> {}, 0, unit);
            }
        }) {
            var promise = new Promises<String>("p", late).create(Optional.of(Duration.ofMillis(1)), heard::add);
            assertEquals(List.of(new Settlement.TimedOut<>()), heard);
            assertEquals(State.REJECTED_TIMEDOUT, promise.state());
        }
    }

    @Test
    void deadlinesHoldInWhateverOrderTheyAreSet() throws Exception {
        var heard = new LinkedBlockingQueue<Integer>();
        for (int millis : List.of(60_000, 40, 1, 20, 80)) {
            promises.create(Optional.of(Duration.ofMillis(millis)), _ -> heard.add(millis));
        }
        for (int millis : List.of(1, 20, 40, 80)) {
            assertEquals(millis, heard.poll(10, TimeUnit.SECONDS));
        }
        assertEquals(1, promises.size());
    }

    /// Each question had a task of the clock's, whose thread woke up for it, next to the worker that was to answer.
    @Test
    void theClockIsNotWokenForEachDeadline() {
        for (int i = 0; i < 100; i++) {
            var promise = promises.create(Optional.of(Duration.ofHours(1)), _ -> {});
            promises.settle(promise.id(), new Settlement.Resolved<>("in time"));
        }
        assertEquals(1, clock.getQueue().size());
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
