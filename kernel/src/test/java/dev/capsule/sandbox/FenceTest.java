package dev.capsule.sandbox;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.capsule.policy.Profile;
import dev.capsule.policy.Profile.Network;
import dev.capsule.sandbox.Seccomp.Arch;
import dev.capsule.sandbox.Seccomp.Scope;
import dev.capsule.sandbox.Seccomp.Sockets;
import dev.capsule.sandbox.Staging.Owners;
import dev.capsule.sandbox.Workspace.Guard;
import dev.capsule.sandbox.Workspace.Protection;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

class FenceTest {
    private static final Fence.Tools TOOLS = new Fence.Tools(Path.of("/usr/bin/prlimit"), Path.of("/usr/bin/setpriv"));
    private static final HostFiles HOST = new HostFiles(List.of(), List.of(Path.of("/usr")), 8);
    private static final Program PROGRAM = new Program(List.of("/usr/bin/python3", "/opt/worker/main.py"),
            List.of(Path.of("/opt/worker")), Map.of(), true);
    private static final Path NOTEBOOKS = Path.of("/home/ada/notebooks");
    private static final Path SCRATCH = Path.of("/tmp/capsule-1");
    private static final Workspace PLAIN = new Workspace.Directory(NOTEBOOKS, List.of());
    private static final Identity OWN = new Identity.KernelsOwn();

    private static Launch launch(Profile profile, Workspace workspace, Identity identity) {
        return launch(profile, PROGRAM, workspace, List.of(), identity);
    }

    private static Launch launch(Profile profile, Program program, Workspace workspace, List<Path> entries,
            Identity identity) {
        return Fence.launch(profile, Arch.X86_64, TOOLS, HOST, program, workspace, entries, identity, SCRATCH, 100);
    }

    private static Landlock landlock(Launch launch) {
        return assertInstanceOf(Landlock.class, launch.confinement());
    }

    @Test
    void theWhole() {
        var launch = launch(Profile.DEFAULT, PLAIN, OWN);
        assertEquals(
                List.of("/usr/bin/prlimit", "--nproc=376", "--nofile=1024", "--fsize=1073741824", "--data=2147483648",
                        "--core=0", "--", "/usr/bin/python3", "/opt/worker/main.py"),
                launch.command());
        assertEquals(Map.of("HOME", "/tmp/capsule-1", "TMPDIR", "/tmp/capsule-1", "USER", "user", "LANG", "C.UTF-8",
                "PATH", "/usr/local/bin:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE", "1", "OMP_NUM_THREADS", "8",
                "OPENBLAS_NUM_THREADS", "8"), launch.environment());
        assertEquals(NOTEBOOKS, launch.directory());
        assertEquals(0, launch.depth());
        assertEquals(Map.of(), launch.descriptors());
        assertEquals(List.of(SCRATCH), launch.leftovers());
        var landlock = landlock(launch);
        assertEquals(Stream
                .of("/usr", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/loadavg", "/proc/uptime",
                        "/proc/version", "/proc/filesystems", "/proc/sys/kernel/pid_max",
                        "/proc/sys/vm/overcommit_memory", "/sys/devices/system/cpu", "/opt/worker")
                .map(Path::of).toList(), landlock.readable());
        assertEquals(List.of(SCRATCH, NOTEBOOKS), landlock.writable());
        assertEquals(Stream.of("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom").map(Path::of)
                .toList(), landlock.devices());
        assertEquals(List.of(Path.of("/dev/shm")), landlock.shared());
        assertEquals(List.of(), landlock.listable());
        assertEquals(Landlock.Tcp.DENIED, landlock.tcp());
        assertArrayEquals(Seccomp.program(Arch.X86_64, Sockets.NONE, Scope.SHARED), landlock.filter());
    }

    /// Landlock has no exceptions: who may write a directory may write its `.git`.
    @Test
    void besideSomethingGuardedOnlyWhatIsThereCanBeWritten() {
        var workspace = new Workspace.Directory(NOTEBOOKS, List.of(new Guard(".git", Protection.READ_ONLY, true)));
        var entries = Stream.of(".git", "a.ipynb", "data").map(NOTEBOOKS::resolve).toList();
        var landlock = landlock(launch(Profile.DEFAULT, PROGRAM, workspace, entries, OWN));
        assertEquals(List.of(SCRATCH, NOTEBOOKS.resolve("a.ipynb"), NOTEBOOKS.resolve("data")), landlock.writable());
        assertEquals(List.of(NOTEBOOKS), landlock.listable());
    }

    /// The user runs it outside of the sandbox, too.
    @Test
    void anEnvironmentInsideTheWorkspaceCannotBeWritten() {
        var venv = NOTEBOOKS.resolve("tools/.venv");
        var program = new Program(List.of(venv + "/bin/python"), List.of(venv), Map.of(), true);
        var entries = Stream.of("tools", "data").map(NOTEBOOKS::resolve).toList();
        var landlock = landlock(launch(Profile.DEFAULT, program, PLAIN, entries, OWN));
        assertEquals(List.of(SCRATCH, NOTEBOOKS.resolve("data")), landlock.writable());
        assertEquals(venv, landlock.readable().getLast());
    }

    @Test
    void lockedGetsNothingOfTheUsers() {
        var launch = launch(Profile.LOCKED, PLAIN, OWN);
        assertEquals(List.of(SCRATCH), landlock(launch).writable());
        assertEquals(SCRATCH, launch.directory());
    }

    @Test
    void rootsWorkersRunAsAUserOfTheirOwnThatLandlockAloneKeepsFromFiles() {
        var launch = launch(Profile.DEFAULT, PLAIN, new Identity.Dedicated(4_242, new Owners.Unchanged()));
        assertEquals(List.of("/usr/bin/setpriv", "--reuid=4242", "--regid=4242", "--clear-groups",
                "--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override",
                "--bounding-set=-all,+dac_override", "--", "/usr/bin/prlimit"), launch.command().subList(0, 9));
        assertEquals(4_242, launch.user());
    }

    @Test
    void theThreadThatStartsAWorkerIsTheWorkersToo() {
        assertTrue(landlock(launch(Profile.DEFAULT, PLAIN, OWN)).ownsThread());
    }

    @Test
    void theHostsNetworkHasInternetSocketsAndNoOthers() {
        var landlock = landlock(launch(Profile.DEFAULT.withNetwork(Network.HOST), PLAIN, OWN));
        assertEquals(Landlock.Tcp.UNHANDLED, landlock.tcp());
        assertArrayEquals(Seccomp.program(Arch.X86_64, Sockets.HOST, Scope.SHARED), landlock.filter());
    }
}
