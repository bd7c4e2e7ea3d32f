package dev.capsule.cli;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// The launcher `kernelspec/capsule` in a copy of the repository's shape, with a JDK and a Maven that only say how they
/// were called.
class LauncherTest {
    private static final Path LAUNCHER = Path.of("../kernelspec/capsule");

    @TempDir
    Path root;

    private final Map<String, String> env = new TreeMap<>();
    private Path jar = Path.of("");

    private record Said(int status, String out, String err) {}

    @BeforeEach
    void repository() throws IOException {
        jar = root.resolve("repo/kernel/target/capsule.jar");
        for (String file : List.of("repo/pom.xml", "repo/kernel/pom.xml", "repo/kernel/src/main/java/A.java",
                "repo/kernel/src/build/java/B.java",
                "repo/worker/python/capsule_worker/a.py", "repo/kernelspec/logo-svg.svg")) {
            Files.createDirectories(root.resolve(file).resolveSibling(""));
            Files.setLastModifiedTime(Files.writeString(root.resolve(file), ""), FileTime.fromMillis(1_000_000));
        }
        Files.copy(LAUNCHER, root.resolve("repo/kernelspec/capsule"));
        script("bin/mvn", "echo \"mvn $*\"; mkdir -p " + jar.resolveSibling("") + "; echo >" + jar);
        env.put("PATH", root + "/bin:/usr/bin:/bin");
        env.put("HOME", root + "/home");
        env.put("CAPSULE_JAVA_HOME", jdk("25.0.1").toString());
    }

    @Test
    void buildsTheMissingJarAndStartsItWithTheFlagsOfTheKernelspec() throws Exception {
        var said = launch("list", "a b");
        assertEquals("java\n" + String.join("\n", Argv.FLAGS) + "\n-jar\n" + jar + "\nlist\na b\n", said.out());
        assertEquals("capsule: building " + jar + " (it is missing)\nmvn -q -B -Dmaven.test.skip package -f " + root
                + "/repo/pom.xml\n", said.err());
    }

    @Test
    void buildsAgainOnlyWhenASourceIsNewer() throws Exception {
        launch("list");
        assertEquals("", launch("list").err());
        for (String source : List.of("pom.xml", "kernel/src/main/java/A.java", "kernel/src/build/java/B.java",
                "worker/python/capsule_worker/a.py",
                "kernelspec/logo-svg.svg")) {
            var newer = FileTime.fromMillis(Files.getLastModifiedTime(jar).toMillis() + 1_000);
            var file = root.resolve("repo").resolve(source);
            Files.setLastModifiedTime(file, newer);
            assertTrue(
                    launch("list").err().startsWith("capsule: building " + jar + " (it is older than its sources)\n"),
                    source);
            Files.setLastModifiedTime(file, FileTime.fromMillis(1_000_000));
        }
    }

    @Test
    void byteCodeOfATestRunIsNoReasonToBuild() throws Exception {
        launch("list");
        var cache = Files.createDirectories(root.resolve("repo/worker/python/capsule_worker/__pycache__"));
        Files.setLastModifiedTime(Files.writeString(cache.resolve("a.pyc"), ""),
                FileTime.fromMillis(Files.getLastModifiedTime(jar).toMillis() + 1_000));
        assertEquals("", launch("list").err());
    }

    @Test
    void findsTheRepositoryThroughLinks() throws Exception {
        Files.createSymbolicLink(root.resolve("bin/relative"), Path.of("../repo/kernelspec/capsule"));
        Files.createSymbolicLink(root.resolve("link"), root.resolve("bin/relative"));
        assertTrue(run(root.resolve("link"), "list").out().contains("-jar\n" + jar + "\n"));
    }

    @Test
    void aFailedBuildStartsNothing() throws Exception {
        script("bin/mvn", "echo broken >&2; exit 1");
        assertEquals(new Said(1, "",
                "capsule: building " + jar + " (it is missing)\nbroken\ncapsule: the build failed; "
                        + "its messages are above. It was: mvn -q -B -Dmaven.test.skip package -f " + root
                        + "/repo/pom.xml\n"),
                launch("list"));
    }

    @Test
    void aNamedJdkIsTakenOrRefused() throws Exception {
        env.put("CAPSULE_JAVA_HOME", jdk("17.0.15").toString());
        assertEquals(new Said(1, "", "capsule: CAPSULE_JAVA_HOME is not a JDK 25 or later:\n  " + root
                + "/jdk-17.0.15: Java 17.0.15\n"), launch("list"));
        env.put("CAPSULE_JAVA_HOME", jdk("1.8.0_402").toString());
        assertTrue(launch("list").err().endsWith("/jdk-1.8.0_402: Java 1.8.0_402\n"));
        env.put("CAPSULE_JAVA_HOME", "/nowhere");
        assertTrue(launch("list").err().endsWith("\n  /nowhere: no bin/java in it\n"));
        var runtime = jdk("26-ea");
        Files.delete(runtime.resolve("bin/javac"));
        env.put("CAPSULE_JAVA_HOME", runtime.toString());
        assertTrue(launch("list").err().endsWith("/jdk-26-ea: Java 26-ea, without a compiler\n"));
    }

