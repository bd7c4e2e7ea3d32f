package dev.capsule.sandbox;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.capsule.policy.Profile;
import dev.capsule.policy.Profile.Network;
import dev.capsule.sandbox.Launch.Source;
import dev.capsule.sandbox.Seccomp.Arch;
import dev.capsule.sandbox.Seccomp.Scope;
import dev.capsule.sandbox.Seccomp.Sockets;
import dev.capsule.sandbox.Staging.Owners;
import dev.capsule.sandbox.Staging.Tree;
import dev.capsule.sandbox.Workspace.Guard;
import dev.capsule.sandbox.Workspace.Protection;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/// Whole lists: what is not in them is not in the sandbox.
class BubblewrapTest {
    private static final Bubblewrap.Tools TOOLS = new Bubblewrap.Tools(Path.of("/usr/bin/bwrap"),
            Path.of("/usr/bin/choom"), Path.of("/usr/bin/prlimit"), Path.of("/usr/bin/setpriv"), true);
    private static final Bubblewrap.Tools OLD_TOOLS = new Bubblewrap.Tools(Path.of("/usr/bin/bwrap"),
            Path.of("/usr/bin/choom"), Path.of("/usr/bin/prlimit"), Path.of("/usr/bin/setpriv"), false);
    private static final HostFiles HOST = new HostFiles(
            List.of(new HostFiles.Link(Path.of("/bin"), Path.of("usr/bin"))),
            List.of(Path.of("/usr"), Path.of("/etc/ssl/certs")), 8);
    private static final Path NOTEBOOKS = Path.of("/home/ada/notebooks");
    private static final Workspace PLAIN = new Workspace.Directory(NOTEBOOKS, List.of());
    private static final Workspace GUARDED = new Workspace.Directory(NOTEBOOKS,
            List.of(new Guard(".envrc", Protection.HIDDEN, false), new Guard(".git", Protection.READ_ONLY, true),
                    new Guard(".ssh", Protection.HIDDEN, true)));
    private static final Program SYSTEM = new Program(List.of("/usr/bin/python3", "/usr/share/worker/main.py"),
            List.of(Path.of("/usr"), Path.of("/usr/share/worker")), Map.of(), true);
    private static final Program VENV = new Program(
            List.of("/home/ada/notebooks/.venv/bin/python", "/opt/worker/main.py"),
            List.of(NOTEBOOKS.resolve(".venv"), Path.of("/home/ada/.pyenv/versions/3.12.1"), Path.of("/opt/worker")),
            Map.of("TZ", "Europe/Zurich"), true);
    private static final Identity OWN = new Identity.KernelsOwn();
    private static final Identity DEDICATED = new Identity.Dedicated(1_879_048_200, new Owners.Mapped(42));

    private static Launch launch(Profile profile, Tier tier, Bubblewrap.Tools tools, Program program,
            Workspace workspace, Identity identity) {
        return Bubblewrap.launch(profile, tier, Arch.X86_64, tools, HOST, program, workspace, identity);
    }

    private static String content(Launch launch, int descriptor) {
        return new String(assertInstanceOf(Source.Content.class, launch.descriptors().get(descriptor)).bytes(), UTF_8);
    }

    private static List<String> arguments(Launch launch) {
        String text = content(launch, 8);
        assertEquals('\0', text.charAt(text.length() - 1));
        return List.of(text.substring(0, text.length() - 1).split("\0", -1));
    }

    private static List<String> words(String text) {
        return List.of(text.strip().split("\\s+", -1));
    }

    @Test
    void theWholeOfTheBestTier() {
        var launch = launch(Profile.DEFAULT, Tier.L1, TOOLS, SYSTEM, PLAIN, OWN);
        assertEquals(words("""
                --unshare-user --uid 1000 --gid 1000 --disable-userns --unshare-pid --unshare-ipc --unshare-uts
                --unshare-cgroup --hostname capsule --unshare-net --new-session --die-with-parent --cap-drop ALL
                --as-pid-1 --ro-bind /usr /usr --ro-bind /etc/ssl/certs /etc/ssl/certs --symlink usr/bin /bin
                --perms 0644 --file 10 /etc/passwd --perms 0644 --file 11 /etc/group
                --perms 0644 --file 12 /etc/hosts --perms 0644 --file 13 /etc/nsswitch.conf
                --proc /proc --remount-ro /proc --dev /dev
                --perms 1777 --size 536870912 --tmpfs /dev/shm --perms 1777 --size 268435456 --tmpfs /tmp
                --perms 0700 --size 67108864 --tmpfs /home/user
                --bind-fd 14 /home/ada/notebooks --chdir /home/ada/notebooks --clearenv
                --setenv HOME /home/user --setenv LANG C.UTF-8 --setenv OMP_NUM_THREADS 8
                --setenv OPENBLAS_NUM_THREADS 8 --setenv PATH /usr/local/bin:/usr/bin:/bin
                --setenv PYTHONDONTWRITEBYTECODE 1 --setenv TMPDIR /tmp --setenv USER user
                --remount-ro /dev --remount-ro / --seccomp 9
                """), arguments(launch));
        assertEquals(words("""
                /usr/bin/choom -n 100 -- /usr/bin/bwrap --args 8 --
                /usr/bin/prlimit --nproc=276 --nofile=1024 --fsize=1073741824 --data=2147483648 --core=0 --
                /usr/bin/python3 /usr/share/worker/main.py
                """), launch.command());
        assertEquals(Map.of(), launch.environment());
        assertEquals(Path.of("/"), launch.directory());
        assertEquals(new Confinement.Unconfined(), launch.confinement());
        assertEquals(Launch.KERNELS_OWN, launch.user());
        assertEquals(1, launch.depth());
        assertEquals("user:x:1000:1000:user:/home/user:/bin/sh\n", content(launch, 10));
        assertEquals("user:x:1000:\n", content(launch, 11));
        assertEquals("127.0.0.1 localhost capsule\n::1 localhost\n", content(launch, 12));
        assertEquals("passwd: files\ngroup: files\nhosts: files\n", content(launch, 13));
        assertEquals(new Source.Place(NOTEBOOKS), launch.descriptors().get(14));
        assertEquals(7, launch.descriptors().size());
        assertArrayEquals(Seccomp.program(Arch.X86_64, Sockets.ISOLATED, Scope.OWN),
                assertInstanceOf(Source.Content.class, launch.descriptors().get(9)).bytes());
    }

