package dev.capsule.session;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.capsule.policy.Limit;
import dev.capsule.policy.Profile;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class MeteredTest {
    private static final Outcome.Succeeded SUCCEEDED = new Outcome.Succeeded(new byte[0], new byte[0]);

    private final List<String> heard = new ArrayList<>();
    private final List<Outcome> outcomes = new ArrayList<>();
    private final Advice advice = new Advice(Profile.LOCKED, Optional.empty(), Advice.Kept.SANDBOXED, Path.of("/n"));
    private int stops;

    private Metered metered(long bytes) {
        var metered = new Metered(new Recorder(), bytes, advice);
        metered.whenExceeded(() -> stops++);
        return metered;
    }

    private final class Recorder implements ExecutionListener {
        @Override
        public void stream(String name, byte[] text) {
            heard.add(name + " " + new String(text, UTF_8));
        }

        @Override
        public void result(Display display) {
            heard.add("result");
        }

        @Override
        public void display(Display display) {
            heard.add("display");
        }

        @Override
        public void updateDisplay(Display display) {
            heard.add("update");
        }

        @Override
        public void clearOutput(boolean waits) {
            heard.add("clear");
        }

        @Override
        public void error(String ename, String evalue, List<String> traceback) {
            heard.add("error");
        }

        @Override
        public void comm(CommMessage message) {
            heard.add("comm " + message.commId());
        }

        @Override
        public void input(InputRequest request) {
            heard.add("input");
        }

        @Override
        public void settled(Outcome outcome) {
            outcomes.add(outcome);
        }
    }

    /// Stopping it, as when a limit is exceeded, started a second worker beside the one that takes the dead one's place.
    @Test
    void nothingIsStoppedWhenTheWorkerHasEndedForALimit() {
        var metered = metered(6);
        metered.endedBy(Limit.MEMORY);
        metered.settled(SUCCEEDED);
        assertEquals(0, stops);
        assertEquals("LimitExceeded", assertInstanceOf(Outcome.Failed.class, outcomes.getFirst()).ename());
    }

    @Test
    void outputWithinTheLimitPasses() {
        var metered = metered(6);
        metered.stream("stdout", "abc".getBytes(UTF_8));
        metered.stream("stderr", "def".getBytes(UTF_8));
        metered.settled(SUCCEEDED);
        assertEquals(List.of("stdout abc", "stderr def"), heard);
        assertEquals(List.of(SUCCEEDED), outcomes);
        assertEquals(0, stops);
    }

    /// Cut at the limit, or before, where that is in the middle of a character.
    @Test
    void outputBeyondTheLimitStopsTheCellOnceAndIsNotHeard() {
        var metered = metered(6);
        metered.stream("stdout", "abcd€".getBytes(UTF_8));
        metered.stream("stdout", "e".getBytes(UTF_8));
        metered.clearOutput(false);
        assertEquals(List.of("stdout abcd"), heard);
        assertEquals(1, stops);
    }

    @Test
    void howeverACellEndsItHasFailedForTheFirstLimitItExceeded() {
        var metered = metered(6);
        metered.exceed(Limit.CELL_DEADLINE);
        metered.exceed(Limit.OUTPUT);
        metered.settled(SUCCEEDED);
        var failed = assertInstanceOf(Outcome.Failed.class, outcomes.getFirst());
        assertEquals("LimitExceeded", failed.ename());
        assertTrue(failed.evalue().contains("\"cellDeadline\""), failed::evalue);
        assertEquals(1, stops);
    }

    @Test
    void aThreadThatOutlivesItsCellIsToldWhenItsOutputEnds() {
        var metered = metered(6);
        metered.settled(SUCCEEDED);
        metered.stream("stdout", "abcdefgh".getBytes(UTF_8));
        metered.stream("stdout", "i".getBytes(UTF_8));
        assertEquals(2, heard.size());
        assertEquals("stdout abcdef", heard.getFirst());
        assertTrue(heard.getLast().contains("the limit \"output\" of profile \"locked\" is 1 MiB"), heard::toString);
        assertEquals(0, stops);
    }

    @Test
    void buffersOfACommCountAsOutput() {
        var metered = metered(10_000);
        byte[] none = "{}".getBytes(UTF_8);
        var message = new CommMessage(CommMessage.Kind.MSG, "c", "", none, none, List.of(new byte[6_000]));
        metered.comm(message);
        assertEquals(0, stops);
        metered.comm(message);
        assertEquals(1, stops);
        assertEquals(List.of("comm c"), heard);
    }
}
