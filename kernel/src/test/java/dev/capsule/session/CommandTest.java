package dev.capsule.session;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Optional;
import org.junit.jupiter.api.Test;

class CommandTest {
    @Test
    void deathsAndRecycleStandAlone() {
        assertEquals(Optional.of(new Command.Deaths()), Command.parse(" %deaths\n"));
        assertEquals(Optional.of(new Command.Recycle()), Command.parse("%recycle"));
        assertEquals(Optional.of(new Command.Malformed("%recycle takes nothing: now")),
                Command.parse("%recycle now"));
        assertEquals(Optional.empty(), Command.parse("x = 1\n%recycle"));
    }
}
