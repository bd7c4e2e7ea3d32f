package dev.capsule.sandbox;

import dev.capsule.policy.Profile.Limits;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/// The system's own limits on each process of a worker. They are set inside of the sandbox, for the number of processes
/// is counted per user namespace and bubblewrap must not be kept from making one.
final class ResourceLimits {
    /// How wide the column of names is in the file.
    private static final int NAME_CHARS = 26;
    private static final String INHERITED = inherited();

    private ResourceLimits() {}

    private static String inherited() {
        try {
            return Files.readString(Path.of("/proc/self/limits"));
        } catch (IOException e) {
            // Nobody may look: if there is less, the worker cannot be started, and says so.
            return "";
        }
    }

    /// @param processes how many the worker's user may have, with those it has already, but for the worker's own
    /// @return a command that runs the command after it under the limits
    static List<String> command(Path prlimit, Limits limits, long processes) {
        // Not the address space, of which much is only reserved, but what of it is private and can be written: a cell
        // that asks for too much gets a MemoryError and keeps its variables.
        return List.of(prlimit.toString(),
                "--nproc=" + Math.min(processes + Launch.OWN_PROCESSES, most("Max processes")),
                "--nofile=" + Math.min(limits.descriptors(), most("Max open files")),
                "--fsize=" + Math.min(limits.fileBytes(), most("Max file size")),
                "--data=" + Math.min(limits.memoryBytes(), most("Max data size")), "--core=0", "--");
    }

    /// @return what this process may give at the most: nobody without rights can raise what is less (`getrlimit(2)`)
    private static long most(String name) {
        return INHERITED.lines().filter(line -> line.startsWith(name)).map(ResourceLimits::hard).findFirst()
                .orElse(Long.MAX_VALUE);
    }

    /// @param line the name of a limit, in a column of its own, and its soft and hard value
    private static long hard(String line) {
        String value = line.substring(NAME_CHARS).strip().split(" +", -1)[1];
        return value.equals("unlimited") ? Long.MAX_VALUE : Long.parseLong(value);
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
