package dev.capsule.worker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.capsule.frame.Frame;
import dev.capsule.policy.Limit;
import dev.capsule.sandbox.Launch;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/// Real processes; a shell plays the worker where no Python is needed.
class WorkerProcessTest {
    private static final String HELLO = "{\"signal\":\"hello\",\"protocol\":1,\"encoding\":\"json\",\"pid\":1,"
            + "\"language\":{\"name\":\"sh\",\"version\":\"1\"},\"implementation\":\"sh\",\"offers\":[]}";

    private static final class Recorder implements WorkerProcess.Listener {
        private final StringBuilder output = new StringBuilder();
        private final List<Frame.FromWorker> frames = new ArrayList<>();
        private final CompletableFuture<End> end = new CompletableFuture<>();
        private final CompletableFuture<Frame.FromWorker> firstFrame = new CompletableFuture<>();
        private final CompletableFuture<String> firstOutput = new CompletableFuture<>();

        private @Nullable Error raise;

        @Override
        public void frame(Frame.FromWorker frame) {
            if (raise != null) {
                throw raise;
            }
            frames.add(frame);
            firstFrame.complete(frame);
        }

        @Override
        public void output(Frame.Stream stream, byte[] text) {
            output.append(new String(text, StandardCharsets.UTF_8));
            firstOutput.complete(new String(text, StandardCharsets.UTF_8));
        }

        @Override
        public void exceeded(Limit limit) {
            throw new AssertionError(limit);
        }

        @Override
        public void curtailed(Limit limit) {
            throw new AssertionError(limit);
        }

        @Override
        public void ended(End how) {
            end.complete(how);
        }

        End awaitEnd() throws InterruptedException, ExecutionException, TimeoutException {
            return end.get(20, TimeUnit.SECONDS);
        }
    }

    private final Recorder recorder = new Recorder();

    private WorkerProcess start(String script) throws IOException {
        return WorkerProcess.start(1,
                _ -> new Launch("sh", List.of("/bin/sh", "-c", script), Map.of("PATH", "/usr/bin:/bin"),
                        Path.of("/")),
                recorder);
    }

    /// A shell command that writes a frame with this header.
    private static String frame(String header) {
        return "printf '\\000\\000\\000\\%03o\\000\\000\\000\\%03o%%s' '%s' >&4; ".formatted(header.length() + 4,
                header.length(), header);
    }

    @Test
    void aWorkerThatEndsBeforeItsHelloSaysWhy() throws Exception {
        start("echo 'no such module' >&2; exit 3");
        assertEquals(new End.NotStarted("sh exited with code 3 before it was ready\nno such module"),
                recorder.awaitEnd());
    }

    @Test
    void aProgramThatIsNotThereIsNamed() throws Exception {
        WorkerProcess.start(1, _ -> new Launch("python", List.of("/nonexistent/python"), Map.of(), Path.of("/")),
                recorder);
        var end = assertInstanceOf(End.NotStarted.class, recorder.awaitEnd());
        assertTrue(end.message().contains("/nonexistent/python"), end::message);
    }

    @Test
    void allThatWasSaidIsDeliveredBeforeTheEnd() throws Exception {
        var worker = start(frame(HELLO) + "read line <&3; echo one; echo two >&2; " + frame("{\"signal\":\"ready\"}")
                + "kill -SEGV $$");
        recorder.firstFrame.get(20, TimeUnit.SECONDS);
        worker.send(new Frame.Complete("k1", 0, "a line\n"));
        assertEquals(new End.Signaled(11), recorder.awaitEnd());
        assertEquals(2, recorder.frames.size());
        assertEquals("one\ntwo\n", recorder.output.toString());
    }

    @Test
    void aKillByAnotherIsToldApartFromOurs() throws Exception {
        start(frame(HELLO) + "kill -KILL $$");
        assertInstanceOf(End.Struck.class, recorder.awaitEnd());
    }

    @Test
    void garbageEndsTheWorker() throws Exception {
        start(frame(HELLO) + "printf 'this is no frame' >&4; read line");
        var end = assertInstanceOf(End.Violation.class, recorder.awaitEnd());
        assertEquals("frame of 1952999795 bytes is not within the limits of 4 and 71303172", end.message());
    }

    /// The process went on without its pipe, and its cell would never have ended.
    @Test
    void aWorkerThatClosesItsFramesIsEnded() throws Exception {
        start(frame(HELLO) + "exec 4>&-; exec tail -f /dev/null");
        assertEquals(new End.Violation("it closed the pipe of its frames"), recorder.awaitEnd());
    }

    @Test
    void nothingOfTheWorkersTreeSurvivesAKill() throws Exception {
        // The inner process leaves the group and the session, and loses its parent.
        var worker = start(
                frame(HELLO) + "(setsid sh -c 'echo $$; exec tail -f /dev/null' &) ; exec tail -f /dev/null");
        recorder.firstFrame.get(20, TimeUnit.SECONDS);
        worker.send(new Frame.Complete("k1", 0, "a line\n"));
        long daemon = Long.parseLong(recorder.firstOutput.get(20, TimeUnit.SECONDS).strip());
        assertTrue(ProcessHandle.of(daemon).isPresent());
        worker.kill();
        assertEquals(new End.Signaled(9), recorder.awaitEnd());
        assertFalse(ProcessHandle.of(daemon).map(ProcessHandle::isAlive).orElse(false));
    }

    /// The thread that listens died of it, and neither this cell nor any later one ever ended.
    @Test
    void anErrorOfTheListenerEndsTheWorkerAndIsReported() throws Exception {
        recorder.raise = new OutOfMemoryError("of the test");
        start(frame(HELLO) + "exec tail -f /dev/null");
        assertEquals(new End.Violation("the kernel failed on what it said: java.lang.OutOfMemoryError: of the test"),
                recorder.awaitEnd());
    }

    /// A pipe that is full must not hold up whoever sends.
    @Test
    void sendingNeverWaitsForTheWorker() throws Exception {
        var worker = start(frame(HELLO) + "exec tail -f /dev/null");
        worker.send(new Frame.Complete("k1", 0, "x".repeat(20 << 20)));
        for (int i = 0; i < 50_000; i++) {
            worker.send(new Frame.Cancel("k1"));
        }
        worker.stop(Duration.ZERO);
        assertEquals(new End.Signaled(9), recorder.awaitEnd());
    }

    @Test
    void aLargeRequestArrivesWhole() throws Exception {
        start(frame(HELLO) + "head -c 20971520 <&3 | wc -c; exec tail -f /dev/null")
                .send(new Frame.Complete("k1", 0, "x".repeat(20 << 20)));
        assertEquals("20971520\n", recorder.firstOutput.get(20, TimeUnit.SECONDS));
    }
}
