package dev.capsule.sandbox;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/// A worker's program, and what it needs to be able to read.
///
/// @param command the interpreter's absolute path, and its arguments
/// @param readOnly the interpreter's prefix and, of a virtual environment, that of the interpreter behind it; the
///        directories of packages outside of these; the worker's own files. What of it does not exist is left out
/// @param environment what it is to see beside what every worker does
/// @param init whether it can be the first process of its namespace, which cells cannot signal: it runs no cell and waits
///        for what it adopts
public record Program(List<String> command, List<Path> readOnly, Map<String, String> environment, boolean init) {
    public Program {
        command = List.copyOf(command);
        readOnly = List.copyOf(readOnly);
        environment = Map.copyOf(environment);
    }
}
