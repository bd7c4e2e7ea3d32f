package dev.capsule.worker;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertFalse;

import org.junit.jupiter.api.Test;

class SupervisorTest {
    /// A kernel that was refused its connection file ended its worker while that was starting, and logged a stack trace:
    /// "process … has no child".
    @Test
    void aWorkerMayHaveEndedBeforeItsGreetingIsRead() throws Exception {
        var ended = new ProcessBuilder("true").start();
        ended.waitFor();
        var supervisor = new Supervisor(new PipeWriter(-1), -1);
        assertDoesNotThrow(() -> supervisor.stands(ended.pid(), 2));
        assertFalse(supervisor.signal(Posix.SIGINT));
    }
}
