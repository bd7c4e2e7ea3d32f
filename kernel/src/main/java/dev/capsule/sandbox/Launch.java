package dev.capsule.sandbox;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// How a worker's process is started: a pure value, made from what it may do.
///
/// @param program what a person would call the worker's program, for messages
/// @param command program and arguments; it inherits the descriptors of `worker/PROTOCOL.md`
/// @param environment all that the process gets to see
public record Launch(String program, List<String> command, Map<String, String> environment, Path directory) {
    /// Variables that are about the kernel's own process and would mislead a worker.
    private static final List<String> WITHHELD = List.of("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED",
            "PYTHONINSPECT", "PYTHONSTARTUP");

    public Launch {
        command = List.copyOf(command);
        environment = Map.copyOf(environment);
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
