package dev.capsule.cli;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.jar.Attributes;
import java.util.jar.JarOutputStream;
import java.util.jar.Manifest;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// `install`, `uninstall`, `list` and `doctor`, whole, on a machine that is all in one directory.
class InstallTest {
    private static final Path PYTHON = Path.of("/usr/bin/python3");

    @TempDir
    Path root;

    private final Map<String, String> env = new HashMap<>();
    private Path home = Path.of("");
    private Path jar = Path.of("");

    /// What a command printed, and its status.
    private record Said(int status, String out, String err) {}

    @BeforeEach
    void machine() throws IOException {
        home = Files.createDirectories(root.resolve("home"));
        jar = jar("one");
        env.put("HOME", home.toString());
        env.put("PATH", "/usr/bin");
        env.put("CAPSULE_PYTHON", PYTHON.toString());
    }

    @Test
    void writesTheSpecTheProgramAndTheLogos() throws IOException {
        var said = run("install", "--env", "B=${HOME}/x=1", "--env", "A=");
        String release = release(jar);
        assertEquals("", said.err());
        assertEquals(List.of(".local/share/capsule/" + release + "/capsule.jar",
                ".local/share/capsule/" + release + "/worker/python/capsule_worker/__init__.py",
                ".local/share/capsule/" + release + "/worker/python/capsule_worker/__main__.py",
                ".local/share/jupyter/kernels/capsule-python/kernel.json",
                ".local/share/jupyter/kernels/capsule-python/logo-32x32.png",
                ".local/share/jupyter/kernels/capsule-python/logo-svg.svg"), files(home));
        assertEquals("""
                {
                  "argv": [
                    "%s/bin/java",
                    "-XX:+UseSerialGC",
                    "-XX:-UsePerfData",
                    "-Xms8m",
                    "-Xmn4m",
                    "-Xmx768m",
                    "-Xss512k",
                    "-XX:ReservedCodeCacheSize=48m",
                    "--enable-native-access=ALL-UNNAMED",
                    "-jar",
                    "%s/.local/share/capsule/%s/capsule.jar",
                    "kernel",
                    "-f",
                    "{connection_file}",
                    "--python",
                    "/usr/bin/python3"
                  ],
                  "display_name": "Python (Capsule)",
                  "language": "python",
                  "interrupt_mode": "message",
                  "env": {
                    "B": "${HOME}/x=1",
                    "A": ""
                  },
                  "metadata": {}
                }
                """.formatted(System.getProperty("java.home"), home, release), Files.readString(spec()));
        assertEquals(-1, Files.mismatch(jar, home.resolve(".local/share/capsule/" + release + "/capsule.jar")));
        assertTrue(Files.isDirectory(
                home.resolve(".local/share/capsule/" + release + "/worker/python/capsule_worker/__pycache__")));
    }

    /// A directory made by `createTempDirectory` would be its owner's alone, and a system-wide kernel of no use.
    @Test
    void whatIsInstalledCanBeReadByOthers() throws IOException {
        run("install", "--system");
        var local = root.resolve("usr/local");
        try (var all = Files.walk(local)) {
            for (Path path : all.toList()) {
                String mode = PosixFilePermissions.toString(Files.getPosixFilePermissions(path));
                assertTrue(mode.startsWith("r--", 6) || mode.startsWith("r-x", 6), path + " " + mode);
            }
        }
    }

    @Test
    void dryRunWritesNothingAndPrintsTheSpec() throws IOException {
        var said = run("install", "--dry-run");
        assertEquals(List.of(), files(home));
        run("install");
        String program = home + "/.local/share/capsule/" + release(jar);
        assertEquals(new Said(0, "would write " + program + "\nwould write " + spec() + ":\n"
                + Files.readString(spec()), ""), said);
    }

    @Test
    void installingAgainChangesNothing() throws IOException {
        run("install");
        var before = contents(home);
        assertEquals(0, run("install").status());
        assertEquals(before, contents(home));
    }

