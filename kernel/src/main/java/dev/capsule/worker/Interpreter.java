package dev.capsule.worker;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/// Chooses the Python that runs the cells. The order: `--python`, `CAPSULE_PYTHON`, `VIRTUAL_ENV`, `CONDA_PREFIX`, the
/// first `python3` with IPython among `/usr/bin`, `/usr/local/bin` and the PATH, the first `python3` of the PATH. What
/// a person named is taken or refused, never passed over.
public final class Interpreter {
    private static final int OLDEST_MINOR = 9;
    private static final List<Path> SYSTEM = List.of(Path.of("/usr/bin/python3"), Path.of("/usr/local/bin/python3"));

    /// A Python on a slow network disk takes seconds for its first start; one that takes longer is no use for cells.
    private static final int RUN_SECONDS = 60;
    private static final int MAX_OUTPUT_BYTES = 1 << 16;

    /// Comes before the answer, as a `sitecustomize` may print something of its own first.
    private static final String MARK = "capsule-probe";

    /// Runs in any Python from 2.3 on, to tell its version. Started with the environment and without `-I`, as a worker
    /// is, because a package may well be in the user's site directory or on PYTHONPATH; but never looks for packages in
    /// the current directory, which is chance here.
    private static final String PROBE = """
            import sys
            sys.path[:] = [p for p in sys.path if p]
            found = []
            if sys.version_info >= (3, 4):
                from importlib.util import find_spec
                found = [m for m in ("IPython", "debugpy", "ipykernel", "matplotlib", "numpy") if find_spec(m)]
            sys.stdout.write("\\0".join(["%s", "%%d.%%d.%%d" %% sys.version_info[:3], sys.executable, sys.prefix,
                                        " ".join(found), ""]))
            """.formatted(MARK);
    private static final int ANSWER_PARTS = 6;
    private static final Pattern VERSION = Pattern.compile("(\\d{1,3})\\.(\\d{1,3})\\.\\d{1,3}");

    /// What a probe found at one path.
    public sealed interface Candidate {
        /// The path that was tried.
        Path path();
    }

    /// A Python that can run cells.
    ///
    /// @param path its absolute path: the binary behind a shim, but the link in a virtual environment's own directory,
    ///     without which the environment's packages are lost
    /// @param version such as `3.11.2`
    /// @param prefix `sys.prefix`
    /// @param packages those of IPython, debugpy, ipykernel, matplotlib and numpy that can be imported
    public record Python(Path path, String version, Path prefix, Set<String> packages) implements Candidate {
        public Python {
            packages = Set.copyOf(packages);
        }

        public boolean hasIPython() {
            return packages.contains("IPython");
        }

        public boolean hasDebugpy() {
            return packages.contains("debugpy");
        }

        /// Such as `Python 3.11.2 with IPython, numpy`
        public String describe() {
            return "Python " + version + (packages.isEmpty()
                    ? " without IPython"
                    : " with " + String.join(", ", new TreeSet<>(packages)));
        }
    }

    /// What cannot run cells, and why: a sentence without a subject, such as `does not exist`.
    public record Unusable(Path path, String why) implements Candidate {}

    /// What was chosen.
    public sealed interface Choice {
        /// A Python that can run cells.
        ///
        /// @param reason what made the choice, such as `--python` or `VIRTUAL_ENV`
        record Found(Python python, String reason) implements Choice {}

        /// None will do.
        ///
        /// @param message what was looked at, what is wrong with it, and what to do
        record Refused(String message) implements Choice {}
    }

    private Interpreter() {}

    /// Chooses, running each Python it considers once.
    ///
    /// @param flag the value of `--python`, a path or a name on the PATH; null when not given
    public static Choice choose(@Nullable String flag, Map<String, String> env) {
        return choose(flag, env, SYSTEM);
    }

