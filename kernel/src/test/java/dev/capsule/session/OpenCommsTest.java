package dev.capsule.session;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.capsule.session.CommMessage.Kind;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class OpenCommsTest {
    private final OpenComms comms = new OpenComms();

    @Test
    void listsWhatWasOpenedAndNotClosed() {
        comms.said(Kind.OPEN, "a", "x");
        comms.said(Kind.OPEN, "b", "y");
        comms.said(Kind.MSG, "c", "");
        comms.said(Kind.CLOSE, "d", "");
        assertEquals(Map.of("a", "x", "b", "y"), comms.list(Optional.empty()));
        assertEquals(Map.of("b", "y"), comms.list(Optional.of("y")));
        comms.said(Kind.CLOSE, "a", "");
        assertFalse(comms.has("a"));
        assertTrue(comms.has("b"));
    }

    @Test
    void ofAnotherProcessOnlyItsOwnAreListed() {
        comms.said(Kind.OPEN, "a", "x");
        comms.replace(Map.of("b", "y"));
        assertEquals(Map.of("b", "y"), comms.list(Optional.empty()));
    }

    @Test
    void forgetsTheOldestOfTooMany() {
        for (int i = 0; i <= OpenComms.MAX; i++) {
            comms.said(Kind.OPEN, "c" + i, "x");
        }
        assertFalse(comms.has("c0"));
        assertTrue(comms.has("c1"));
        assertEquals(OpenComms.MAX, comms.list(Optional.empty()).size());
    }
}