    @Test
    void anotherBuildTakesTheOldOnesPlace() throws IOException {
        run("install", "--name", "other");
        run("install");
        String old = release(jar);
        jar = jar("two");
        assertEquals(0, run("install").status());
        assertTrue(Files.readString(spec()).contains(release(jar)));
        assertEquals(List.of(release(jar), old).stream().sorted().toList(), releases(),
                "\"other\" still names the old");
        assertEquals(0, run("install", "--name", "other").status());
        assertEquals(List.of(release(jar)), releases());
    }

    /// A kernel that runs may start another worker from its release at any time.
    @Test
    void releaseOfARunningKernelStays() throws Exception {
        run("install");
        String old = release(jar);
        var process = new ProcessBuilder("/bin/sh", "-c", "read line", "sh",
                home + "/.local/share/capsule/" + old + "/capsule.jar").start();
        try (var input = process.getOutputStream()) {
            jar = jar("two");
            run("install");
            assertEquals(List.of(release(jar), old).stream().sorted().toList(), releases());
            input.write('\n');
        }
        process.waitFor();
        run("install");
        assertEquals(List.of(release(jar)), releases());
    }

    @Test
    void damagedAndAbandonedReleasesAreMadeGood() throws IOException {
        run("install");
        var programs = home.resolve(".local/share/capsule");
        Files.delete(programs.resolve(release(jar) + "/worker/python/capsule_worker/__main__.py"));
        Files.createDirectories(programs.resolve(".draft-999999999/worker"));
        run("install");
        assertEquals(List.of(release(jar)), releases());
        assertTrue(Files.exists(programs.resolve(release(jar) + "/worker/python/capsule_worker/__main__.py")));
    }

    @Test
    void whatAPersonChoseIsChangedOnlyWithReplace() throws IOException {
        run("install", "--env", "A=1");
        var before = Files.readString(spec());
        assertEquals(new Said(1, "", "capsule: " + spec().getParent()
                + " is installed with other settings (display name "
                + "Python (Capsule), now Mine; environment {A=1}, now {}); change them with --replace, or repeat the "
                + "options it was installed with\n"), run("install", "--display-name", "Mine"));
        assertEquals(before, Files.readString(spec()));
        assertEquals(0, run("install", "--display-name", "Mine", "--replace").status());
        assertTrue(Files.readString(spec()).contains("\"display_name\": \"Mine\""));
    }

    @Test
    void specOfSomeoneElseIsReplacedOnlyWithReplace() throws IOException {
        Files.createDirectories(spec().getParent());
        Files.writeString(spec(), """
                {"argv": ["x"], "display_name": "Theirs", "language": "python"}""");
        Files.writeString(spec().resolveSibling("kernel.js"), "");
        var before = contents(home);
        assertEquals(
                new Said(1, "", "capsule: " + spec().getParent() + " is there and is not Capsule's; replace it with "
                        + "--replace, or take another --name\n"),
                run("install"));
        assertEquals(new Said(1, "", "capsule: " + spec().getParent() + " is not Capsule's; left as it is\n"),
                run("uninstall"));
        assertEquals(before, contents(home));
        assertEquals(0, run("install", "--replace").status());
        assertFalse(Files.exists(spec().resolveSibling("kernel.js")));
    }

    @Test
    void uninstallLeavesNothing() throws IOException {
        run("install");
        run("install", "--name", "Second");
        assertEquals(new Said(0, "Removed " + home + "/.local/share/jupyter/kernels/second\n", ""),
                run("uninstall", "--name", "second"));
        assertEquals(List.of(release(jar)), releases());
        assertEquals(0, run("uninstall").status());
        assertEquals(List.of(), files(home));
        assertFalse(Files.exists(home.resolve(".local/share/capsule")));
        assertEquals(new Said(1, "", "capsule: there is no " + spec().getParent()
                + "; capsule list shows what is installed\n"), run("uninstall"));
    }

