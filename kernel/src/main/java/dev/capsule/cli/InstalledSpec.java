package dev.capsule.cli;

import dev.capsule.jupyter.KernelSpec;
import dev.capsule.jupyter.WireException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/// A kernelspec of Capsule's that is installed.
///
/// @param directory holds `kernel.json`; its name is the kernel's
record InstalledSpec(Path directory, KernelSpec spec, Argv argv) {
    static final String FILE = "kernel.json";
    /// What a shell takes as it is.
    private static final Pattern BARE = Pattern.compile("[\\w@%+=:,./-]+");

    String name() {
        return directory.getFileName().toString();
    }

    /// Reads the spec in a directory; empty when there is no spec, or it is not Capsule's, or cannot be read
    static Optional<InstalledSpec> read(Path directory) {
        var file = directory.resolve(FILE);
        if (!Files.isRegularFile(file)) {
            return Optional.empty();
        }
        try {
            var spec = KernelSpec.parse(file.toString(), Files.readAllBytes(file));
            return Argv.of(spec).map(argv -> new InstalledSpec(directory, spec, argv));
        } catch (IOException | WireException e) {
            // Whose it is cannot be told; Jupyter passes over it too. Capsule then neither lists nor touches it.
            return Optional.empty();
        }
    }

    /// @param kernels a directory `kernels` of Jupyter's, which may not exist
    static List<InstalledSpec> in(Path kernels) {
        if (!Files.isDirectory(kernels)) {
            return List.of();
        }
        try (var directories = Files.list(kernels)) {
            return directories.sorted().map(InstalledSpec::read).flatMap(Optional::stream).toList();
        } catch (IOException e) {
            throw new UncheckedIOException("reading " + kernels, e);
        }
    }

    /// @param jupyterPath Jupyter's data directories
    static List<InstalledSpec> on(List<Path> jupyterPath) {
        return jupyterPath.stream().flatMap(data -> in(data.resolve("kernels")).stream()).toList();
    }

    /// The directory of the spec with the same name that Jupyter finds first.
    Optional<Path> hiddenBy(List<Path> jupyterPath) {
        return jupyterPath.stream().map(data -> data.resolve("kernels").resolve(name()))
                .filter(other -> Files.isRegularFile(other.resolve(FILE))).findFirst()
                .filter(other -> !other.equals(directory));
    }

    /// What the spec names and is not there: such a kernel cannot start.
    List<Path> missing() {
        return Stream.of(argv.java(), argv.jar(), argv.python()).filter(path -> !Files.exists(path)).toList();
    }

    /// What to do about [#missing]: the command that writes this spec anew, as it was asked for and in the same place.
    String remedy() {
        return remedy(argv.terms());
    }

    /// The same with other terms: what a person chose besides must not become another choice unnoticed.
    String remedy(Terms terms) {
        var words = new ArrayList<>(List.of("capsule", "install", "--replace", "--name", name()));
        words.addAll(terms.words());
        Terms.add(words, "--engine", argv.engine(), Terms.AUTO);
        Terms.add(words, "--display-name", spec.displayName(), argv.terms().displayName(argv.engine()));
        if (Files.exists(argv.python())) {
            words.addAll(List.of("--python", argv.python().toString()));
        }
        Terms.add(words, Argv.RESTORE, argv.restore(), "");
        Terms.add(words, Argv.CHECKPOINT_ON_SHUTDOWN, argv.checkpointOnShutdown(), "");
        spec.env().forEach((variable, value) -> words.addAll(List.of("--env", variable + "=" + value)));
        if (directory.endsWith(Path.of("share", "jupyter", "kernels", name()))) {
            words.addAll(List.of("--prefix", directory.resolve("../../../..").normalize().toString()));
        }
        return words.stream().map(InstalledSpec::quoted).collect(Collectors.joining(" "));
    }

    /// One word to a shell.
    private static String quoted(String word) {
        return BARE.matcher(word).matches() ? word : "'" + word.replace("'", "'\\''") + "'";
    }
}
