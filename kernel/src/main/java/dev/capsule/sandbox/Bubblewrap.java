package dev.capsule.sandbox;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.capsule.policy.Limit;
import dev.capsule.policy.Profile;
import dev.capsule.sandbox.Launch.Source;
import dev.capsule.sandbox.Staging.Owners;
import dev.capsule.sandbox.Staging.Tree;
import dev.capsule.sandbox.Workspace.Guard;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/// Turns what a worker may do into a call of bubblewrap (0.8 or later). Made for one launch, and used once.
///
/// bubblewrap is never run as root: it guards `/proc/sys` only against those who may not write it, and root of the host
/// may, capabilities or not, which is a way out (`core_pattern`). It gets no environment, and its arguments through a
/// descriptor, since both can be read from inside, as `/proc/1/environ` and `/proc/1/cmdline`.
public final class Bubblewrap {
    // 0 to 7 are the worker's own.
    private static final int ARGUMENTS_FD = 8;
    private static final int SECCOMP_FD = 9;
    private static final int FIRST_FREE_FD = 10;

    /// The worker's user, as it sees itself.
    private static final int UID = 1000;
    private static final Path HOME = Path.of("/home/user");
    private static final long HOME_BYTES = 64 << 20;
    private static final Path SCRATCH = Path.of("/workspace");
    private static final long EMPTY_BYTES = 4_096;
    /// The workspace is staged before all else.
    private static final int WORKSPACE_TREE = 0;

    /// The monitor outside has the first process inside for a child, of which the worker is one, unless it is that itself.
    private static final int MONITOR = 1;
    private static final int REAPER = 1;

    /// Where the system's tools are.
    ///
    /// @param bindsDescriptors whether this bubblewrap can mount an open directory (`--bind-fd`); if not, it looks the
    ///        path up itself
    public record Tools(Path bwrap, Path choom, Path prlimit, Path setpriv, boolean bindsDescriptors) {
        static final List<String> NAMES = List.of("bwrap", "choom", "prlimit", "setpriv");

        Tools bindingDescriptors(boolean binds) {
            return new Tools(bwrap, choom, prlimit, setpriv, binds);
        }
    }

    private final List<String> arguments = new ArrayList<>();
    private final Map<Integer, Source> descriptors = new TreeMap<>();
    private final List<Tree> trees = new ArrayList<>();
    private final Profile profile;
    private final Tools tools;
    private final Identity identity;

    private Bubblewrap(Profile profile, Tools tools, Identity identity) {
        this.profile = profile;
        this.tools = tools;
        this.identity = identity;
    }

    /// @param tier [Tier#L1] or [Tier#L2]
    /// @param workspace left out when the profile gives none
    public static Launch launch(Profile profile, Tier tier, Seccomp.Arch arch, Tools tools, HostFiles host,
            Program program, Workspace workspace, Identity identity) {
        return new Bubblewrap(profile, tools, identity).build(tier, arch, host, program, workspace);
    }

    private Launch build(Tier tier, Seccomp.Arch arch, HostFiles host, Program program, Workspace workspace) {
        namespaces(program);
        system(tier, host);
        Path directory = workspace(workspace);
        program.readOnly().stream().filter(path -> host.trees().stream().noneMatch(path::startsWith))
                .forEach(this::bindReadOnly);
        if (profile.files() == Profile.Files.WORKSPACE && workspace instanceof Workspace.Directory ours) {
            // After all that may be mounted over them.
            ours.guards().forEach(guard -> guard(ours, guard));
        }
        add("--chdir", directory.toString(), "--clearenv");
        new TreeMap<>(Environments.of(profile, program, host.processors(), HOME, Path.of("/tmp")))
                .forEach((name, value) -> add("--setenv", name, value));
        // Last, for nothing can be mounted any more: these two are in memory, and as large as half of the machine's.
        add("--remount-ro", "/dev", "--remount-ro", "/", "--seccomp", Integer.toString(SECCOMP_FD));
        var sockets = switch (profile.network()) {
            case NONE -> Seccomp.Sockets.ISOLATED;
            case HOST -> Seccomp.Sockets.HOST;
        };
        descriptors.put(SECCOMP_FD, new Source.Content(Seccomp.program(arch, sockets, Seccomp.Scope.OWN)));
        descriptors.put(ARGUMENTS_FD, text(String.join("\0", arguments) + "\0"));
        return new Launch(program.command().getFirst(), command(program), Map.of(), Path.of("/"), descriptors,
                confinement(), List.of(), program.init() ? MONITOR : MONITOR + REAPER, user(),
                Optional.of(quota(workspace)));
    }

    private Quota quota(Workspace workspace) {
        var growing = workspace instanceof Workspace.Directory(_, var source, _)
                && profile.files() == Profile.Files.WORKSPACE
                        ? Map.of(Limit.WORKSPACE_GROWTH, source)
                        : Map.<Limit, Path>of();
        return new Quota(profile.limits(), List.of(Path.of("/dev/shm"), Path.of("/tmp"), HOME, SCRATCH), growing);
    }

    private List<String> command(Program program) {
        var command = new ArrayList<String>();
        switch (identity) {
            case Identity.KernelsOwn() -> {
            }
            case Identity.Dedicated(int uid, _) -> command.addAll(List.of(tools.setpriv().toString(), "--reuid=" + uid,
                    "--regid=" + uid, "--clear-groups", "--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all",
                    "--"));
        }
        // When memory runs out, the system is to end a worker and not what else the user runs.
        command.addAll(List.of(tools.choom().toString(), "-n", "100", "--", tools.bwrap().toString(), "--args",
                Integer.toString(ARGUMENTS_FD), "--"));
        command.addAll(ResourceLimits.command(tools.prlimit(), profile.limits(), profile.limits().processes()));
        command.addAll(program.command());
        return command;
    }