    @Test
    void everyTargetHasItsDirectories() {
        env.put("XDG_DATA_HOME", root + "/xdg");
        assertEquals(new Host.Target(root.resolve("xdg/jupyter"), root.resolve("xdg/capsule")), host(false).user());
        assertEquals(new Host.Target(home.resolve("Library/Jupyter"), root.resolve("xdg/capsule")), host(true).user());
        env.put("JUPYTER_DATA_DIR", root + "/data");
        assertEquals(new Host.Target(root.resolve("data"), root.resolve("data/capsule")), host(false).user());
        assertEquals(new Host.Target(root.resolve("usr/local/share/jupyter"), root.resolve("usr/local/share/capsule")),
                host(false).system());
        env.put("VIRTUAL_ENV", root + "/venv");
        env.put("JUPYTER_PATH", root + "/a:" + root + "/b/:");
        assertEquals(Stream.of("a", "b", "data", "venv/share/jupyter", "usr/local/share/jupyter", "usr/share/jupyter")
                .map(root::resolve).toList(), host(false).jupyterPath());
    }

    @Test
    void prefixesAreWhereTheyWereAskedFor() {
        assertTrue(run("install", "--dry-run", "--prefix", root + "/p").out()
                .contains("would write " + root + "/p/share/jupyter/kernels/capsule-python/kernel.json:"));
        assertTrue(run("install", "--dry-run", "--sys-prefix").out()
                .contains("would write /usr/share/jupyter/kernels/capsule-python/kernel.json:"));
        env.put("CONDA_PREFIX", root + "/conda");
        assertTrue(run("install", "--dry-run", "--sys-prefix").out()
                .contains("would write " + root + "/conda/share/jupyter/kernels/capsule-python/kernel.json:"));
    }

    @Test
    void namesThatJupyterDoesNotTakeAreRefused() {
        for (String name : List.of("", ".", "..", "a/b", "a b", "é")) {
            assertEquals(
                    new Said(1, "", "capsule: --name is \"" + name + "\"; Jupyter takes ASCII letters, digits, '-', "
                            + "'.' and '_' only, such as capsule-python\n"),
                    run("install", "--name", name));
        }
        assertEquals(
                new Said(1, "", "capsule: --name is \"Python3\", which Jupyter keeps for ipykernel: it starts kernels "
                        + "of that name with options of IPython's own; take another, such as capsule-python\n"),
                run("install", "--name", "Python3"));
    }

    @Test
    void badInputIsRefusedBeforeAnythingIsWritten() throws IOException {
        assertEquals(new Said(1, "", "capsule: --python names /nowhere/python, which does not exist; name another with "
                + "--python PATH\n"), run("install", "--python", "/nowhere/python"));
        assertEquals(new Said(1, "", "capsule: --display-name is empty; people pick the kernel by it\n"),
                run("install", "--display-name", " "));
        assertEquals(2, run("install", "--user", "--system").status());
        assertEquals(2, run("install", "--env", "NOVALUE").status());
        assertEquals(2, run("instal").status());
        assertEquals(2, run().status());
        assertEquals(List.of(), files(home));
    }

    @Test
    void aFileInTheWayIsNamed() throws IOException {
        Files.writeString(home.resolve(".local"), "");
        var said = run("install");
        assertEquals(1, said.status());
        assertTrue(said.err().startsWith("capsule: " + home + "/.local"), said::err);
    }

    @Test
    void listShowsWhatJupyterFindsAndWhatIsWrongWithIt() throws IOException {
        assertEquals(new Said(0, "No Capsule kernel is installed where Jupyter looks; to install it: capsule install\n",
                ""), run("list"));
        run("install");
        run("install", "--system", "--display-name", "For all");
        Files.createDirectories(home.resolve(".local/share/jupyter/kernels/ir"));
        Files.writeString(home.resolve(".local/share/jupyter/kernels/ir/kernel.json"), "{");
        Releases.delete(root.resolve("usr/local/share/capsule"));
        String programs = "share/capsule/" + release(jar);
        assertEquals("""
                capsule-python  "Python (Capsule)"
                  spec     HOME/.local/share/jupyter/kernels/capsule-python
                  program  HOME/.local/PROGRAM
                  Python   /usr/bin/python3
                capsule-python  "For all"
                  spec     USR/local/share/jupyter/kernels/capsule-python
                  program  USR/local/PROGRAM
                  Python   /usr/bin/python3
                  hidden   Jupyter takes this one first: HOME/.local/share/jupyter/kernels/capsule-python
                  broken   USR/local/PROGRAM/capsule.jar does not exist; fix: capsule install --replace --name \
                capsule-python --prefix USR/local
                """.replace("HOME", home.toString()).replace("USR", root + "/usr").replace("PROGRAM", programs),
                run("list").out());
    }

