package dev.capsule.it;

import java.io.IOException;
import java.nio.file.Files;
import java.time.Duration;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/// Comms, with ipywidgets in a virtual environment that outlives a run of the tests, since it comes from a registry.
class WidgetsIT {
    private static final List<String> PACKAGES = List.of("ipywidgets==8.1.9", "tqdm==4.70.1");
    private static final Duration PATIENCE = Duration.ofMinutes(5);

    @TestFactory
    Stream<DynamicTest> widgets() throws IOException, InterruptedException {
        var directory = Installation.get().directory().resolveSibling("widgets");
        var made = directory.resolve("made");
        if (!Files.exists(made) || !Files.readAllLines(made).equals(PACKAGES)) {
            Files.createDirectories(directory);
            var venv = directory.resolve("venv");
            var steps = List.of(
                    List.of("/usr/bin/python3", "-m", "venv", "--clear", "--system-site-packages", venv.toString()),
                    Stream.concat(Stream.of(venv.resolve("bin/pip").toString(), "install", "--quiet",
                            "--disable-pip-version-check"), PACKAGES.stream()).toList());
            for (var step : steps) {
                // With the home of the person who runs it, whose settings say how to reach a registry.
                var finished = Finished.of(step, directory, System.getenv(), directory.resolve("pip.log"), PATIENCE);
                if (finished.status() != 0) {
                    return Stream.of(new Verdict.Missing("ipywidgets: " + finished.output()).named("pip"));
                }
            }
            Files.write(made, PACKAGES);
        }
        return new PythonScript("widgets_test").tests();
    }
}