    static Choice choose(@Nullable String flag, Map<String, String> env, List<Path> system) {
        if (flag != null) {
            return named(flag, "--python", env);
        }
        String variable = env.getOrDefault("CAPSULE_PYTHON", "");
        if (!variable.isEmpty()) {
            return named(variable, "CAPSULE_PYTHON", env);
        }
        for (String environment : List.of("VIRTUAL_ENV", "CONDA_PREFIX")) {
            String prefix = env.getOrDefault(environment, "");
            if (!prefix.isEmpty()) {
                return named(prefix + "/bin/python", environment, env);
            }
        }
        return search(env, system);
    }

    /// Whether the Python that an installed kernelspec names can be started, judged by its file alone: the start of a
    /// kernel has no time for a probe.
    ///
    /// @return why it cannot; empty when it can
    public static Optional<String> objection(Path python) {
        return fileObjection(python).map(why -> "the Python of this kernel, " + python + ", " + why
                + "; install again with: capsule install --replace --python PATH");
    }

    /// All that the search considers, in its order, whatever the environment names
    public static List<Candidate> candidates(Map<String, String> env) {
        return python3s(env, SYSTEM).values().stream().map(path -> probe(path, env)).toList();
    }

    /// Writes the byte code of a directory's modules beside them, so that no worker has to.
    ///
    /// @return what went wrong; empty when nothing did
    public static Optional<String> compile(Path python, Path directory, Map<String, String> env) {
        var command = List.of(python.toString(), "-I", "-m", "compileall", "-q", directory.toString());
        return switch (run(command, env)) {
            case Run.Ended(int exit, String output) when exit == 0 -> Optional.empty();
            case Run.Ended(int exit, String output) -> Optional.of(output.strip());
            case Run.Failed(String why) -> Optional.of(python + " " + why);
        };
    }

    private static Choice named(String given, String reason, Map<String, String> env) {
        var path = given.contains("/")
                ? Optional.of(Path.of(given).toAbsolutePath().normalize())
                : onPath(given, env).stream().findFirst();
        if (path.isEmpty()) {
            return new Choice.Refused("%s names \"%s\", and no such program is on the PATH".formatted(reason, given));
        }
        return switch (probe(path.get(), env)) {
            case Python python -> new Choice.Found(python, reason);
            case Unusable(Path tried, String why) -> new Choice.Refused(
                    "%s names %s, which %s; name another with --python PATH".formatted(reason, tried, why));
        };
    }

    private static Choice search(Map<String, String> env, List<Path> system) {
        var probed = new LinkedHashMap<Path, Candidate>();
        for (var place : python3s(env, system).entrySet()) {
            var candidate = probe(place.getValue(), env);
            if (candidate instanceof Python python && python.hasIPython()) {
                return new Choice.Found(python, "the first python3 with IPython");
            }
            probed.put(place.getKey(), candidate);
        }
        for (Path path : onPath("python3", env)) {
            if (probed.get(place(path)) instanceof Python python) {
                return new Choice.Found(python, "the first python3 on the PATH");
            }
        }
        for (var candidate : probed.values()) {
            if (candidate instanceof Python python) {
                return new Choice.Found(python, "the only python3 found");
            }
        }
        var looked = new StringBuilder();
        probed.values().forEach(candidate -> looked.append(looked.isEmpty() ? ": " : ", ").append(candidate.path())
                .append(candidate instanceof Unusable unusable ? " " + unusable.why() : ""));
        return new Choice.Refused(
                "no Python 3.%d or later was found%s; install one (apt-get install python3), or name one with --python PATH"
                        .formatted(OLDEST_MINOR, looked));
    }

    /// The paths to probe by their place, for `/bin` is often a link to `/usr/bin`.
    private static Map<Path, Path> python3s(Map<String, String> env, List<Path> system) {
        var places = new LinkedHashMap<Path, Path>();
        Stream.concat(system.stream().filter(Files::isExecutable), onPath("python3", env).stream())
                .forEach(path -> places.putIfAbsent(place(path), path));
        return places;
    }