    @Test
    void doctorEndsWithZeroOnlyWhenTheKernelCanRun() throws IOException {
        var before = run("doctor");
        assertEquals(0, before.status(), before::out);
        assertTrue(
                before.out().contains("--  kernelspec         none of Capsule's is where Jupyter looks; fix: capsule "
                        + "install\n"),
                before::out);
        run("install");
        var installed = run("doctor");
        assertTrue(installed.out().contains("ok  kernelspec         " + spec().getParent() + "\n"), installed::out);
        Releases.delete(home.resolve(".local/share/capsule"));
        var broken = run("doctor");
        assertEquals(1, broken.status());
        assertTrue(broken.out()
                .contains("NO  kernelspec         " + spec().getParent() + " names what does not exist: ["
                        + home + "/.local/share/capsule/" + release(jar)
                        + "/capsule.jar]; fix: capsule install --replace --name "
                        + "capsule-python --prefix " + home + "/.local\n"),
                broken::out);
        env.put("CAPSULE_PYTHON", "/nowhere/python");
        assertTrue(
                run("doctor").out().contains("NO  Python             CAPSULE_PYTHON names /nowhere/python, which does "
                        + "not exist; name another with --python PATH\n"));
    }

    @Test
    void versionIsTheJars() {
        assertEquals(new Said(0, "capsule 1.2.3\n", ""), run("--version"));
    }

    private Said run(String... args) {
        var out = new StringWriter();
        var err = new StringWriter();
        int status = CommandLineTool.run(host(false), List.of(args), new PrintWriter(out, true),
                new PrintWriter(err, true));
        return new Said(status, out.toString(), err.toString());
    }

    private Host host(boolean mac) {
        return new Host(env, root.resolve("usr"), mac, new Program(jar));
    }

    private Path spec() {
        return home.resolve(".local/share/jupyter/kernels/capsule-python/kernel.json");
    }

    private static String release(Path jar) throws IOException {
        return new Program(jar).release();
    }

    private List<String> releases() throws IOException {
        try (var all = Files.list(home.resolve(".local/share/capsule"))) {
            return all.map(path -> path.getFileName().toString()).sorted().toList();
        }
    }

    /// The files below a directory, without byte code.
    private static List<String> files(Path directory) throws IOException {
        return new ArrayList<>(contents(directory).keySet());
    }

    private static Map<String, String> contents(Path directory) throws IOException {
        var contents = new TreeMap<String, String>();
        try (var all = Files.walk(directory)) {
            for (Path path : all.filter(it -> Files.isRegularFile(it) && !it.toString().endsWith(".pyc")).toList()) {
                contents.put(directory.relativize(path).toString(), Files.readString(path, ISO_8859_1));
            }
        }
        return contents;
    }

    /// A jar as the build makes it, but without classes.
    private Path jar(String marker) throws IOException {
        var manifest = new Manifest();
        manifest.getMainAttributes().put(Attributes.Name.MANIFEST_VERSION, "1.0");
        manifest.getMainAttributes().put(Attributes.Name.IMPLEMENTATION_VERSION, "1.2.3");
        var file = root.resolve(marker + ".jar");
        try (var out = new JarOutputStream(Files.newOutputStream(file), manifest)) {
            for (String name : List.of("worker/python/capsule_worker/__init__.py",
                    "worker/python/capsule_worker/__main__.py", "kernelspec/logo-32x32.png",
                    "kernelspec/logo-svg.svg")) {
                out.putNextEntry(new ZipEntry(name));
                out.write(("# " + marker).getBytes(UTF_8));
            }
        }
        return file;
    }
}
