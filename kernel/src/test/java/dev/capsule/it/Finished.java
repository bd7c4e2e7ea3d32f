package dev.capsule.it;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.opentest4j.AssertionFailedError;

/// A foreign program that ran to its end.
///
/// @param output of both streams, as they came
record Finished(int status, String output) {

    /// Runs a program with nothing to read, both its streams in one file.
    ///
    /// @param log receives the output, so that it can be read while the program runs, and afterwards
    /// @throws IOException if there is no such program
    /// @throws AssertionFailedError with an excerpt of the output, if the program took longer than patience lasts
    static Finished of(List<String> command, Path directory, Map<String, String> environment, Path log,
            Duration patience) throws IOException, InterruptedException {
        var builder = new ProcessBuilder(command).directory(directory.toFile()).redirectErrorStream(true)
                .redirectOutput(log.toFile()).redirectInput(Path.of("/dev/null").toFile());
        builder.environment().clear();
        builder.environment().putAll(environment);
        var process = builder.start();
        // A build that is ended by a signal takes its tests along, but not of itself what they started.
        var hook = new Thread(() -> kill(process));
        Runtime.getRuntime().addShutdownHook(hook);
        var ended = false;
        try {
            ended = process.waitFor(patience);
        } finally {
            if (!ended) {
                kill(process);
            }
            Runtime.getRuntime().removeShutdownHook(hook);
        }
        // Not strictly decoded: a program may be cut off in the middle of a character.
        var output = new String(Files.readAllBytes(log), UTF_8);
        if (!ended) {
            throw new AssertionFailedError("still running after " + patience + ": " + command + "\n"
                    + Verdict.excerpt(output));
        }
        return new Finished(process.exitValue(), output);
    }

    private static void kill(Process process) {
        process.descendants().forEach(ProcessHandle::destroyForcibly);
        process.destroyForcibly();
    }
}
