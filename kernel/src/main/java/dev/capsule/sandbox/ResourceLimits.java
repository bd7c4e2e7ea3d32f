package dev.capsule.sandbox;

import dev.capsule.policy.Profile.Limits;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/// The system's own limits on each process of a worker. They are set inside of the sandbox, for the number of processes
/// is counted per user namespace and bubblewrap must not be kept from making one.
final class ResourceLimits {
    private ResourceLimits() {}

    /// @param processes how many the worker's user may have, with those it has already, but for the worker's own
    /// @return a command that runs the command after it under the limits
    static List<String> command(Path prlimit, Limits limits, long processes) {
        // Not the address space, of which much is only reserved, but what of it is private and can be written: a cell
        // that asks for too much gets a MemoryError and keeps its variables.
        return List.of(prlimit.toString(), "--nproc=" + (processes + Launch.OWN_PROCESSES),
                "--nofile=" + limits.descriptors(),
                "--fsize=" + limits.fileBytes(), "--data=" + limits.memoryBytes(), "--core=0", "--");
    }

    /// @return how many processes and threads the user has now, as the system's own limit counts them
    static int tasksOf(int uid) throws IOException {
        int tasks = 0;
        try (var processes = Files.newDirectoryStream(Path.of("/proc"), "[0-9]*")) {
            for (Path process : processes) {
                try {
                    if (Integer.valueOf(uid).equals(Files.getAttribute(process, "unix:uid"))) {
                        try (var threads = Files.list(process.resolve("task"))) {
                            tasks += (int) threads.count();
                        }
                    }
                } catch (IOException e) {
                    // It has ended meanwhile.
                }
            }
        }
        return tasks;
    }
}
