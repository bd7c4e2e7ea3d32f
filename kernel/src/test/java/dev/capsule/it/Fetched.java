package dev.capsule.it;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.stream.Stream;

/// Foreign software in a directory of `target`. It outlives a run of the tests, since it comes over the net.
enum Fetched {
    /// `venv`, a virtual environment of Debian's Python which has these packages as well.
    WIDGETS("ipywidgets==8.1.9 tqdm==4.70.1"),
    /// `lab`, JupyterLab's pages as a server serves them.
    JUPYTERLAB("4.0 of Debian 13");

    private static final Duration PATIENCE = Duration.ofMinutes(5);

    private final String content;

    Fetched(String content) {
        this.content = content;
    }

    /// Fetches what is not there yet, or is not what it should be.
    ///
    /// @return [Verdict.Missing] where that failed
    synchronized Verdict get() throws IOException, InterruptedException {
        var there = directory().resolve("content");
        if (Files.exists(there) && Files.readString(there).equals(content)) {
            return new Verdict.Passed();
        }
        Files.createDirectories(directory());
        for (var command : commands()) {
            // With the home of the person who runs it, whose settings say how to reach a registry.
            var run = Finished.of(command, directory(), System.getenv(), directory().resolve("log"), PATIENCE);
            if (run.status() != 0) {
                return new Verdict.Missing(name() + ": " + run.output());
            }
        }
        Files.writeString(there, content);
        return new Verdict.Passed();
    }

    Path directory() throws IOException, InterruptedException {
        return Installation.get().directory().resolveSibling(switch (this) {
            case WIDGETS -> "widgets";
            case JUPYTERLAB -> "jupyterlab";
        });
    }

    private List<List<String>> commands() {
        return switch (this) {
            case WIDGETS -> List.of(
                    List.of("/usr/bin/python3", "-m", "venv", "--clear", "--system-site-packages", "venv"),
                    Stream.concat(Stream.of("venv/bin/pip", "install", "--quiet", "--disable-pip-version-check"),
                            Stream.of(content.split(" "))).toList());
            case JUPYTERLAB -> List.of(List.of(NodeScript.SOURCES.resolve("fetch-jupyterlab").toString(), "."));
        };
    }
}