    /// As the first process it would get no signal that it has no handler for, and nobody would wait for what it adopts.
    @Test
    void whatRunsCellsItselfIsNotTheFirstProcess() {
        var program = new Program(SYSTEM.command(), SYSTEM.readOnly(), SYSTEM.environment(), false);
        var launch = launch(Profile.DEFAULT, Tier.L1, TOOLS, program, PLAIN, OWN);
        assertFalse(arguments(launch).contains("--as-pid-1"));
        assertEquals(2, launch.depth());
    }

    @Test
    void whereProcCannotBeMountedTheOuterOneIsReadOnly() {
        var best = arguments(launch(Profile.DEFAULT, Tier.L1, TOOLS, SYSTEM, PLAIN, OWN));
        var second = arguments(launch(Profile.DEFAULT, Tier.L2, TOOLS, SYSTEM, PLAIN, OWN));
        assertEquals(String.join(" ", best).replace("--proc /proc --remount-ro /proc", "--ro-bind /proc /proc"),
                String.join(" ", second));
    }

    @Test
    void environmentsAndInterpretersUnderAHomeAreMountedReadOnlyAlsoInsideTheWorkspace() {
        String arguments = String.join(" ", arguments(launch(Profile.DEFAULT, Tier.L1, TOOLS, VENV, GUARDED, OWN)));
        assertEquals("""
                --bind-fd 14 /home/ada/notebooks
                --ro-bind-try /home/ada/notebooks/.venv /home/ada/notebooks/.venv
                --ro-bind-try /home/ada/.pyenv/versions/3.12.1 /home/ada/.pyenv/versions/3.12.1
                --ro-bind-try /opt/worker /opt/worker
                --perms 0400 --ro-bind-data 15 /home/ada/notebooks/.envrc
                --ro-bind-fd 16 /home/ada/notebooks/.git
                --perms 0700 --size 4096 --tmpfs /home/ada/notebooks/.ssh --remount-ro /home/ada/notebooks/.ssh
                --chdir /home/ada/notebooks --clearenv --setenv HOME /home/user --setenv LANG C.UTF-8
                --setenv OMP_NUM_THREADS 8 --setenv OPENBLAS_NUM_THREADS 8
                --setenv PATH /home/ada/notebooks/.venv/bin:/usr/local/bin:/usr/bin:/bin
                --setenv PYTHONDONTWRITEBYTECODE 1 --setenv TMPDIR /tmp --setenv TZ Europe/Zurich --setenv USER user
                --remount-ro /dev --remount-ro / --seccomp 9""".replace("\n", " "),
                arguments.substring(arguments.indexOf("--bind-fd")));
    }

    /// A path would be looked up again, and a link that has taken the place of the directory meanwhile be followed.
    @Test
    void bubblewrapThatCannotMountDescriptorsHidesWhatIsToBeReadOnly() {
        String arguments = String.join(" ",
                arguments(launch(Profile.DEFAULT, Tier.L1, OLD_TOOLS, SYSTEM, GUARDED, OWN)));
        assertEquals("""
                --bind /home/ada/notebooks /home/ada/notebooks
                --perms 0400 --ro-bind-data 14 /home/ada/notebooks/.envrc
                --perms 0700 --size 4096 --tmpfs /home/ada/notebooks/.git --remount-ro /home/ada/notebooks/.git
                --perms 0700 --size 4096 --tmpfs /home/ada/notebooks/.ssh --remount-ro /home/ada/notebooks/.ssh
                --chdir""".replace("\n", " "),
                arguments.substring(arguments.indexOf("--bind "),
                        arguments.indexOf(" /home/ada/notebooks --clearenv")));
    }

