package dev.capsule.sandbox;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import java.util.List;
import org.junit.jupiter.api.Test;

class IdentityTest {
    private static final List<String> ALL = List.of("         0          0 4294967295");

    @Test
    void kernelsThatRunAtTheSameTimeHaveUsersOfTheirOwnThatNobodyElseHas() {
        assertEquals(1_879_048_192 + 77, Identity.dedicatedUid(77, ALL));
        assertEquals(1_879_048_192 + 4_194_303, Identity.dedicatedUid(4_194_303, ALL));
    }

    @Test
    void inAContainerWithFewUsersItIsOneOfTheLast() {
        var few = List.of("         0       1000          1", "         1     100000      65536");
        assertEquals(65_536 - 77, Identity.dedicatedUid(77, few));
        assertNotEquals(Identity.dedicatedUid(77, few), Identity.dedicatedUid(78, few));
    }
}
