package dev.capsule.worker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.capsule.worker.Interpreter.Choice;
import dev.capsule.worker.Interpreter.Python;
import dev.capsule.worker.Interpreter.Unusable;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// The order is tried with scripts that answer as a Python would, and the probe itself with a Python.
class InterpreterTest {
    private static final Path REAL = Path.of("/usr/bin/python3");

    @TempDir
    Path root;

    @Test
    void flagComesFirst() throws IOException {
        var flag = python("flag/python", "3.9.0", "");
        assertEquals(new Choice.Found(new Python(flag, "3.9.0", root, Set.of()), "--python"),
                choose(flag.toString(), Map.of("CAPSULE_PYTHON", "/nowhere", "VIRTUAL_ENV", "/nowhere")));
    }

    @Test
    void variableComesBeforeTheEnvironments() throws IOException {
        var variable = python("variable/python", "3.14.0", "numpy");
        assertEquals(new Choice.Found(new Python(variable, "3.14.0", root, Set.of("numpy")), "CAPSULE_PYTHON"),
                choose(Map.of("CAPSULE_PYTHON", variable.toString(), "VIRTUAL_ENV", "/nowhere")));
    }

    @Test
    void virtualEnvironmentComesBeforeConda() throws IOException {
        var venv = python("venv/bin/python", "3.11.2", "");
        var conda = python("conda/bin/python", "3.12.1", "IPython numpy");
        var both = Map.of("VIRTUAL_ENV", root + "/venv", "CONDA_PREFIX", root + "/conda");
        assertEquals(new Choice.Found(new Python(venv, "3.11.2", root, Set.of()), "VIRTUAL_ENV"), choose(both));
        assertEquals(
                new Choice.Found(new Python(conda, "3.12.1", root, Set.of("IPython", "numpy")), "CONDA_PREFIX"),
                choose(Map.of("VIRTUAL_ENV", "", "CONDA_PREFIX", root + "/conda")));
    }

    @Test
    void firstPython3WithIPythonComesBeforeTheFirst() throws IOException {
        var system = python("usr/python3", "3.11.2", "");
        python("a/python3", "3.12.0", "numpy");
        var rich = python("b/python3", "3.10.0", "IPython");
        python("c/python3", "3.13.0", "IPython");
        assertEquals(
                new Choice.Found(new Python(rich, "3.10.0", root, Set.of("IPython")), "the first python3 with IPython"),
                Interpreter.choose(null, path("a", "b", "c"), List.of(system)));
    }

    @Test
    void withoutIPythonTheFirstUsablePython3OfThePathIsTaken() throws IOException {
        var system = python("usr/python3", "3.11.2", "");
        python("old/python3", "3.8.1", "IPython");
        var path = python("b/python3", "3.12.0", "");
        assertEquals(new Choice.Found(new Python(path, "3.12.0", root, Set.of()), "the first python3 on the PATH"),
                Interpreter.choose(null, path("old", "b"), List.of(system)));
        assertEquals(new Choice.Found(new Python(system, "3.11.2", root, Set.of()), "the only python3 found"),
                Interpreter.choose(null, Map.of(), List.of(system)));
    }

    @Test
    void nothingUsableIsRefusedWithAllThatWasLookedAt() throws IOException {
        var old = python("old/python3", "3.8.1", "");
        assertEquals(
                new Choice.Refused("no Python 3.9 or later was found: " + old + " is Python 3.8.1, but 3.9 or later "
                        + "is needed; install one (apt-get install python3), or name one with --python PATH"),
                choose(path("old", "nowhere")));
        assertEquals(
                new Choice.Refused("no Python 3.9 or later was found; install one (apt-get install python3), or name "
                        + "one with --python PATH"),
                choose(Map.of()));
    }

    @Test
    void whatAPersonNamedIsNeverPassedOver() throws IOException {
        python("path/python3", "3.12.0", "IPython");
        var old = python("venv/bin/python", "3.8.1", "");
        var env = Map.of("VIRTUAL_ENV", root + "/venv", "PATH", root + "/path");
        assertEquals(
                new Choice.Refused("VIRTUAL_ENV names " + old + ", which is Python 3.8.1, but 3.9 or later is needed; "
                        + "name another with --python PATH"),
                choose(env));
    }

    @Test
    void saysWhatIsWrongWithWhatWasNamed() throws IOException {
        assertRefused(root + "/none", "names " + root + "/none, which does not exist");
        assertRefused(root.toString(), "names " + root + ", which is a directory, not a program");
        var text = Files.writeString(root.resolve("text"), "hello");
        assertRefused(text.toString(), "names " + text + ", which is not executable");
        var other = script("other", "echo 'unknown option -c' >&2; exit 2");
        assertRefused(other.toString(),
                "names " + other + ", which is not a Python (exit status 2: unknown option -c)");
        var two = python("python2", "2.7.18", "");
        assertRefused(two.toString(), "names " + two + ", which is Python 2.7.18, but 3.9 or later is needed");
    }

    @Test
    void aNameWithoutASlashIsLookedUpOnThePath() throws IOException {
        var named = python("bin/python3.12", "3.12.0", "");
        var env = Map.of("PATH", root + "/bin");
        assertEquals(new Choice.Found(new Python(named, "3.12.0", root, Set.of()), "--python"),
                choose("python3.12", env));
        assertEquals(new Choice.Refused("--python names \"python3.99\", and no such program is on the PATH"),
                choose("python3.99", env));
    }