    @Test
    void javaHomeIsTakenWhenItIsNewEnough() throws Exception {
        env.remove("CAPSULE_JAVA_HOME");
        env.put("JAVA_HOME", jdk("26").toString());
        assertTrue(launch("list").out().startsWith("java\n"));
    }

    @Test
    void demoSaysThatItsDirectoryCannotBeWritten() throws Exception {
        Files.writeString(root.resolve("home"), "a file");
        assertEquals(
                "capsule: demo keeps its files in " + root + "/home/.cache/capsule/demo, which cannot be written; name "
                        + "another place with XDG_CACHE_HOME=DIRECTORY\n",
                launchBuilt("demo").err());
        env.remove("HOME");
        assertEquals("capsule: demo keeps its files in ~/.cache/capsule, but HOME is not set\n",
                launchBuilt("demo").err());
        assertEquals("capsule: demo takes no arguments, and was given: fast\n", launchBuilt("demo", "fast").err());
    }

    @Test
    void theBenchmarkMeasuresKernelsThatItInstallsInADirectoryOfItsOwn() throws Exception {
        script("repo/kernelspec/prerequisites", "echo \"prerequisites $*\"");
        script("jdk-25.0.1/bin/java", "while [ \"$1\" != install ]; do shift; done; mkdir -p \"$3/share\"; "
                + "shift 3; echo \"$*\" >&2");
        Files.createDirectories(root.resolve("repo/kernelspec/bench"));
        Files.writeString(root.resolve("repo/kernelspec/bench/__main__.py"), """
                import os, sys
                print(sys.argv[1:], os.listdir(os.environ["HOME"]), os.path.isdir(os.environ["JUPYTER_PATH"]))
                print(os.path.dirname(os.environ["HOME"]))
                sys.exit(7)
                """);
        var said = launchBuilt("bench", "--only", "start");
        var lines = said.out().lines().toList();
        assertEquals(List.of("prerequisites bench", "['--only', 'start'] [] False"), lines.subList(0, 2));
        assertEquals("""
                --python /usr/bin/python3 --name capsule-plain --engine plain
                --python /usr/bin/python3 --name capsule-ipython --engine ipython
                """, said.err());
        assertEquals(7, said.status());
        assertFalse(Files.exists(Path.of(lines.get(2))), "what was installed is left");
    }

    @Test
    void theBenchmarkIsNotRunWithoutItsPackages() throws Exception {
        script("repo/kernelspec/prerequisites", "exit 3");
        assertEquals(new Said(3, "", ""), launchBuilt("bench"));
        assertEquals(new Said(3, "", ""), launchBuilt("bench", "--help"));
    }

    /// The help was asked of the first `python3` on the PATH, which may not have them.
    @Test
    void theBenchmarksHelpIsThatOfThePythonThatHasItsPackages() throws Exception {
        script("repo/kernelspec/prerequisites", "");
        script("bin/python3", "exit 1");
        Files.createDirectories(root.resolve("repo/kernelspec/bench"));
        Files.writeString(root.resolve("repo/kernelspec/bench/__main__.py"), "import sys; print(sys.argv[1:])");
        assertEquals(new Said(0, "['--help']\n", ""), launchBuilt("bench", "--help"));
    }

    private Said launchBuilt(String... args) throws Exception {
        Files.createDirectories(jar.resolveSibling(""));
        Files.writeString(jar, "");
        return launch(args);
    }

    private Said launch(String... args) throws Exception {
        return run(root.resolve("repo/kernelspec/capsule"), args);
    }

    private Said run(Path program, String... args) throws Exception {
        var command = new ArrayList<>(List.of(program.toString()));
        command.addAll(List.of(args));
        var err = root.resolve("err");
        var builder = new ProcessBuilder(command).redirectError(err.toFile());
        builder.environment().clear();
        builder.environment().putAll(env);
        var process = builder.start();
        process.getOutputStream().close();
        var out = new String(process.getInputStream().readAllBytes(), UTF_8);
        return new Said(process.waitFor(), out, Files.readString(err));
    }

    /// A JDK whose java prints its own name and its arguments, one on each line.
    private Path jdk(String version) throws IOException {
        var home = root.resolve("jdk-" + version);
        script("jdk-" + version + "/bin/java", "printf '%s\\n' java \"$@\"");
        script("jdk-" + version + "/bin/javac", "");
        Files.writeString(home.resolve("release"),
                "IMPLEMENTOR=\"X\"\nJAVA_VERSION=\"" + version + "\"\nJAVA_VERSION_DATE=\"2026-01-20\"\n");
        return home;
    }

    private void script(String name, String body) throws IOException {
        var file = root.resolve(name);
        Files.createDirectories(file.resolveSibling(""));
        Files.writeString(file, "#!/bin/sh\n" + body + "\n");
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-xr-x"));
    }
}
