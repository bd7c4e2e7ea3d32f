package dev.capsule.it;

import static java.nio.file.StandardCopyOption.REPLACE_EXISTING;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;

/// A module of `src/test/js`, each of whose tests becomes a test of JUnit.
record NodeScript(String module) {

    static final Path SOURCES = Path.of("src", "test", "js").toAbsolutePath();

    /// For the whole module; a single test has a limit of its own there.
    private static final Duration PATIENCE = Duration.ofMinutes(5);

    /// A line of the Test Anything Protocol about a test that is in no other test.
    private static final Pattern RESULT = Pattern.compile("^(not ok|ok) \\d+ - (.*?)( # SKIP.*| # TODO.*)?$");

    /// Runs the module now.
    Stream<DynamicTest> tests(Installation installation) throws IOException, InterruptedException {
        var directory = installation.directory().resolve("js");
        var packages = packages(directory);
        if (packages instanceof Verdict.Missing missing) {
            return Stream.of(missing.named("npm"));
        }
        var run = installation.run(module, directory, PATIENCE,
                List.of("node", "--test-reporter=tap", module + ".test.mjs"));
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
            tests.add(new Verdict.Failed("it ended with " + run.status() + ":\n" + run.output()).named(module));
        }
        return tests.stream();
    }

    /// Puts all modules and what they need into a directory, once in a run of the tests.
    private static synchronized Verdict packages(Path directory) throws IOException, InterruptedException {
        // The last that npm writes.
        if (Files.exists(directory.resolve("node_modules/.package-lock.json"))) {
            return new Verdict.Passed();
        }
        Files.createDirectories(directory);
        try (var sources = Files.list(SOURCES)) {
            for (var source : sources.toList()) {
                Files.copy(source, directory.resolve(source.getFileName()), REPLACE_EXISTING);
            }
        }
        try {
            // With the home of the person who runs it, whose settings say how to reach a registry.
            var installed = Finished.of(List.of("npm", "ci", "--no-audit", "--no-fund"), directory, System.getenv(),
                    directory.resolveSibling("npm.log"), PATIENCE);
            return installed.status() == 0
                    ? new Verdict.Passed()
                    : new Verdict.Missing("the packages of npm: " + installed.output());
        } catch (IOException e) {
            return new Verdict.Missing("npm: " + e.getMessage());
        }
    }
}
