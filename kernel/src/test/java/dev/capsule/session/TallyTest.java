package dev.capsule.session;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneId;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

class TallyTest {
    // Such a clock may be negative, and may overflow.
    private final AtomicLong nanos = new AtomicLong(Long.MAX_VALUE - Duration.ofSeconds(1).toNanos());
    private final Tally tally = new Tally(nanos::get);

    private void pass(Duration time) {
        nanos.addAndGet(time.toNanos());
    }

    private void fail(int times) {
        for (int i = 0; i < times; i++) {
            tally.failed("exited with code 3");
        }
    }

    /// For how long no cell is given a worker.
    private Duration pause() {
        var waited = Duration.ZERO;
        while (tally.refusal().isPresent()) {
            pass(Duration.ofSeconds(1));
            waited = waited.plusSeconds(1);
        }
        return waited;
    }

    @Test
    void deathsAreNoFailures() {
        for (int i = 0; i < 100; i++) {
            tally.died("In [" + i + "]", "was killed by SIGSEGV", "restored");
        }
        assertTrue(tally.trusts());
        assertEquals(Optional.empty(), tally.refusal());
    }

    @Test
    void aFewFailuresAreForgiven() {
        fail(Tally.MAX_FAILURES - 1);
        assertTrue(tally.trusts());
        assertEquals(Optional.empty(), tally.refusal());
    }

    @Test
    void afterThatOnlyACellMayTryAndTheLaterTheMoreFailed() {
        fail(Tally.MAX_FAILURES);
        assertFalse(tally.trusts());
        assertEquals(Duration.ofSeconds(2), pause());
        // The pause is over, and a question must still not start a worker.
        assertFalse(tally.trusts());
        fail(1);
        assertEquals(Duration.ofSeconds(4), pause());
        fail(1);
        assertEquals(Duration.ofSeconds(8), pause());
        fail(50);
        assertEquals(Tally.LONGEST_PAUSE, pause());
    }

    @Test
    void aWorkerThatRunsACellEndsIt() {
        fail(Tally.MAX_FAILURES + 3);
        tally.forgive();
        assertTrue(tally.trusts());
        assertEquals(Optional.empty(), tally.refusal());
        fail(Tally.MAX_FAILURES);
        assertEquals(Tally.FIRST_PAUSE, pause());
    }

    @Test
    void failuresOfLongAgoDoNotCount() {
        fail(Tally.MAX_FAILURES - 1);
        pass(Tally.WINDOW.plusSeconds(1));
        fail(1);
        assertTrue(tally.trusts());
    }

    @Test
    void theRefusalSaysHowOftenWhyWhenAndWhatToDo() {
        fail(2);
        pass(Duration.ofMillis(4500));
        tally.failed("could not be started: python exited with code 3 before it was ready\nno module named this");
        pass(Duration.ofMillis(300));
        String told = tally.refusal().orElseThrow();
        assertTrue(
                told.startsWith("the cell was not run: the worker has failed 3 times within 5 s, and is started again "
                        + "for a cell that comes in 2 s or later. The last time, it could not be started: python exited with code "
                        + "3 before it was ready\nno module named this\nWhat may help: capsule doctor"),
                told);
    }

    @Test
    void deathsAreListedWithTheTimeOfDay() {
        assertEquals("No worker of this session has died.\n", tally.list(Instant.now()));
        tally.died("In [3]", "was killed by SIGSEGV", "the state is restored");
        pass(Duration.ofSeconds(70));
        tally.died("between cells", "exited with code 1\nand said so\u001b[31m", "the state is lost");
        var now = LocalDateTime.of(2024, 5, 17, 14, 2, 15).atZone(ZoneId.systemDefault()).toInstant();
        assertEquals("""
                14:01:05  In [3]         the worker was killed by SIGSEGV; the state is restored
                14:02:15  between cells  the worker exited with code 1; the state is lost
                """, tally.list(now));
    }

    @Test
    void onlyTheLastDeathsAreKept() {
        for (int i = 1; i <= Tally.MAX_DEATHS + 7; i++) {
            tally.died("In [" + i + "]", "exited with code 1", "lost");
        }
        var lines = tally.list(Instant.now()).lines().toList();
        assertEquals("7 earlier ones are not listed any more", lines.getFirst());
        assertEquals(1 + Tally.MAX_DEATHS, lines.size());
        assertTrue(lines.getLast().contains("In [57]"), lines.getLast());
    }
}
