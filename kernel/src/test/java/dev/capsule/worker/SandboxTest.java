package dev.capsule.worker;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.abort;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.capsule.policy.Profile;
import dev.capsule.sandbox.Confinement;
import dev.capsule.sandbox.Landlock;
import dev.capsule.sandbox.Launch;
import dev.capsule.sandbox.Launch.Source;
import dev.capsule.sandbox.Probe;
import dev.capsule.sandbox.Processes.Ended;
import dev.capsule.sandbox.Program;
import dev.capsule.sandbox.Sandbox;
import dev.capsule.sandbox.Tier;
import dev.capsule.sandbox.Workspace;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Real sandboxes of every kind that this machine offers, with shell commands as workers.
class SandboxTest {
    private static final LocalProcesses PROCESSES = new LocalProcesses();
    private static final Duration PATIENCE = Duration.ofSeconds(20);

    @TempDir
    private Path directory = Path.of("");
    private Path workspace = Path.of("");
    private Path secret = Path.of("");

    @BeforeEach
    void makeWorkspace() throws IOException {
        directory = directory.toRealPath();
        workspace = Files.createDirectory(directory.resolve("notebooks"));
        Files.writeString(workspace.resolve("data"), "data\n");
        secret = Files.writeString(directory.resolve("secret"), "secret\n");
    }

    /// Processes that are not reaped count among those that the next worker may have.
    @BeforeAll
    static void prepareHost() {
        WorkerProcess.prepareHost();
    }

    @AfterEach
    void reapOrphans() {
        Child.killOrphans();
    }

    @AfterEach
    void leavesNoMount() throws IOException {
        assertFalse(Files.readString(Path.of("/proc/self/mountinfo")).contains(directory.toString()));
    }

    private Sandbox sandbox(Tier tier) throws IOException {
        return switch (Probe.run(PROCESSES, List.of(tier), workspace())) {
            case Probe.Result.Available(var sandbox, _) -> sandbox;
            case Probe.Result.Unavailable unavailable -> abort(unavailable.message());
        };
    }

    private Workspace workspace() throws IOException {
        return Workspace.of(workspace, Path.of("/nonexistent"), List.of());
    }

    private Ended run(Tier tier, Profile profile, String script) throws IOException {
        try (var sandbox = sandbox(tier)) {
            return PROCESSES.run(sandbox.launch(profile,
                    new Program(List.of("/bin/sh", "-c", script, "sh", directory.toString()), List.of(), Map.of(),
                            false),
                    workspace()), PATIENCE);
        }
    }

    @ParameterizedTest
    @EnumSource
    void theWorkspaceIsReadAndWrittenAndItsFilesBelongToWhoItBelongsTo(Tier tier) throws IOException {
        assertEquals(new Ended(0, workspace + "\ndata\n"),
                run(tier, Profile.DEFAULT, "pwd; cat data; echo made >made; mkdir sub; echo more >>data"));
        assertEquals("made\n", Files.readString(workspace.resolve("made")));
        assertEquals("data\nmore\n", Files.readString(workspace.resolve("data")));
        if (tier != Tier.L3) {
            assertEquals(Files.getOwner(workspace),
                    Files.getOwner(workspace.resolve("made"), LinkOption.NOFOLLOW_LINKS));
        }
    }

    @ParameterizedTest
    @EnumSource
    void nothingBesideItIsSeen(Tier tier) throws IOException {
        var ended = run(tier, Profile.DEFAULT,
                "cat \"$1/secret\" 2>/dev/null || echo none; ls \"$1\" 2>/dev/null; echo x 2>/dev/null >\"$1/x\"");
        assertFalse(ended.output().contains("secret"), ended::output);
        assertEquals("secret\n", Files.readString(secret));
        assertFalse(Files.exists(directory.resolve("x")));
    }

    @ParameterizedTest
    @EnumSource
    void lockedSeesNotEvenTheWorkspace(Tier tier) throws IOException {
        assertEquals(new Ended(0, "none\nmade\n"),
                run(tier, Profile.LOCKED, "cat data 2>/dev/null || echo none; echo made >made; cat made"));
        assertFalse(Files.exists(workspace.resolve("made")));
    }

    @ParameterizedTest
    @EnumSource
    void theEnvironmentIsAShortList(Tier tier) throws IOException {
        var names = run(tier, Profile.DEFAULT, "env").output().lines().map(line -> line.replaceAll("=.*", ""))
                .filter(name -> !name.equals("PWD") && !name.equals("OLDPWD")).sorted()
                .collect(Collectors.joining(" "));
        assertEquals("HOME LANG OMP_NUM_THREADS OPENBLAS_NUM_THREADS PATH PYTHONDONTWRITEBYTECODE TMPDIR USER", names);
    }