    /// The file's directory without links. Its own name is kept: two links to one binary may be two environments.
    private static Path place(Path path) {
        try {
            return path.toAbsolutePath().resolveSibling("").toRealPath().resolve(path.getFileName());
        } catch (IOException e) {
            throw new UncheckedIOException("directory of " + path, e);
        }
    }

    private static List<Path> onPath(String name, Map<String, String> env) {
        return Stream.of(env.getOrDefault("PATH", "").split(File.pathSeparator))
                .filter(directory -> directory.startsWith("/") && !name.isEmpty())
                .map(directory -> Path.of(directory, name))
                .filter(path -> Files.isExecutable(path) && Files.isRegularFile(path)).toList();
    }

    private static Optional<String> fileObjection(Path path) {
        if (!Files.exists(path)) {
            return Optional.of("does not exist");
        }
        if (Files.isDirectory(path)) {
            return Optional.of("is a directory, not a program");
        }
        return Files.isExecutable(path) ? Optional.empty() : Optional.of("is not executable");
    }

    private static Candidate probe(Path path, Map<String, String> env) {
        var objection = fileObjection(path);
        if (objection.isPresent()) {
            return new Unusable(path, objection.get());
        }
        return switch (run(List.of(path.toString(), "-c", PROBE), env)) {
            case Run.Failed(String why) -> new Unusable(path, why);
            case Run.Ended(int exit, String output) -> answer(path, output).orElseGet(() -> new Unusable(path,
                    "is not a Python (exit status %d%s)".formatted(exit, lastLine(output))));
        };
    }

    private static Optional<Candidate> answer(Path path, String output) {
        String[] parts = output.substring(Math.max(output.indexOf(MARK), 0)).split("\0", -1);
        var version = parts.length < ANSWER_PARTS ? null : VERSION.matcher(parts[1]);
        if (version == null || !version.matches()) {
            return Optional.empty();
        }
        int major = Integer.parseInt(version.group(1));
        if (major < 3 || (major == 3 && Integer.parseInt(version.group(2)) < OLDEST_MINOR)) {
            return Optional.of(new Unusable(path,
                    "is Python %s, but 3.%d or later is needed".formatted(parts[1], OLDEST_MINOR)));
        }
        // Empty where Python cannot tell (an embedded one): the path that was run is then as good.
        Path executable = parts[2].isEmpty() ? path : Path.of(parts[2]);
        var packages = parts[4].isEmpty() ? Set.<String>of() : Set.of(parts[4].split(" "));
        return Optional.of(new Python(executable, parts[1], Path.of(parts[3]), packages));
    }

    private static String lastLine(String output) {
        return output.strip().lines().reduce((_, last) -> last).map(line -> ": " + line).orElse("");
    }

    private sealed interface Run {
        record Ended(int exit, String output) implements Run {}

        record Failed(String why) implements Run {}
    }

    /// Runs a program to its end without input; what it says on standard output and error is one text.
    private static Run run(List<String> command, Map<String, String> env) {
        var builder = new ProcessBuilder(command).redirectErrorStream(true)
                .redirectInput(ProcessBuilder.Redirect.from(new File("/dev/null")));
        builder.environment().clear();
        builder.environment().putAll(env);
        try {
            var process = builder.start();
            var ended = process.onExit().orTimeout(RUN_SECONDS, TimeUnit.SECONDS);
            var ends = ended.whenComplete((_, late) -> {
                if (late != null) {
                    process.descendants().forEach(ProcessHandle::destroyForcibly);
                    process.destroyForcibly();
                }
            });
            try (var output = process.getInputStream()) {
                var said = new String(output.readNBytes(MAX_OUTPUT_BYTES), UTF_8);
                return new Run.Ended(ends.join().exitValue(), said);
            }
        } catch (CompletionException e) {
            return new Run.Failed("did not end within %d s".formatted(RUN_SECONDS));
        } catch (IOException e) {
            return new Run.Failed("cannot be started: " + e.getMessage());
        }
    }
}
