package dev.capsule.worker;

import java.io.File;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;

/// A small process that outlives the kernel by a moment: when the kernel is killed, it kills the process groups of the
/// workers, whose children would otherwise go on. It learns of the kernel's end by the end of its input. Used on one
/// thread.
final class Guardian {
    private static final Logger LOG = System.getLogger(Guardian.class.getName());

    /// Each line replaces the list of groups.
    private static final String SCRIPT = "while read -r line; do groups=$line; done; "
            + "for group in $groups; do kill -s KILL -- -\"$group\"; done";

    private final Process process;
    private final OutputStream input;

    /// In a session of its own, so that a signal to the kernel's process group spares it.
    Guardian() throws IOException {
        process = new ProcessBuilder(List.of("setsid", "/bin/sh", "-c", SCRIPT)).directory(new File("/"))
                .redirectOutput(ProcessBuilder.Redirect.DISCARD).redirectError(ProcessBuilder.Redirect.DISCARD).start();
        input = process.getOutputStream();
    }

    long pid() {
        return process.pid();
    }

    /// @param workers the process groups there are now
    void guard(Set<Long> workers) {
        String line = workers.stream().map(String::valueOf).collect(Collectors.joining(" ", "", "\n"));
        try {
            input.write(line.getBytes(StandardCharsets.US_ASCII));
            input.flush();
        } catch (IOException e) {
            LOG.log(Level.WARNING, () -> "children of a worker would outlive a kernel that is killed: " + e);
        }
    }
}
