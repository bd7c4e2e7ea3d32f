package dev.capsule.worker;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PythonFilesTest {
    @TempDir
    private Path directory = Path.of("");
    private Path base = Path.of("");

    /// An interpreter as pyenv and conda lay it out.
    @BeforeEach
    void makeInterpreter() throws IOException {
        directory = directory.toRealPath();
        base = directory.resolve("versions/3.12.1");
        Files.createDirectories(base.resolve("lib"));
        Files.createDirectories(base.resolve("bin"));
        Files.createFile(base.resolve("bin/python3.12"));
        Files.createSymbolicLink(base.resolve("bin/python"), Path.of("python3.12"));
    }

    private Path environment(String name, Path home) throws IOException {
        var environment = directory.resolve(name);
        Files.createDirectories(environment.resolve("bin"));
        Files.createDirectories(environment.resolve("lib"));
        Files.createSymbolicLink(environment.resolve("bin/python"), home.resolve("python"));
        Files.writeString(environment.resolve("pyvenv.cfg"),
                "home = %s\ninclude-system-site-packages = false\n".formatted(home));
        return environment;
    }

    @Test
    void anInterpreterNeedsItsPrefix() {
        assertEquals(List.of(base), PythonFiles.trees(base.resolve("bin/python")));
    }

    @Test
    void aLinkElsewhereNeedsWhatItLeadsTo() throws IOException {
        Files.createDirectories(directory.resolve("shortcuts"));
        var link = Files.createSymbolicLink(directory.resolve("shortcuts/python3"), base.resolve("bin/python"));
        assertEquals(List.of(base, link), PythonFiles.trees(link));
    }

    /// One was not to be found inside, and the error named it as missing.
    @Test
    void aScriptInPlaceOfAnInterpreterIsNeededItself() throws IOException {
        var script = Files.createFile(directory.resolve("my-python"));
        assertEquals(List.of(script), PythonFiles.trees(script));
    }

    @Test
    void aVirtualEnvironmentNeedsTheInterpreterBehindItToo() throws IOException {
        var environment = environment("project/.venv", base.resolve("bin"));
        assertEquals(List.of(environment, base), PythonFiles.trees(environment.resolve("bin/python")));
    }

    @Test
    void anEnvironmentMadeFromAnEnvironmentNeedsBoth() throws IOException {
        var first = environment("first", base.resolve("bin"));
        var second = environment("second", first.resolve("bin"));
        assertEquals(List.of(second, first, base), PythonFiles.trees(second.resolve("bin/python")));
    }

    @Test
    void anEnvironmentThatNamesItselfIsFollowedToAnEnd() throws IOException {
        var environment = environment("loop", directory.resolve("loop/bin"));
        assertEquals(List.of(environment), PythonFiles.trees(environment.resolve("bin/python3")));
    }

    @Test
    void packagesOfTheUserAreThoseOfEveryVersion() throws IOException {
        var packages = directory.resolve(".local/lib/python3.11/site-packages");
        Files.createDirectories(packages);
        Files.createDirectories(directory.resolve(".local/lib/node/site-packages"));
        assertEquals(List.of(packages), PythonFiles.userPackages(directory.resolve(".local")));
        assertEquals(List.of(), PythonFiles.userPackages(directory.resolve("nowhere")));
    }
}
