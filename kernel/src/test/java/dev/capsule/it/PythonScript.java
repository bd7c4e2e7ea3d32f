package dev.capsule.it;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicContainer;
import org.junit.jupiter.api.DynamicTest;

/// A module of `src/test/python`, each of whose tests becomes a test of JUnit.
record PythonScript(String module) {

    private static final Path DIRECTORY = Path.of("src", "test", "python").toAbsolutePath();

    /// For the whole module; a single test has a limit of its own, in `runner.py`.
    private static final Duration PATIENCE = Duration.ofMinutes(30);

    /// Runs the module now, with the Python that has Debian's Jupyter, on the kernel that most people have.
    Stream<DynamicTest> tests() throws IOException, InterruptedException {
        return tests(Installation.Kernel.DEFAULT);
    }

    /// Runs it on several kernels, one after the other.
    Stream<DynamicContainer> testsOn(Installation.Kernel... kernels) throws IOException, InterruptedException {
        var containers = new ArrayList<DynamicContainer>();
        for (var kernel : kernels) {
            containers.add(DynamicContainer.dynamicContainer(kernel.kernelName(), tests(kernel)));
        }
        return containers.stream();
    }

    private Stream<DynamicTest> tests(Installation.Kernel kernel) throws IOException, InterruptedException {
        var name = module + "-" + kernel.kernelName();
        var installation = Installation.get().with(kernel, name);
        var results = installation.directory().resolve(name + ".results");
        var run = installation.run(name, DIRECTORY, PATIENCE,
                List.of("/usr/bin/python3", "-X", "pycache_prefix=" + installation.directory().resolve("pycache"),
                        "runner.py", module, results.toString()));
        var lines = Files.exists(results) ? Files.readAllLines(results) : List.<String>of();
        var tests = new ArrayList<DynamicTest>();
        var failures = 0;
        for (var line : lines) {
            var words = line.split(" ");
            if (words[0].equals("end")) {
                continue;
            }
            var verdict = verdict(words);
            failures += verdict instanceof Verdict.Passed ? 0 : 1;
            tests.add(verdict.named(words[1]));
        }
        if (lines.isEmpty() || !lines.getLast().equals("end " + module) || tests.isEmpty()) {
            tests.add(new Verdict.Failed("it ended with %d before all of its tests had, or had none:%n%s"
                    .formatted(run.status(), run.output())).named(module));
        } else if (failures > 0) {
            System.out.println(Verdict.excerpt(run.output()));
        }
        return tests.stream();
    }

    private static Verdict verdict(String... words) {
        return switch (words[0]) {
            case "passed" -> new Verdict.Passed();
            case "failed" -> new Verdict.Failed(decoded(words[2]));
            case "skipped" -> new Verdict.Failed("skipped, and nothing may be: " + decoded(words[2]));
            case "missing" -> new Verdict.Missing("the Python module " + decoded(words[2]));
            default -> new Verdict.Failed("unknown status " + words[0]);
        };
    }

    private static String decoded(String text) {
        return new String(Base64.getDecoder().decode(text), UTF_8);
    }
}
