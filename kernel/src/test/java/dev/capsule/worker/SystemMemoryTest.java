package dev.capsule.worker;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SystemMemoryTest {
    @TempDir
    private Path directory;

    private Path vmstat(String kills) throws IOException {
        return Files.writeString(directory.resolve("vmstat"), "pgfault 7\n" + kills + "oom_kill_unlike 9\n");
    }

    @Test
    void aProcessThatTheSystemHasEndedTellsThatMemoryRanOut() throws IOException {
        var memory = new SystemMemory(vmstat("oom_kill 54\n"));
        assertEquals(End.Struck.Memory.ENOUGH, memory.sinceLook());
        vmstat("oom_kill 55\n");
        assertEquals(End.Struck.Memory.RAN_OUT, memory.sinceLook());
        memory.look();
        assertEquals(End.Struck.Memory.ENOUGH, memory.sinceLook());
    }

    @Test
    void whereItIsNotCountedItIsNotKnown() throws IOException {
        assertEquals(End.Struck.Memory.UNKNOWN, new SystemMemory(vmstat("")).sinceLook());
        assertEquals(End.Struck.Memory.UNKNOWN, new SystemMemory(directory.resolve("none")).sinceLook());
    }
}