    @Test
    void shimIsResolvedToTheProgramBehindIt() throws IOException {
        var behind = python("versions/3.12/bin/python3", "3.12.0", "IPython");
        script("shims/python3", "exec " + behind + " \"$@\"");
        assertEquals(
                new Choice.Found(new Python(behind, "3.12.0", root, Set.of("IPython")),
                        "the first python3 with IPython"),
                choose(path("shims")));
    }

    @Test
    void oneProgramUnderTwoNamesOfItsDirectoryIsOneCandidate() throws IOException {
        var log = root.resolve("log");
        var python = script("bin/python3", "echo run >>" + log + "; " + answer(root + "/bin/python3", "3.12.0", ""));
        Files.createSymbolicLink(root.resolve("link"), root.resolve("bin"));
        var choice = choose(path("link", "bin"));
        assertEquals(new Choice.Found(new Python(python, "3.12.0", root, Set.of()), "the first python3 on the PATH"),
                choice);
        assertEquals(List.of("run"), Files.readAllLines(log));
    }

    @Test
    void whatAPythonPrintsAtItsStartIsNotTheAnswer() throws IOException {
        var chatty = script("chatty", "echo hello; echo 'a warning' >&2; " + answer("/x", "3.9.1", "") + "; echo bye");
        assertEquals(new Choice.Found(new Python(Path.of("/x"), "3.9.1", root, Set.of()), "--python"),
                choose(chatty.toString(), Map.of()));
    }

    @Test
    void virtualEnvironmentKeepsItsOwnPath() throws IOException {
        var bin = Files.createDirectories(root.resolve("venv/bin"));
        Files.writeString(root.resolve("venv/pyvenv.cfg"), "home = /usr/bin\ninclude-system-site-packages = false\n");
        var link = Files.createSymbolicLink(bin.resolve("python"), REAL);
        var choice = choose(Map.of("VIRTUAL_ENV", root + "/venv"));
        assertTrue(choice instanceof Choice.Found(Python python, String reason) && python.path().equals(link)
                && python.prefix().equals(root.resolve("venv")) && !python.hasIPython(), choice::toString);
        Files.delete(link);
    }

    /// A package in the current directory is chance, one on PYTHONPATH is meant.
    @Test
    void packagesAreLookedForWhereAWorkerFindsThem() throws IOException {
        Files.createDirectories(root.resolve("site/IPython"));
        Files.writeString(root.resolve("site/IPython/__init__.py"), "");
        var bare = script("bare", "cd " + root + "/site && exec " + REAL + " -S \"$@\"");
        assertTrue(choose(bare.toString(), Map.of()) instanceof Choice.Found found && !found.python().hasIPython());
        assertTrue(choose(bare.toString(), Map.of("PYTHONPATH", root + "/site")) instanceof Choice.Found found
                && found.python().hasIPython());
    }

    @Test
    void candidatesSayWhyTheyCannotBeUsed() throws IOException {
        var old = python("old/python3", "3.8.1", "");
        assertTrue(Interpreter.candidates(path("old"))
                .contains(new Unusable(old, "is Python 3.8.1, but 3.9 or later is needed")));
    }

    @Test
    void pythonOfAnInstalledKernelIsJudgedByItsFile() {
        assertEquals(Optional.empty(), Interpreter.objection(REAL));
        assertEquals(Optional.of("the Python of this kernel, /nowhere/python, does not exist; install again with: "
                + "capsule install --replace --python PATH"), Interpreter.objection(Path.of("/nowhere/python")));
    }

    @Test
    void compilesModulesAndSaysWhatCannotBe() throws IOException {
        Files.writeString(root.resolve("good.py"), "x = 1\n");
        assertEquals(Optional.empty(), Interpreter.compile(REAL, root, System.getenv()));
        assertTrue(Files.isDirectory(root.resolve("__pycache__")));
        Files.writeString(root.resolve("bad.py"), "x = \n");
        assertTrue(Interpreter.compile(REAL, root, System.getenv()).orElse("").contains("SyntaxError"));
    }

    private static Choice choose(Map<String, String> env) {
        return Interpreter.choose(null, env, List.of());
    }

    private static Choice choose(String flag, Map<String, String> env) {
        return Interpreter.choose(flag, env, List.of());
    }

    private static void assertRefused(String flag, String message) {
        assertEquals(new Choice.Refused("--python " + message + "; name another with --python PATH"),
                choose(flag, Map.of()));
    }

    private Map<String, String> path(String... directories) {
        return Map.of("PATH", root + "/" + String.join(":" + root + "/", directories));
    }

    /// A script that answers the probe as a Python of that version with these packages.
    private Path python(String name, String version, String packages) throws IOException {
        return script(name, answer(root.resolve(name).toString(), version, packages));
    }

    private String answer(String executable, String version, String packages) {
        return "printf 'capsule-probe\\0%s\\0%s\\0%s\\0%s\\0' '"
                + String.join("' '", version, executable, root.toString(),
                        packages)
                + "'";
    }

    private Path script(String name, String body) throws IOException {
        var file = root.resolve(name);
        Files.createDirectories(file.resolveSibling(""));
        Files.writeString(file, "#!/bin/sh\n" + body + "\n");
        return Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-xr-x"));
    }
}
