package dev.capsule.sandbox;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// How a worker's process is started: a pure value, made from what it may do.
///
/// @param program what a person would call the worker's program, for messages
/// @param command the absolute path of a program, and its arguments; it inherits the descriptors of `worker/PROTOCOL.md`
/// @param environment all that the process gets to see
/// @param directory its working directory
/// @param descriptors what else the process finds open, by number, from 8 on
/// @param confinement what the thread that starts the process does to itself before
/// @param depth how many processes there are from the started one down to the worker: 0 when they are the same
/// @param leftovers directories to make for the process' user, and to remove when it has ended, in whatever way, or this
///        process has; they must not be there yet. Only where `confinement` owns the
///        thread
/// @param user whose the process becomes by its command; [#KERNELS_OWN] when it stays the kernel's
/// @param quota what is enforced from outside; empty when the process may use up what it likes
public record Launch(String program, List<String> command, Map<String, String> environment, Path directory,
        Map<Integer, Source> descriptors, Confinement confinement, List<Path> leftovers, int depth,
        int user, Optional<Quota> quota) {
    public static final int KERNELS_OWN = -1;

    /// How many snapshots of a worker there are at the most.
    public static final int MAX_SNAPSHOTS = 16;

    /// How many processes a worker needs beside those that its cells may have: its snapshots, the supervisor, and those
    /// that make or wake a snapshot (`worker/PROTOCOL.md`, section 6).
    public static final int OWN_PROCESSES = MAX_SNAPSHOTS + 4;

    /// Variables that are about the kernel's own process and would mislead a worker.
    private static final List<String> WITHHELD = List.of("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED",
            "PYTHONINSPECT", "PYTHONSTARTUP");

    /// What a process finds behind a descriptor.
    public sealed interface Source {
        /// A file of its own, in memory.
        record Content(byte[] bytes) implements Source {
            @Override
            public boolean equals(Object other) {
                return other instanceof Content(var theirs) && Arrays.equals(bytes, theirs);
            }

            @Override
            public int hashCode() {
                return Arrays.hashCode(bytes);
            }
        }

        /// A file or directory itself, whatever its path leads to later: neither read nor, if it is a link, followed.
        record Place(Path path) implements Source {}
    }

    public Launch {
        command = List.copyOf(command);
        environment = Map.copyOf(environment);
        descriptors = Map.copyOf(descriptors);
        leftovers = List.copyOf(leftovers);
    }

    /// Without a sandbox.
    public Launch(String program, List<String> command, Map<String, String> environment, Path directory) {
        this(program, command, environment, directory, Map.of(), new Confinement.Unconfined(), List.of(), 0,
                KERNELS_OWN, Optional.empty());
    }

    /// A worker that may do all that the kernel's user may.
    ///
    /// @param worker program and arguments
    /// @param setpriv where util-linux' `setpriv` is, if anywhere: it makes the worker die with the kernel even when its
    ///        code holds the interpreter's lock
    public static Launch unsandboxed(List<String> worker, Optional<Path> setpriv, Map<String, String> environment,
            Path directory) {
        var command = new ArrayList<String>();
        setpriv.ifPresent(program -> command.addAll(List.of(program.toString(), "--pdeathsig", "KILL", "--")));
        command.addAll(worker);
        var visible = new HashMap<>(environment);
        WITHHELD.forEach(visible::remove);
        return new Launch(worker.getFirst(), command, visible, directory);
    }
}
