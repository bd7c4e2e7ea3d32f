package dev.capsule.policy;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import java.nio.file.Path;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class LimitTest {
    @Test
    void saysItsValueAndWhatToWriteWhere() {
        assertEquals(
                "the limit \"descriptors\" of profile \"default\" is 1,024; to raise it: "
                        + "{\"default\": {\"descriptors\": 4096}} in /home/ada/.config/capsule/profiles.json, "
                        + "and restart the kernel",
                Limit.DESCRIPTORS.explain(Profile.DEFAULT,
                        Optional.of(Path.of("/home/ada/.config/capsule/profiles.json"))));
        assertEquals("{\"default\": {\"memory\": \"4 GiB\"}}", Limit.MEMORY.raised(Profile.DEFAULT));
        assertEquals("{\"locked\": {\"output\": \"2 MiB\"}}", Limit.OUTPUT.raised(Profile.LOCKED));
        assertEquals("{\"locked\": {\"cellDeadline\": \"5 min\"}}", Limit.CELL_DEADLINE.raised(Profile.LOCKED));
    }

    /// A person copies it into the file.
    @ParameterizedTest
    @EnumSource
    void whatItSaysToWriteIsUnderstoodAndRaisesIt(Limit limit) {
        var raised = Profiles.parse("the file", limit.raised(Profile.LOCKED).getBytes(UTF_8)).get("locked");
        assertNotEquals(Profile.LOCKED, raised);
        assertEquals(Profile.LOCKED.outputs(), raised.outputs());
    }
}
