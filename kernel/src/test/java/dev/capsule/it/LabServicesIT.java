package dev.capsule.it;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/// JupyterLab's client code, `@jupyterlab/services`, against a jupyter-server.
class LabServicesIT {
    private static final Path SOURCES = Path.of("src", "test", "js").toAbsolutePath();
    private static final Duration PATIENCE = Duration.ofMinutes(5);

    /// A line of the Test Anything Protocol about a test that is in no other test.
    private static final Pattern RESULT = Pattern.compile("^(not ok|ok) \\d+ - (.*?)( # SKIP.*| # TODO.*)?$");

    @TestFactory
    Stream<DynamicTest> labServices() throws IOException, InterruptedException {
        var installation = Installation.get();
        var directory = Files.createDirectories(installation.directory().resolve("js"));
        for (var name : List.of("package.json", "package-lock.json", "lab.test.mjs")) {
            Files.copy(SOURCES.resolve(name), directory.resolve(name));
        }
        Finished packages;
        try {
            // With the home of the person who runs it, whose settings say how to reach a registry.
            packages = Finished.of(List.of("npm", "ci", "--no-audit", "--no-fund"), directory, System.getenv(),
                    installation.directory().resolve("npm.log"), PATIENCE);
        } catch (IOException e) {
            return Stream.of(new Verdict.Missing("npm: " + e.getMessage()).named("npm"));
        }
        if (packages.status() != 0) {
            return Stream.of(new Verdict.Missing("the packages of npm: " + packages.output()).named("npm"));
        }
        var run = installation.run("lab", directory, PATIENCE,
                List.of("node", "--test-reporter=tap", "lab.test.mjs"));
        var tests = new ArrayList<DynamicTest>();
        var failed = false;
        for (var line : run.output().lines().toList()) {
            var result = RESULT.matcher(line);
            if (result.matches()) {
                var passed = result.group(1).equals("ok") && result.group(3) == null;
                failed |= !passed;
                tests.add((passed ? new Verdict.Passed() : new Verdict.Failed(line + "\n" + run.output()))
                        .named(result.group(2)));
            }
        }
        if (tests.isEmpty() || (run.status() != 0 && !failed)) {
            tests.add(new Verdict.Failed("it ended with " + run.status() + ":\n" + run.output()).named("lab"));
        }
        return tests.stream();
    }
}
