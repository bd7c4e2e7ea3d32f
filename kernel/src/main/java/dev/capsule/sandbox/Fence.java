package dev.capsule.sandbox;

import dev.capsule.policy.Limit;
import dev.capsule.policy.Profile;
import dev.capsule.policy.Profile.Network;
import dev.capsule.sandbox.Seccomp.Scope;
import dev.capsule.sandbox.Seccomp.Sockets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;

/// Turns what a worker may do into a [Landlock] fence around it, where there are no namespaces ([Tier#L3]).
public final class Fence {
    private static final List<Path> DEVICES = List.of(Path.of("/dev/null"), Path.of("/dev/zero"), Path.of("/dev/full"),
            Path.of("/dev/random"), Path.of("/dev/urandom"));

    /// What programs ask about the machine. Of a process nothing can be read, its own included: its files would have to
    /// be allowed before it exists.
    private static final List<Path> MACHINE = List.of(Path.of("/proc/cpuinfo"), Path.of("/proc/meminfo"),
            Path.of("/proc/stat"), Path.of("/proc/loadavg"), Path.of("/proc/uptime"), Path.of("/proc/version"),
            Path.of("/proc/filesystems"), Path.of("/proc/sys/kernel/pid_max"),
            Path.of("/proc/sys/vm/overcommit_memory"), Path.of("/sys/devices/system/cpu"));

    /// Locks and queues of `multiprocessing`, and shared memory, are here and nowhere else.
    private static final Path SHARED_MEMORY = Path.of("/dev/shm");

    /// For root's workers, who then have the rights of Landlock's list in all that is on it, whoever it belongs to: below
    /// a home that is closed to others, in a workspace that is root's. Beyond the list, Landlock refuses as ever.
    private static final String OVERRIDE = "-all,+dac_override";

    /// @param setpriv used for a user other than the kernel's
    public record Tools(Path prlimit, Path setpriv) {}

    private Fence() {}

    /// @param entries the names of what is directly in the workspace, without links, if it has an [#exception]
    /// @param scratch a directory for this worker alone, which is made for it and removed with it
    /// @param usersProcesses how many processes and threads the worker's user has already: the limit counts them all
    public static Launch launch(Profile profile, Seccomp.Arch arch, Tools tools, HostFiles host, Program program,
            Workspace workspace, List<Path> entries, Identity identity, Path scratch, int usersProcesses) {
        var readable = new ArrayList<>(host.trees());
        readable.addAll(MACHINE);
        readable.addAll(program.readOnly());
        var writable = new ArrayList<>(List.of(scratch));
        var listable = new ArrayList<Path>();
        Path directory = scratch;
        if (profile.files() == Profile.Files.WORKSPACE && workspace instanceof Workspace.Directory ours) {
            directory = ours.source();
            if (exception(ours, program).isEmpty()) {
                writable.add(directory);
            } else {
                entries.stream().filter(entry -> isWritable(ours.path().resolve(entry), ours, program))
                        .map(directory::resolve).forEach(writable::add);
                listable.add(directory);
            }
        }
        var sockets = switch (profile.network()) {
            case NONE -> Sockets.NONE;
            case HOST -> Sockets.HOST;
        };
        if (profile.network() == Network.HOST) {
            readable.addAll(HostFiles.NETWORK);
        }
        var landlock = new Landlock(readable, writable, DEVICES, List.of(SHARED_MEMORY), listable,
                Seccomp.program(arch, sockets, Scope.SHARED),
                sockets == Sockets.NONE ? Landlock.Tcp.DENIED : Landlock.Tcp.UNHANDLED);
        var command = new ArrayList<String>();
        int user = Launch.KERNELS_OWN;
        if (identity instanceof Identity.Dedicated(int uid, _)) {
            user = uid;
            command.addAll(List.of(tools.setpriv().toString(), "--reuid=" + uid, "--regid=" + uid, "--clear-groups",
                    "--inh-caps=" + OVERRIDE, "--ambient-caps=" + OVERRIDE, "--bounding-set=" + OVERRIDE, "--"));
        }
        command.addAll(ResourceLimits.command(tools.prlimit(), profile.limits(),
                (long) usersProcesses + profile.limits().processes()));
        command.addAll(program.command());
        return new Launch(program.command().getFirst(), command,
                Environments.of(profile, program, host.processors(), scratch, scratch), directory,
                Map.of(), landlock, List.of(scratch), 0, user, Optional.of(new Quota(profile.limits(), List.of(),
                        directory.equals(scratch)
                                ? Map.of(Limit.TMP, scratch)
                                : Map.of(Limit.TMP, scratch, Limit.WORKSPACE_GROWTH, directory))));
    }

    /// Something in the workspace that must not be written. What Landlock allows on a directory it allows on all that is in
    /// it; so there is then nothing to be made directly in the workspace.
    static Optional<Path> exception(Workspace.Directory workspace, Program program) {
        return Stream.concat(workspace.guards().stream().map(guard -> workspace.path().resolve(guard.name())),
                program.readOnly().stream().filter(path -> path.startsWith(workspace.path()))).findFirst();
    }

    private static boolean isWritable(Path entry, Workspace.Directory workspace, Program program) {
        return workspace.guards().stream().noneMatch(guard -> entry.endsWith(guard.name()))
                && program.readOnly().stream().noneMatch(path -> path.startsWith(entry));
    }
}
