package dev.capsule.policy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import org.junit.jupiter.api.Test;

class LeakyBucketTest {
    private static final long HOUR = Duration.ofHours(1).toNanos();

    @Test
    void whatComesAtOnceIsAddedUp() {
        var bucket = new LeakyBucket(100, Duration.ofHours(1), 5);
        assertEquals(40, bucket.add(40, 5));
        assertEquals(100, bucket.add(60, 5));
        assertEquals(101, bucket.add(1, 5));
        bucket.empty();
        assertEquals(1, bucket.add(1, 5));
    }

    @Test
    void whatIsForgottenMakesRoom() {
        var bucket = new LeakyBucket(100, Duration.ofHours(1), 0);
        assertEquals(100, bucket.add(100, 0));
        assertEquals(75, bucket.add(0, HOUR / 4));
        assertEquals(0, bucket.add(0, 9 * HOUR));
        assertEquals(7, bucket.add(7, 9 * HOUR));
    }

    @Test
    void noTimeIsTooShortToCount() {
        var bucket = new LeakyBucket(256L << 20, Duration.ofHours(1), 0);
        long level = 0;
        // A hundred bytes a second, in a thousand pieces.
        for (long micros = 0; micros < 10_000_000; micros += 1_000) {
            level = bucket.add(micros % 10_000 == 0 ? 1 : 0, 1_000 * micros);
        }
        assertTrue(level <= 1, () -> "less came than is forgotten");
    }
}
