package dev.capsule.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.capsule.cli.WorkerPlan.Confined;
import dev.capsule.policy.Profile.Network;
import dev.capsule.sandbox.Tier;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// On this machine, whatever it offers.
class WorkerPlanTest {
    private static final String BINDS = "binds descriptors: ";

    @TempDir
    Path directory;

    private Path record;

    @BeforeEach
    void place() {
        record = directory.resolve("capsule").resolve(WorkerPlan.SANDBOX);
    }

    private WorkerPlan plan() throws IOException {
        var connection = Files.write(directory.resolve("connection.json"), new byte[0]);
        return WorkerPlan.of(new WorkerPlan.Settings("1", Path.of("/usr/bin/python3"),
                Path.of("../worker/python/capsule_worker/__main__.py").toAbsolutePath(), "plain", "default",
                new Confined.By(Tier.L1), Network.NONE, WorkerPlan.Snapshots.MADE, connection,
                Map.of("HOME", directory.toString(), "XDG_STATE_HOME", directory.toString())), _ -> {});
    }

    /// What is known of the machine may be wrong in spite of all that it is checked by: the worker then fails to start. Were
    /// the next started in the same way, none would ever run.
    @Test
    void whatIsKnownOfSandboxesIsTriedBeforeTheSecondWorker() throws IOException {
        plan().describe();
        assumeTrue(Files.exists(record), "this machine has no sandbox L1");
        String tried = Files.readString(record);
        boolean binds = tried.contains(BINDS + true);
        Files.writeString(record, tried.replace(BINDS + binds, BINDS + !binds));
        var plan = plan();
        plan.next(1);
        assertEquals(tried.replace(BINDS + binds, BINDS + !binds), Files.readString(record));
        plan.next(2);
        assertEquals(tried, Files.readString(record));
    }
}