    @ParameterizedTest
    @EnumSource
    void noDescriptorOfTheKernelsIsOpen(Tier tier) throws IOException {
        // Of the worker's own, this one has the first three.
        assertEquals("", run(tier, Profile.DEFAULT, "for fd in 3 4 5 6 7 8 9; do "
                + "if { true >&$fd; } 2>/dev/null || { true <&$fd; } 2>/dev/null; then echo $fd; fi; done").output());
    }

    @ParameterizedTest
    @EnumSource
    void theLimitsAreSet(Tier tier) throws IOException {
        assertEquals("1024 2097152 0",
                run(tier, Profile.DEFAULT, "echo $(ulimit -n) $(ulimit -f) $(ulimit -c)").output().strip());
    }

    /// Not at L3: there, a process cannot read what /proc has of it.
    @ParameterizedTest
    @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "L3")
    void standardOutputCanBeOpenedAgain(Tier tier) throws IOException {
        assertEquals("a\nb\n", run(tier, Profile.DEFAULT, "echo a >/dev/stdout; echo b >/dev/stderr").output());
    }

    /// A worker may signal the threads that are in its Landlock domain, and with one of them this whole process.
    @Test
    void noThreadOfThisProcessStaysInTheFence() throws IOException {
        try (var sandbox = sandbox(Tier.L3)) {
            var launch = sandbox.launch(Profile.DEFAULT,
                    new Program(List.of("/bin/sh", "-c", "read -r line; echo done"), List.of(), Map.of(), false),
                    workspace());
            var input = Posix.pipe();
            var output = Posix.pipe();
            var child = Child.start(launch, List.of(input.readEnd(), output.writeEnd(), output.writeEnd()));
            try (var tasks = Files.newDirectoryStream(Path.of("/proc/self/task"))) {
                for (Path task : tasks) {
                    assertFalse(isFenced(task), task::toString);
                }
            }
            child.killTree();
            assertEquals(128 + Posix.SIGKILL, child.exit().join());
            List.of(input.readEnd(), input.writeEnd(), output.readEnd(), output.writeEnd()).forEach(Posix::close);
        }
    }

    private static boolean isFenced(Path task) throws IOException {
        try {
            return !Files.readAllLines(task.resolve("status")).contains("Seccomp:\t0");
        } catch (NoSuchFileException e) {
            // It has ended meanwhile.
            return false;
        }
    }

    @Test
    void whatATemporaryDirectoryHeldIsGoneAndNoLinkIsFollowed() throws IOException {
        var ended = run(Tier.L3, Profile.LOCKED,
                "pwd; mkdir -p a/b; ln -s \"$1\" a/link; ln -s \"$1/secret\" b; echo x >a/b/c; mkdir -m 0 closed; ls");
        assertTrue(ended.output().endsWith("\na\nb\nclosed\n"), ended::output);
        assertFalse(Files.exists(Path.of(ended.output().lines().findFirst().orElseThrow())));
        assertEquals("secret\n", Files.readString(secret));
        assertEquals("data\n", Files.readString(workspace.resolve("data")));
    }

    /// It stayed, and took memory, until the machine was started anew. (Of an ordinary user's kernels it stays still: nothing
    /// tells whose it was.)
    @Test
    void whatAUserOfItsOwnHadInSharedMemoryIsGone() throws IOException {
        assumeTrue(Integer.valueOf(0).equals(Files.getAttribute(Path.of("/proc/self"), "unix:uid")));
        var shared = Path.of("/dev/shm", "capsule-test-" + ProcessHandle.current().pid());
        var kept = Files.createFile(Path.of(shared + "-kept"));
        try {
            var ended = run(Tier.L3, Profile.LOCKED, "echo x >%s && echo made".formatted(shared));
            assertEquals("made\n", ended.output());
            assertFalse(Files.exists(shared));
            assertTrue(Files.exists(kept));
        } finally {
            Files.delete(kept);
        }
    }

    /// They leave their group and their session, and their parent ends.
    @ParameterizedTest
    @EnumSource
    void nothingSurvivesTheWorker(Tier tier) throws IOException {
        assertEndsWithIt(tier, "for i in 1 2 3; do (setsid tail -f /dev/null &); done; echo up");
    }

    @ParameterizedTest
    @EnumSource
    void aForkBombEndsWithItsWorker(Tier tier) throws IOException {
        assertEndsWithIt(tier, "echo up; bomb() { while true; do (bomb) & done; }; bomb 2>/dev/null");
    }

    /// @param script says that it is up; what it starts keeps its output open
    private void assertEndsWithIt(Tier tier, String script) throws IOException {
        try (var sandbox = sandbox(tier)) {
            var launch = sandbox.launch(Profile.LOCKED,
                    new Program(List.of("/bin/sh", "-c", "read -r _; " + script), List.of(), Map.of(), false),
                    workspace());
            var input = Posix.pipe();
            var output = Posix.pipe();
            var child = Child.start(launch, List.of(input.readEnd(), output.writeEnd(), output.writeEnd()));
            Posix.close(output.writeEnd());
            try (var arena = Arena.ofConfined()) {
                var buffer = arena.allocate(3);
                Posix.write(input.writeEnd(), arena.allocateFrom("\n").asSlice(0, 1));
                assertEquals(3, Posix.read(output.readEnd(), buffer));
                child.killTree();
                child.exit().join();
                // It comes when the last that has the pipe is gone.
                int endOfFile = Posix.read(output.readEnd(), buffer);
                assertEquals(0, endOfFile);
            }
            List.of(input.readEnd(), input.writeEnd(), output.readEnd()).forEach(Posix::close);
        }
    }

    /// What is signalled is the worker, and not the programs that have built its sandbox.
    @ParameterizedTest
    @EnumSource
    void aWorkerCanBeInterruptedFromOutside(Tier tier) throws IOException {
        try (var sandbox = sandbox(tier)) {
            var launch = sandbox.launch(Profile.DEFAULT, new Program(List.of("/usr/bin/python3", "-c", """
                    import signal, sys
                    signal.signal(signal.SIGINT, lambda *_: sys.exit(7))
                    print("up", flush=True)
                    signal.pause()
                    """), List.of(), Map.of(), false), workspace());
            var output = Posix.pipe();
            int nothing = Posix.openToRead(Path.of("/dev/null"));
            var child = Child.start(launch, List.of(nothing, output.writeEnd(), output.writeEnd()));
            try (var arena = Arena.ofConfined()) {
                assertEquals(3, Posix.read(output.readEnd(), arena.allocate(3)));
            }
            Posix.kill(child.descendant(launch.depth()).orElseThrow(), Posix.SIGINT);
            assertEquals(7, child.exit().join());
            List.of(nothing, output.readEnd(), output.writeEnd()).forEach(Posix::close);
        }
    }

    /// Descriptors arrive at their numbers, and no others arrive.
    @Test
    void aProcessFindsFilesAndDirectoriesAtTheirDescriptors() throws IOException {
        var launch = new Launch("sh",
                List.of("/bin/sh", "-c", "cat <&6; ls -d /proc/self/fd/9/data; ls /proc/self/fd | tr '\\n' ' '"),
                Map.of(),
                Path.of("/"), Map.of(6, new Source.Content("six\n".getBytes(UTF_8)), 9,
                        new Source.Place(workspace)),
                new Confinement.Unconfined(), List.of(), 0, Launch.KERNELS_OWN, Optional.empty());
        assertEquals("six\n/proc/self/fd/9/data\n0 1 2 3 6 9 ", PROCESSES.run(launch, PATIENCE).output());
    }

    @ParameterizedTest
    @ValueSource(strings = {"echo said; exec sleep 1000", "echo said; exec >&- 2>&-; exec sleep 1000",
            "echo said; sleep 1000 & exec sleep 1000"})
    void whatTakesTooLongIsEnded(String script) throws IOException {
        var launch = new Launch("sh", List.of("/bin/sh", "-c", script), Map.of(), Path.of("/"));
        assertEquals(new Ended(128 + Posix.SIGKILL, "said\n"), PROCESSES.run(launch, Duration.ofMillis(500)));
    }

    @Test
    void aConfinementThatIsRefusedStartsNothing() {
        var launch = new Launch("sh", List.of("/bin/sh", "-c", "echo started"), Map.of(), Path.of("/"), Map.of(),
                new Landlock(List.of(Path.of("/usr")), List.of(), List.of(), List.of(), List.of(),
                        new byte[]{1, 2, 3, 4, 5, 6, 7, 8}, Landlock.Tcp.DENIED),
                List.of(), 0, Launch.KERNELS_OWN, Optional.empty());
        var refused = assertThrows(IOException.class, () -> PROCESSES.run(launch, PATIENCE));
        assertTrue(String.valueOf(refused.getMessage()).contains("seccomp"), refused::toString);
    }
}
