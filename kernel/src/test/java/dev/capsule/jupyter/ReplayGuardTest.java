package dev.capsule.jupyter;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.LinkedHashSet;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ReplayGuardTest {
    @Test
    void eachIsAcceptedOnceWhileItIsKnown() {
        var guard = new ReplayGuard(2);
        assertTrue(guard.accepts(0));
        assertTrue(guard.accepts(-1));
        assertFalse(guard.accepts(0));
        assertTrue(guard.accepts(7));
        assertFalse(guard.accepts(-1));
        assertTrue(guard.accepts(0), "the oldest is forgotten");
    }

    /// Beside a set of Java's, with signatures that end alike, so that they want the same slots.
    @ParameterizedTest
    @ValueSource(ints = {1, 8, 512, 4_096})
    void manyAreToldFromOneAnother(int max) {
        var guard = new ReplayGuard(max);
        var known = new LinkedHashSet<Long>();
        var random = new Random(max);
        for (int i = 0; i < 50_000; i++) {
            long signature = (random.nextLong(4) << 32) | (random.nextInt(2 * max) & ~3);
            boolean isNew = known.add(signature);
            assertEquals(isNew, guard.accepts(signature), "signature " + i);
            if (known.size() > max) {
                known.removeFirst();
            }
        }
    }
}
