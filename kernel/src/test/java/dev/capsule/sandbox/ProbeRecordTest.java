package dev.capsule.sandbox;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.capsule.sandbox.ProbeRecord.Found;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ProbeRecordTest {
    private static final Workspace NONE = new Workspace.Scratch("nothing is needed");

    @TempDir
    Path directory;

    private Path file;

    @BeforeEach
    void place() {
        file = directory.resolve("state/sandbox");
    }

    private static Probe.Result found(Tier tier, boolean bindsDescriptors, Identity identity,
            List<Probe.Refusal> refused) {
        var program = Path.of("/usr/bin/program");
        return new Probe.Result.Available(new Sandbox.Namespaces(tier, Seccomp.Arch.X86_64,
                new Bubblewrap.Tools(program, program, program, program, bindsDescriptors),
                new HostFiles(List.of(), List.of(), 1), identity), refused);
    }

    private static Probe.Result best() {
        return found(Tier.L1, false, new Identity.KernelsOwn(), List.of());
    }

    @Test
    void whatWasFoundIsKnownWhileAllIsAsItWas() throws IOException {
        var record = ProbeRecord.of(file, "1 /program", NONE);
        assertEquals(Optional.empty(), record.read(Tier.L1));
        record.keep(best());
        assertEquals(Optional.of(new Found(false, false)), ProbeRecord.of(file, "1 /program", NONE).read(Tier.L1));
        record.keep(found(Tier.L1, true, new Identity.Dedicated(1, new Staging.Owners.Mapped(-1)), List.of()));
        assertEquals(Optional.of(new Found(true, true)), record.read(Tier.L1));
        assertEquals(Optional.empty(), record.read(Tier.L2));
    }

    @Test
    void nothingIsKnownOfAnotherProgramBootOrWorkspace() throws IOException {
        ProbeRecord.of(file, "1 /program", NONE).keep(best());
        assertEquals(Optional.empty(), ProbeRecord.of(file, "2 /program", NONE).read(Tier.L1));
        var workspace = new Workspace.Directory(directory, List.of());
        assertEquals(Optional.empty(), ProbeRecord.of(file, "1 /program", workspace).read(Tier.L1));
        String boot = Files.readString(Path.of("/proc/sys/kernel/random/boot_id"));
        String written = Files.readString(file);
        assertTrue(written.contains(boot), written);
        Files.writeString(file, written.replace(boot, "another\n"));
        assertEquals(Optional.empty(), ProbeRecord.of(file, "1 /program", NONE).read(Tier.L1));
    }

    @Test
    void whatIsWrittenBesideItCountsForNothing() throws IOException {
        var record = ProbeRecord.of(file, "1 /program", NONE);
        record.keep(best());
        Files.writeString(file, Files.readString(file) + "L1 holds\n");
        assertEquals(Optional.empty(), record.read(Tier.L1));
    }

    /// A person who is told what the best lacks may mend that, and start the kernel again.
    @Test
    void onlyTheBestIsKept() throws IOException {
        var record = ProbeRecord.of(file, "1 /program", NONE);
        record.keep(found(Tier.L2, false, new Identity.KernelsOwn(),
                List.of(new Probe.Refusal(Tier.L1, "no /proc", "mount it"))));
        record.keep(new Probe.Result.Unavailable(List.of()));
        assertEquals(false, Files.exists(file));
    }

    @Test
    void whatIsDoubtfulIsForgotten() throws IOException {
        var record = ProbeRecord.of(file, "1 /program", NONE);
        record.keep(best());
        record.discard();
        assertEquals(Optional.empty(), record.read(Tier.L1));
    }

    @Test
    void aSandboxIsRecalledWithoutStartingAProcess() throws IOException {
        var none = new Processes() {
            @Override
            public Ended run(Launch launch, Duration patience) {
                throw new IllegalStateException("started " + launch.command());
            }

            @Override
            public int userNamespace(String uidMap, String gidMap) throws IOException {
                throw new IOException("none here");
            }
        };
        var record = ProbeRecord.of(file, "1 /program", NONE);
        assertEquals(Optional.empty(), Probe.recall(none, Tier.L1, NONE, record));
        record.keep(best());
        boolean possible = Bubblewrap.Tools.NAMES.stream().allMatch(name -> HostFiles.program(name).isPresent());
        assertEquals(possible, Probe.recall(none, Tier.L1, NONE, record).isPresent());
        assertEquals(Optional.empty(), Probe.recall(none, Tier.L2, NONE, record));
    }
}
