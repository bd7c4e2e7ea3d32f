package dev.capsule.sandbox;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class IdentityTest {
    private static final List<String> ALL = List.of("         0          0 4294967295");

    @Test
    void kernelsThatRunAtTheSameTimeHaveUsersOfTheirOwnThatNobodyElseHas() {
        assertEquals(1_879_048_192 + 77, Identity.dedicatedUid(77, 0, ALL));
        assertEquals(1_879_048_192 + 4_194_303, Identity.dedicatedUid(4_194_303, 0, ALL));
    }

    @Test
    void inAContainerWithFewUsersItIsOneOfTheLast() {
        var few = List.of("         0       1000          1", "         1     100000      65536");
        assertEquals(65_536 - 77, Identity.dedicatedUid(77, 0, few));
        assertNotEquals(Identity.dedicatedUid(77, 0, few), Identity.dedicatedUid(78, 0, few));
    }

    /// They had one in common, and with one worker ended the other, too.
    @Test
    void workersOfOneKernelHaveUsersThatNoOtherKernelHas() {
        assertEquals(1_879_048_192 + 4_194_304 + 77, Identity.dedicatedUid(77, 1, ALL));
        assertEquals(Integer.MAX_VALUE, Identity.dedicatedUid(4_194_303, 63, ALL));
        assertEquals(Identity.dedicatedUid(77, 0, ALL), Identity.dedicatedUid(77, 64, ALL));
        var few = List.of("         0     100000      65536");
        assertEquals(16_384, IntStream.range(0, 16_384).map(turn -> Identity.dedicatedUid(77, turn, few)).distinct()
                .filter(uid -> uid >= 49_152 && uid < 65_536).count());
        assertNotEquals(Identity.dedicatedUid(77, 1, few), Identity.dedicatedUid(78, 0, few));
    }
}