    @Test
    void rootsWorkersRunAsAUserOfTheirOwnWhichReachesWhatItGetsThroughAStage() {
        var launch = launch(Profile.DEFAULT, Tier.L1, TOOLS, VENV, GUARDED, DEDICATED);
        assertEquals(words("""
                /usr/bin/setpriv --reuid=1879048200 --regid=1879048200 --clear-groups --inh-caps=-all
                --ambient-caps=-all --bounding-set=-all -- /usr/bin/choom -n 100 -- /usr/bin/bwrap --args 8 --
                """), launch.command().subList(0, 16));
        assertEquals(new Staging(List.of(new Tree(NOTEBOOKS, new Owners.Mapped(42)),
                new Tree(NOTEBOOKS.resolve(".venv"), new Owners.Unchanged()),
                new Tree(Path.of("/home/ada/.pyenv/versions/3.12.1"), new Owners.Unchanged()),
                new Tree(Path.of("/opt/worker"), new Owners.Unchanged()))), launch.confinement());
        assertEquals(1_879_048_200, launch.user());
        String arguments = String.join(" ", arguments(launch));
        assertEquals("""
                --bind /tmp/0 /home/ada/notebooks --ro-bind-try /tmp/1 /home/ada/notebooks/.venv
                --ro-bind-try /tmp/2 /home/ada/.pyenv/versions/3.12.1 --ro-bind-try /tmp/3 /opt/worker
                --perms 0400 --ro-bind-data 14 /home/ada/notebooks/.envrc
                --ro-bind-fd 15 /home/ada/notebooks/.git
                --perms 0700 --size 4096 --tmpfs /home/ada/notebooks/.ssh --remount-ro /home/ada/notebooks/.ssh
                """.strip().replace("\n", " "),
                arguments.substring(arguments.indexOf("--bind "), arguments.indexOf(" --chdir")));
        assertEquals(new Source.Place(Path.of("/tmp/0/.git")), launch.descriptors().get(15));
    }

    @Test
    void lockedGetsNothingOfTheUsersAndSmallerLimits() {
        var launch = launch(Profile.LOCKED, Tier.L1, TOOLS, SYSTEM, GUARDED, OWN);
        String arguments = String.join(" ", arguments(launch));
        assertEquals("""
                --perms 1777 --size 134217728 --tmpfs /dev/shm --perms 1777 --size 67108864 --tmpfs /tmp
                --perms 0700 --size 67108864 --tmpfs /home/user
                --perms 0700 --size 67108864 --tmpfs /workspace --chdir /workspace --clearenv
                --setenv HOME /home/user --setenv LANG C.UTF-8 --setenv OMP_NUM_THREADS 4
                """.strip().replace("\n", " "),
                arguments.substring(arguments.indexOf("--perms 1777"), arguments.indexOf(" --setenv OPENBLAS")));
        assertEquals(List.of("--nproc=84", "--nofile=256", "--fsize=67108864", "--data=536870912", "--core=0"),
                launch.command().subList(9, 14));
    }

    @Test
    void aDirectoryThatIsNotHandedOutIsReplacedByAnEmptyOne() {
        var launch = launch(Profile.DEFAULT, Tier.L1, TOOLS, SYSTEM, new Workspace.Scratch("it is the home"), OWN);
        String arguments = String.join(" ", arguments(launch));
        assertEquals("--perms 0700 --size 268435456 --tmpfs /workspace --chdir /workspace", arguments
                .substring(arguments.indexOf("--tmpfs /home/user ") + 19, arguments.indexOf(" --clearenv")));
    }

    @Test
    void theHostsNetworkComesWithoutUnixSockets() {
        var launch = launch(Profile.OPEN.withNetwork(Network.HOST), Tier.L1, TOOLS, SYSTEM, PLAIN, OWN);
        String arguments = String.join(" ", arguments(launch));
        assertEquals("""
                --unshare-cgroup --hostname capsule --new-session --die-with-parent --cap-drop ALL --as-pid-1
                --ro-bind /usr /usr --ro-bind /etc/ssl/certs /etc/ssl/certs --symlink usr/bin /bin
                --perms 0644 --file 10 /etc/passwd --perms 0644 --file 11 /etc/group
                --ro-bind-try /etc/resolv.conf /etc/resolv.conf --ro-bind-try /etc/hosts /etc/hosts
                --perms 0644 --file 12 /etc/nsswitch.conf --proc""".replace("\n", " "),
                arguments.substring(arguments.indexOf("--unshare-cgroup"), arguments.indexOf(" /proc")));
        assertEquals("passwd: files\ngroup: files\nhosts: files dns\n", content(launch, 12));
        assertArrayEquals(Seccomp.program(Arch.X86_64, Sockets.HOST, Scope.OWN),
                assertInstanceOf(Source.Content.class, launch.descriptors().get(9)).bytes());
    }

    @Test
    void thereIsNoneForTheTierWithoutNamespaces() {
        assertThrows(IllegalArgumentException.class,
                () -> launch(Profile.DEFAULT, Tier.L3, TOOLS, SYSTEM, PLAIN, OWN));
    }
}