    private Confinement confinement() {
        return switch (identity) {
            case Identity.KernelsOwn() -> new Confinement.Unconfined();
            case Identity.Dedicated _ -> new Staging(trees);
        };
    }

    private int user() {
        return switch (identity) {
            case Identity.KernelsOwn() -> Launch.KERNELS_OWN;
            case Identity.Dedicated(int uid, _) -> uid;
        };
    }

    private void namespaces(Program program) {
        String uid = Integer.toString(UID);
        add("--unshare-user", "--uid", uid, "--gid", uid, "--disable-userns", "--unshare-pid", "--unshare-ipc",
                "--unshare-uts", "--unshare-cgroup", "--hostname", "capsule");
        switch (profile.network()) {
            case NONE -> add("--unshare-net");
            case HOST -> {
            }
        }
        add("--new-session", "--die-with-parent", "--cap-drop", "ALL");
        if (program.init()) {
            add("--as-pid-1");
        }
    }

    private void system(Tier tier, HostFiles host) {
        host.trees().forEach(path -> add("--ro-bind", path.toString(), path.toString()));
        host.links().forEach(link -> add("--symlink", link.target().toString(), link.path().toString()));
        file("/etc/passwd", "user:x:%s:%s:user:%s:/bin/sh\n".formatted(UID, UID, HOME));
        file("/etc/group", "user:x:%s:\n".formatted(UID));
        switch (profile.network()) {
            case NONE -> {
                file("/etc/hosts", "127.0.0.1 localhost capsule\n::1 localhost\n");
                file("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n");
            }
            case HOST -> {
                HostFiles.NETWORK.forEach(path -> add("--ro-bind-try", path.toString(), path.toString()));
                file("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n");
            }
        }
        switch (tier) {
            case L1 -> add("--proc", "/proc", "--remount-ro", "/proc");
            case L2 -> add("--ro-bind", "/proc", "/proc");
            case L3 -> throw new IllegalArgumentException("L3 has no bubblewrap");
        }
        add("--dev", "/dev");
        var limits = profile.limits();
        tmpfs("1777", limits.memoryBytes() / 4, Path.of("/dev/shm"));
        tmpfs("1777", limits.tmpBytes(), Path.of("/tmp"));
        tmpfs("0700", HOME_BYTES, HOME);
    }

    /// @return where the worker starts
    private Path workspace(Workspace workspace) {
        return switch (workspace) {
            case Workspace.Directory ours when profile.files() == Profile.Files.WORKSPACE -> {
                var owners = switch (identity) {
                    case Identity.KernelsOwn() -> new Owners.Unchanged();
                    case Identity.Dedicated(_, var of) -> of;
                };
                bind(ours, owners);
                yield ours.path();
            }
            case Workspace.Directory _,Workspace.Scratch _ -> {
                tmpfs("0700", profile.limits().tmpBytes(), SCRATCH);
                yield SCRATCH;
            }
        };
    }

    private void bind(Workspace.Directory workspace, Owners owners) {
        String path = workspace.path().toString();
        switch (identity) {
            case Identity.Dedicated _ -> add("--bind", stage(workspace.source(), owners), path);
            // What it was when the launch was decided on, whoever changes a name on the way there meanwhile.
            case Identity.KernelsOwn() when tools.bindsDescriptors() -> add("--bind-fd",
                    open(new Source.Place(workspace.source())), path);
            case Identity.KernelsOwn() -> add("--bind", path, path);
        }
    }

    private void bindReadOnly(Path path) {
        switch (identity) {
            case Identity.Dedicated _ -> add("--ro-bind-try", stage(path, new Owners.Unchanged()), path.toString());
            case Identity.KernelsOwn() -> add("--ro-bind-try", path.toString(), path.toString());
        }
    }

    private void guard(Workspace.Directory workspace, Guard guard) {
        Path path = workspace.path().resolve(guard.name());
        if (guard.protection() == Workspace.Protection.READ_ONLY && tools.bindsDescriptors()) {
            Path source = switch (identity) {
                case Identity.Dedicated _ -> Staging.place(WORKSPACE_TREE).resolve(guard.name());
                case Identity.KernelsOwn() -> workspace.source().resolve(guard.name());
            };
            add("--ro-bind-fd", open(new Source.Place(source)), path.toString());
        } else if (guard.directory()) {
            // Also in place of read-only, where bubblewrap would follow a link that has taken the name meanwhile.
            tmpfs("0700", EMPTY_BYTES, path);
            add("--remount-ro", path.toString());
        } else {
            add("--perms", "0400", "--ro-bind-data", open(text("")), path.toString());
        }
    }

    private String stage(Path source, Owners owners) {
        trees.add(new Tree(source, owners));
        return Staging.place(trees.size() - 1).toString();
    }

    private void tmpfs(String permissions, long bytes, Path path) {
        add("--perms", permissions, "--size", Long.toString(bytes), "--tmpfs", path.toString());
    }

    private void file(String path, String content) {
        add("--perms", "0644", "--file", open(text(content)), path);
    }

    private String open(Source source) {
        int descriptor = FIRST_FREE_FD + descriptors.size();
        descriptors.put(descriptor, source);
        return Integer.toString(descriptor);
    }

    private static Source text(String content) {
        return new Source.Content(content.getBytes(UTF_8));
    }

    private void add(String... more) {
        arguments.addAll(List.of(more));
    }
}
