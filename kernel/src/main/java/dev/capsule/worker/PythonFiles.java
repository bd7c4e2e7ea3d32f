package dev.capsule.worker;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;

/// What of the disk a Python reads when it runs, found without running it: a sandbox has to be built before.
public final class PythonFiles {
    private static final int MAX_CONFIGURATION_BYTES = 1 << 16;

    /// Environments that were made from environments.
    private static final int MAX_GENERATIONS = 8;

    private PythonFiles() {}

    /// The directories of an interpreter, of a virtual environment and of the interpreter behind it (PEP 405), and the
    /// program itself where it is in none of them.
    ///
    /// @param python its absolute path
    public static List<Path> trees(Path python) {
        var trees = new LinkedHashSet<Path>();
        add(trees, python, 0);
        // A link or a script that is not where an interpreter would be.
        if (trees.stream().noneMatch(python::startsWith)) {
            trees.add(python);
        }
        return List.copyOf(trees);
    }

    /// What `pip install --user` has installed, for any version (PEP 370).
    ///
    /// @param base `~/.local`, or what `PYTHONUSERBASE` names
    public static List<Path> userPackages(Path base) {
        try (Stream<Path> versions = Files.list(base.resolve("lib"))) {
            return versions.filter(version -> version.getFileName().toString().startsWith("python3"))
                    .map(version -> version.resolve("site-packages"))
                    .filter(packages -> Files.isDirectory(packages, LinkOption.NOFOLLOW_LINKS)).sorted().toList();
        } catch (IOException e) {
            // There are none.
            return List.of();
        }
    }

    private static void add(Set<Path> trees, Path python, int generation) {
        Path directory = python.getParent();
        if (directory == null || generation > MAX_GENERATIONS) {
            return;
        }
        Optional<Path> home = Stream.of(directory, directory.resolveSibling("")).flatMap(place -> home(place).stream())
                .findFirst();
        if (home.isPresent()) {
            trees.add(directory.resolveSibling(""));
            add(trees, home.get().resolve(python.getFileName()), generation + 1);
        }
        links(python).forEach(link -> prefix(link).ifPresent(trees::add));
    }

    /// What the file `pyvenv.cfg` names as the directory of the interpreter behind an environment.
    private static Optional<Path> home(Path environment) {
        var file = environment.resolve("pyvenv.cfg");
        try {
            if (!Files.isRegularFile(file) || Files.size(file) > MAX_CONFIGURATION_BYTES) {
                return Optional.empty();
            }
            return Files.readAllLines(file).stream().map(line -> line.split("=", 2))
                    .filter(parts -> parts.length == 2 && parts[0].strip().equals("home"))
                    .map(parts -> Path.of(parts[1].strip())).filter(Path::isAbsolute).findFirst();
        } catch (IOException e) {
            // Then Python cannot read it, either.
            return Optional.empty();
        }
    }

    /// The path, and each that it leads to when it is a link.
    private static List<Path> links(Path path) {
        var links = new ArrayList<Path>();
        links.add(path);
        try {
            links.add(path.toRealPath());
        } catch (IOException e) {
            // Starting it will say what is wrong.
        }
        return links;
    }

    /// Where the library is, seen from a program in `bin`.
    private static Optional<Path> prefix(Path program) {
        Path bin = program.getParent();
        return Optional.ofNullable(bin == null ? null : bin.getParent()).filter(prefix -> prefix.getNameCount() > 0
                && Files.isDirectory(prefix.resolve("lib")));
    }
}
