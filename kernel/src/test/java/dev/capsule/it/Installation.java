package dev.capsule.it;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.opentest4j.AssertionFailedError;

/// The kernel as a user has it after `capsule install`: in a prefix of its own below `target`, with an empty home.
///
/// @param directory holds everything that a run of the tests leaves behind
/// @param environment of every client: where to find the kernel, and nothing of the person who runs the tests
record Installation(Path directory, Map<String, String> environment) {

    private static final Path JAR = Path.of(Objects.requireNonNull(System.getProperty("capsule.jar"), "capsule.jar"));
    private static final Path JAVA = Path.of(System.getProperty("java.home"), "bin", "java");

    /// The kernels that are installed.
    enum Kernel {
        /// As most people have it: IPython, in a sandbox.
        DEFAULT("capsule-python"), PLAIN("capsule-plain"), UNCONFINED("capsule-unconfined"), PLAIN_UNCONFINED(
                "capsule-plain-unconfined");

        private final String kernelName;

        Kernel(String kernelName) {
            this.kernelName = kernelName;
        }

        String kernelName() {
            return kernelName;
        }

        private List<String> options() {
            return switch (this) {
                case DEFAULT -> List.of();
                case PLAIN -> List.of("--engine", "plain");
                case UNCONFINED -> List.of("--sandbox", "none");
                case PLAIN_UNCONFINED -> List.of("--engine", "plain", "--sandbox", "none");
            };
        }
    }

    /// Variables that would choose another Python, another Jupyter or other settings.
    private static final List<String> PERSONAL = List.of("VIRTUAL_ENV", "CONDA_PREFIX", "CAPSULE_", "PYTHON", "JUPYTER",
            "IPYTHON", "XDG_", "JPY_", "JAVA_TOOL_OPTIONS", "LC_", "LANG");

    /// Made when first asked for, once in a JVM; a failure to make it fails every test that asks, each time anew.
    private static final class Once {
        private static @Nullable Installation made;
    }

    Installation {
        environment = Map.copyOf(environment);
    }

    static synchronized Installation get() throws IOException, InterruptedException {
        if (Once.made == null) {
            Once.made = make();
        }
        return Once.made;
    }

    /// Where the tests of a build put what they make, which `mvn clean` removes.
    private static Installation make() throws IOException, InterruptedException {
        var directory = JAR.resolveSibling("it");
        delete(directory);
        var prefix = directory.resolve("prefix");
        var home = Files.createDirectories(directory.resolve("home"));
        var environment = new HashMap<>(System.getenv());
        environment.keySet().removeIf(name -> PERSONAL.stream().anyMatch(name::startsWith));
        environment.put("HOME", home.toString());
        environment.put("LC_ALL", "C.UTF-8");
        environment.put("JUPYTER_PATH", prefix.resolve("share/jupyter").toString());
        environment.put("JUPYTER_RUNTIME_DIR", directory.resolve("runtime").toString());
        environment.put("CAPSULE_KERNEL", Kernel.DEFAULT.kernelName);
        environment.put("CAPSULE_JAR", JAR.toString());
        environment.put("CAPSULE_JAVA", JAVA.toString());
        var installation = new Installation(directory, environment);
        for (var kernel : Kernel.values()) {
            installation.install(kernel.kernelName, "/usr/bin/python3", kernel.options());
        }
        return installation;
    }

    /// Installs one kernel more.
    ///
    /// @param options of `capsule install`
    void install(String kernelName, String python, List<String> options) throws IOException, InterruptedException {
        var command = new ArrayList<>(List.of(JAVA.toString(), "-jar", JAR.toString(), "install", "--prefix",
                directory.resolve("prefix").toString(), "--python", python, "--name", kernelName));
        command.addAll(options);
        var install = run("install", directory, Duration.ofMinutes(1), command);
        if (install.status() != 0) {
            throw new AssertionFailedError("install ended with " + install.status() + ":\n" + install.output());
        }
    }

    private static void delete(Path directory) throws IOException {
        if (!Files.exists(directory)) {
            return;
        }
        try (var below = Files.walk(directory)) {
            for (var path : below.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(path);
            }
        }
    }

    /// The same for clients of one of its kernels, in a home of their own.
    Installation with(Kernel kernel, String home) throws IOException {
        var changed = new HashMap<>(environment);
        changed.put("CAPSULE_KERNEL", kernel.kernelName);
        changed.put("HOME", Files.createDirectories(directory.resolve("homes").resolve(home)).toString());
        return new Installation(directory, changed);
    }

    /// Runs a program to its end in the environment of the clients.
    ///
    /// @param patience after which the program and all it started are killed, and the test fails
    Finished run(String name, Path workingDirectory, Duration patience, List<String> command)
            throws IOException, InterruptedException {
        return Finished.of(command, workingDirectory, environment, directory.resolve(name + ".log"), patience);
    }
}
