package dev.capsule.cli;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.capsule.policy.Profile;
import dev.capsule.jupyter.KernelSpec;
import dev.capsule.sandbox.Launch;
import dev.capsule.sandbox.Processes;
import dev.capsule.sandbox.Processes.Ended;
import dev.capsule.sandbox.Tier;
import dev.capsule.worker.LocalProcesses;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
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

    private static final String CACHE_OPTION = "-XX:AOTCacheOutput=";

    private Processes processes = saying(new Ended(0, "end\n"));

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

    /// Kernels were started with `-jar` before.
    @Test
    void theCommandsOfEarlierVersionsAreUnderstood() {
        var jar = Path.of("/share/capsule/1/capsule.jar");
        assertEquals(Optional.of(jar), jarOf("java", "-cp", jar.toString(), "dev.capsule.cli.Main", "kernel"));
        assertEquals(Optional.of(jar), jarOf("java", "-Xss1m", "-jar", jar.toString(), "kernel"));
        assertEquals(Optional.empty(), jarOf("java", "-jar", "/share/other.jar", "kernel"));
        assertEquals(Optional.empty(), jarOf("java", "-jar", jar.toString(), "install"));
    }

    private static Optional<Path> jarOf(String... command) {
        var argv = Stream.concat(Stream.of(command), Stream.of("--python", "/usr/bin/python3")).toList();
        return Argv.of(new KernelSpec(argv, "Python", "python", KernelSpec.InterruptMode.MESSAGE, Map.of(), false))
                .map(Argv::jar);
    }

    @Test
    void writesTheSpecTheProgramAndTheLogos() throws IOException {
        var said = run("install", "--env", "B=${HOME}/x=1", "--env", "A=");
        String release = release(jar);
        assertEquals("", said.err());
        String cache = "capsule-" + Runtime.version() + ".aot";
        assertEquals(List.of(".local/share/capsule/" + release + "/" + cache,
                ".local/share/capsule/" + release + "/capsule.jar",
                ".local/share/capsule/" + release + "/compiler/commands",
                ".local/share/capsule/" + release + "/libsqlitejdbc.so",
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
                    "-Xms13m",
                    "-Xmn9600k",
                    "-XX:SurvivorRatio=1",
                    "-Xmx768m",
                    "-Xss1m",
                    "-XX:TieredStopAtLevel=1",
                    "-XX:ReservedCodeCacheSize=48m",
                    "-XX:StringTableSize=4096",
                    "-Djava.locale.providers=FALLBACK",
                    "--enable-native-access=ALL-UNNAMED",
                    "-XX:AOTCache=%s/.local/share/capsule/%s/%s",
                    "-Xlog:aot*=off,cds*=off",
                    "-XX:+UnlockDiagnosticVMOptions",
                    "-XX:+UnlockExperimentalVMOptions",
                    "-XX:-AOTReplayTraining",
                    "-XX:AsyncDeflationInterval=10000",
                    "-XX:ServiceThreadCleanupInterval=10000",
                    "-XX:TrimNativeHeapInterval=10000",
                    "-XX:StackShadowPages=10",
                    "-XX:SymbolTableSize=4096",
                    "-XX:-PrintWarnings",
                    "-XX:ThreadPriorityPolicy=1",
                    "-XX:CompilerThreadPriority=10",
                    "-XX:CompileCommandFile=%s/.local/share/capsule/%s/compiler/commands",
                    "-XX:-DisplayVMOutput",
                    "-cp",
                    "%s/.local/share/capsule/%s/capsule.jar",
                    "dev.capsule.cli.Main",
                    "kernel",
                    "-f",
                    "{connection_file}",
                    "--python",
                    "/usr/bin/python3",
                    "--python-version",
                    "%s",
                    "--debugger",
                    "on"
                  ],
                  "display_name": "Python (Capsule)",
                  "language": "python",
                  "interrupt_mode": "message",
                  "env": {
                    "B": "${HOME}/x=1",
                    "A": ""
                  },
                  "metadata": {
                    "debugger": true
                  }
                }
                """.formatted(System.getProperty("java.home"), home, release, cache, home, release, home,
                release, pythonVersion()),
                Files.readString(spec()));
        assertEquals(-1, Files.mismatch(jar, home.resolve(".local/share/capsule/" + release + "/capsule.jar")));
        assertTrue(Files.isDirectory(
                home.resolve(".local/share/capsule/" + release + "/worker/python/capsule_worker/__pycache__")));
    }

    /// On a busy machine the JVM was killed before it had written anything, and the empty file that it had made was taken for
    /// the cache by every later installation: all starts took twice as long.
    @Test
    void aCacheThatIsNotWrittenIsMadeByTheNextInstallation() throws IOException {
        var writes = processes;
        processes = killed();
        var said = run("install");
        assertTrue(
                said.err().contains("there is no cache for the start of this kernel; each start takes longer: a kernel "
                        + "that was to write it ended with 137"),
                said::err);
        var release = home.resolve(".local/share/capsule/" + release(jar));
        assertEquals(List.of(), aboutCache(release));
        var cache = release.resolve("capsule-" + Runtime.version() + ".aot");
        Files.createFile(cache);
        processes = writes;
        assertEquals("", run("install").err());
        assertEquals("a cache", Files.readString(cache));
    }

    private static List<String> aboutCache(Path release) throws IOException {
        return files(release).stream().filter(name -> name.contains(".aot")).toList();
    }

    /// Where the JVM of a kernel that is rehearsed gets no further than to what it notes down first.
    private static Processes killed() {
        return new Processes() {
            @Override
            public Ended run(Launch launch, Duration patience) throws IOException {
                for (String word : launch.command()) {
                    if (word.startsWith(CACHE_OPTION)) {
                        Files.createFile(Path.of(word.substring(CACHE_OPTION.length())));
                        Files.writeString(Path.of(word.substring(CACHE_OPTION.length()) + ".config"), "notes");
                    }
                }
                return new Ended(137, "");
            }

            @Override
            public int userNamespace(String uidMap, String gidMap) throws IOException {
                throw new IOException("none here");
            }
        };
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

    /// The text of the spec stayed in the writer, which hands on nothing but lines that it is told to end.
    @Test
    void allIsPrintedAtTheEnd() {
        var bytes = new ByteArrayOutputStream();
        var out = new PrintWriter(bytes, true, StandardCharsets.UTF_8);
        assertEquals(0, CommandLineTool.run(host(false), List.of("install", "--dry-run"), out, out));
        assertTrue(bytes.toString(StandardCharsets.UTF_8).endsWith("}\n"), bytes::toString);
    }

    /// No cell could be run, of which only the second one said why.
    @Test
    void anEngineThatThePythonHasNotIsRefused() throws IOException, InterruptedException {
        var python = root.resolve("venv/bin/python");
        var made = new ProcessBuilder(PYTHON.toString(), "-m", "venv", "--without-pip",
                root.resolve("venv").toString());
        assertEquals(0, made.inheritIO().start().waitFor());
        var said = run("install", "--engine", "ipython", "--python", python.toString());
        assertEquals(1, said.status());
        assertTrue(said.err().contains("needs IPython, which " + python + " has not"), said.err());
        assertEquals(0, run("install", "--python", python.toString()).status());
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
                  engine   auto
                  profile  default, sandbox auto, network none
                capsule-python  "For all"
                  spec     USR/local/share/jupyter/kernels/capsule-python
                  program  USR/local/PROGRAM
                  Python   /usr/bin/python3
                  engine   auto
                  profile  default, sandbox auto, network none
                  hidden   Jupyter takes this one first: HOME/.local/share/jupyter/kernels/capsule-python
                  broken   USR/local/PROGRAM/capsule.jar does not exist; fix: capsule install --replace --name \
                capsule-python --display-name 'For all' --python /usr/bin/python3 --prefix USR/local
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
        assertTrue(installed.out().contains("ok  kernelspec         " + spec().getParent()
                + " (default, sandbox auto, network none)\n"), installed::out);
        Releases.delete(home.resolve(".local/share/capsule"));
        var broken = run("doctor");
        assertEquals(1, broken.status());
        assertTrue(broken.out()
                .contains("NO  kernelspec         " + spec().getParent() + " names what does not exist: ["
                        + home + "/.local/share/capsule/" + release(jar)
                        + "/capsule.jar]; fix: capsule install --replace --name "
                        + "capsule-python --python /usr/bin/python3 --prefix " + home + "/.local\n"),
                broken::out);
        env.put("CAPSULE_PYTHON", "/nowhere/python");
        assertTrue(
                run("doctor").out().contains("NO  Python             CAPSULE_PYTHON names /nowhere/python, which does "
                        + "not exist; name another with --python PATH\n"));
    }

    /// It named the user's own place alone, as missing, where a kernel was installed for all or in a prefix.
    @Test
    void doctorLooksForTheProgramWhereKernelsHaveIt() throws IOException {
        run("install", "--system");
        String system = root + "/usr/local/share/capsule/";
        String here = "ok  installed          " + system + release(jar) + "\n";
        var alone = run("doctor");
        assertTrue(alone.out().contains(here), alone::out);
        assertFalse(alone.out().contains("--  installed"), alone::out);
        String old = release(jar);
        jar = jar("two");
        run("install", "--name", "mine", "--engine", "plain");
        var both = run("doctor");
        assertTrue(both.out().contains("ok  installed          " + home + "/.local/share/capsule/" + release(jar)
                + "\n--  installed          " + system + old + " is of another build, or damaged; fix: capsule install "
                + "--replace --name capsule-python --python /usr/bin/python3 --prefix " + root + "/usr/local\n"),
                both::out);
        assertEquals(0, both.status());
    }

    /// Without `--profile` the command gave the kernel the default one; all else that was chosen was lost, too.
    @Test
    void doctorsCommandsRepeatWhatWasChosen() throws IOException {
        profiles("{\"lecture\": {}}");
        run("install", "--name", "mine", "--display-name", "Anna's kernel", "--profile", "lecture", "--network", "host",
                "--engine", "plain", "--restore", "work", "--checkpoint-on-shutdown", "work", "--env", "A=${HOME}/x",
                "--env", "B=", "--prefix", home + "/my jupyter");
        env.put("JUPYTER_PATH", home + "/my jupyter/share/jupyter");
        profiles("{}");
        String options = " --network host --engine plain --display-name 'Anna'\\''s kernel' --python /usr/bin/python3 "
                + "--restore work --checkpoint-on-shutdown work --env 'A=${HOME}/x' --env B= --prefix '" + home
                + "/my jupyter'\n";
        var gone = run("doctor");
        assertEquals(1, gone.status());
        assertTrue(gone.out().contains("kernels/mine has the profile lecture, which there is not; fix: define it in "
                + home + "/.config/capsule/profiles.json, or choose another as PROFILE: capsule install --replace "
                + "--name mine --profile PROFILE" + options), gone::out);
        Releases.delete(home.resolve("my jupyter/share/capsule"));
        var broken = run("doctor");
        assertTrue(broken.out().contains("; fix: capsule install --replace --name mine --profile lecture" + options),
                broken::out);
    }

    @Test
    void doctorTriesEverySandboxAndSaysWhichOneIsUsed() throws IOException {
        var all = run("doctor");
        assertTrue(all.out().contains("ok  sandbox L1         bubblewrap with its own namespaces and /proc\n"),
                all::out);
        assertTrue(all.out().contains("ok  sandbox L2         "), all::out);
        assertTrue(
                all.out().contains("ok  sandbox            a kernel in " + Path.of("").toAbsolutePath() + " uses L1\n"),
                all::out);
        run("install", "--sandbox", "L1");
        processes = saying(new Ended(1, "bwrap: Can't mount proc on /newroot/proc: Operation not permitted\n"));
        var none = run("doctor");
        assertEquals(1, none.status());
        assertTrue(none.out().contains("--  sandbox L1         bwrap: Can't mount proc on /newroot/proc: Operation not "
                + "permitted (exit status 1); fix: the container hides parts of /proc: "), none::out);
        assertTrue(none.out().contains("NO  sandbox            no kind is available: every cell will fail; fix: one of "
                + "the above, or for code that you trust: capsule install --sandbox none\n"), none::out);
        assertTrue(none.out().contains("NO  kernelspec         " + spec().getParent() + " has the sandbox L1, which is "
                + "not available; fix: make it available (see above), or let Capsule choose the best: capsule install "
                + "--replace --name capsule-python --python /usr/bin/python3 --prefix " + home + "/.local\n"),
                none::out);
    }

    /// On this machine, whatever it offers.
    @Test
    void doctorTriesThemForReal() {
        processes = new LocalProcesses();
        var said = run("doctor");
        for (var tier : Tier.values()) {
            assertTrue(said.out().contains("ok  sandbox " + tier) || said.out().contains("--  sandbox " + tier),
                    said::out);
        }
        assertEquals(said.status() == 0, said.out().contains("ok  sandbox            a kernel in "), said::out);
    }

    @Test
    void doctorNamesTheFilesOfProfilesAndAudit() throws IOException {
        String config = home + "/.config/capsule/profiles.json";
        var said = run("doctor");
        assertTrue(said.out().contains("ok  profiles           default, locked, open; yours are in " + config
                + " (not there)\n"), said::out);
        assertTrue(
                said.out().contains("ok  audit log          " + home + "/.local/state/capsule/audit.jsonl (made by the "
                        + "first kernel)\n"),
                said::out);
        profiles("{\"lecture\": {}}");
        run("install", "--profile", "lecture");
        assertTrue(run("doctor").out().contains("ok  profiles           default, lecture, locked, open; yours are in "
                + config + "\n"));
        profiles("{");
        var broken = run("doctor");
        assertEquals(1, broken.status());
        assertTrue(broken.out().contains("NO  profiles           " + config + " is not valid JSON: "), broken::out);
    }

    @Test
    void aProfileIsBakedInUnderANameOfItsOwn() throws IOException {
        run("install");
        var said = run("install", "--profile", "open", "--network", "host");
        assertEquals("", said.err());
        assertTrue(
                said.out().startsWith("Installed \"Python (Capsule, open, network)\" as capsule-python-open-network\n"),
                said::out);
        assertTrue(said.out().contains("  cells    may use: the notebook's directory, this machine's network, 2 GiB of "
                + "memory, cells of any length, every kind of output, widgets (profile open); for a stranger's "
                + "notebooks: capsule install\n"), said::out);
        assertTrue(argv("capsule-python-open-network").endsWith(
                "\"--debugger\", \"on\", \"--profile\", \"open\", \"--network\", \"host\""));
        assertTrue(argv("capsule-python")
                .endsWith("\"/usr/bin/python3\", \"--python-version\", \"" + pythonVersion()
                        + "\", \"--debugger\", \"on\""));
        assertTrue(run("list").out().contains("  profile  open, sandbox auto, network host\n"));
    }

    /// The whole help hid what was wrong.
    @Test
    void aMistakeInTheOptionsIsSaidAndNotTheWholeHelp() throws IOException {
        assertEquals(new Said(2, "", """
                capsule: Unknown option: '--engin'
                Possible solutions: --engine, --env
                See: capsule install --help
                """), run("install", "--engin"));
        assertEquals("""
                capsule: Missing required parameter for option '--name' (NAME)
                See: capsule install --help
                """, run("install", "--name").err());
        assertEquals("See: capsule --help", run("instal").err().lines().toList().getLast());
    }

    /// That was the present directory, without a word.
    @Test
    void anEmptyPrefixIsNone() throws IOException {
        assertEquals(new Said(1, "",
                "capsule: --prefix is empty; name a directory, or leave it out to install for you\n"),
                run("install", "--prefix", ""));
    }

    @Test
    void theListTellsTheEngine() throws IOException {
        run("install", "--engine", "plain");
        assertTrue(run("list").out().contains("\n  engine   plain\n"));
    }

    /// The second kernel of a person who wanted both engines was refused, or under a `--name` looked like the first.
    @Test
    void anEngineThatWasAskedForIsInTheNames() throws IOException {
        run("install");
        var said = run("install", "--engine", "plain");
        assertEquals("", said.err());
        assertTrue(said.out().startsWith("Installed \"Python (Capsule, plain)\" as capsule-python-plain\n"), said::out);
        assertTrue(argv("capsule-python-plain").contains("\"--engine\", \"plain\""));
        assertTrue(run("install", "--engine", "auto", "--dry-run").out().contains("\"Python (Capsule)\""));
        var all = run("install", "--profile", "open", "--engine", "ipython");
        assertTrue(
                all.out().startsWith("Installed \"Python (Capsule, open, ipython)\" as capsule-python-open-ipython\n"),
                all::out);
        assertTrue(run("install", "--engine", "plain", "--name", "mine").out()
                .startsWith("Installed \"Python (Capsule, plain)\" as mine\n"));
        assertTrue(run("install", "--engine", "plain", "--name", "short", "--display-name", "Short").out()
                .startsWith("Installed \"Short\" as short\n"));
    }

    @Test
    void checkpointsAreBakedInAndNotChangedWithoutBeingAsked() throws IOException {
        run("install", "--restore", "work", "--checkpoint-on-shutdown", "work");
        assertTrue(argv("capsule-python").endsWith("\"--restore\", \"work\", \"--checkpoint-on-shutdown\", \"work\""));
        assertTrue(
                run("install").err().contains("checkpoint to restore work, now ; checkpoint on shutdown work, now "));
        assertTrue(run("install", "--name", "other", "--checkpoint-on-shutdown", "../x").err()
                .startsWith("capsule: \"../x\" is no name of a checkpoint"));
    }

    @Test
    void aKernelWithoutSandboxIsWarnedOf() throws IOException {
        var said = run("install", "--sandbox", "none");
        assertEquals(
                "capsule: warning: --sandbox none: the cells of this kernel may do all that you may: read, change and "
                        + "delete your files, use your passwords and your network. Run only what you trust in it\n",
                said.err());
        assertTrue(said.out().startsWith("Installed \"Python (Capsule, no sandbox)\" as capsule-python-no-sandbox\n"),
                said::out);
        assertTrue(argv("capsule-python-no-sandbox").endsWith("\"--sandbox\", \"none\""));
    }

    @Test
    void whatTheDefaultAllowsAndHowToGetMoreIsSaid() {
        assertTrue(run("install").out()
                .contains("  cells    may use: the notebook's directory, no network, 2 GiB of memory, "
                        + "cells of any length, 9 kinds of output, no widgets (profile default); for your own notebooks, with "
                        + "every output and widgets: capsule install --profile open\n"));
    }

    /// A kernel that was narrowed must not become a wider one because somebody repeats a shorter command.
    @Test
    void profileSandboxAndNetworkAreChangedOnlyWithReplace() throws IOException {
        run("install", "--name", "mine", "--profile", "locked", "--sandbox", "L1", "--display-name", "Mine");
        assertEquals(new Said(1, "", "capsule: " + home + "/.local/share/jupyter/kernels/mine is installed with other "
                + "settings (profile locked, now default; sandbox L1, now auto; network none, now host); change them with "
                + "--replace, or repeat the options it was installed with\n"),
                run("install", "--name", "mine", "--display-name", "Mine", "--network", "host"));
        Releases.delete(home.resolve(".local/share/capsule"));
        assertTrue(
                run("list").out().contains("fix: capsule install --replace --name mine --profile locked --sandbox L1 "
                        + "--display-name Mine --python /usr/bin/python3 --prefix " + home + "/.local\n"));
    }

    @Test
    void profilesSandboxesAndNetworksThatThereAreNotAreRefused() throws IOException {
        assertEquals(new Said(1, "", "capsule: there is no profile \"opne\"; there are default, locked, open\n"),
                run("install", "--profile", "opne"));
        assertEquals(new Said(1, "", "capsule: --sandbox is \"off\"; allowed are auto, L1, L2, L3, none\n"),
                run("install", "--sandbox", "off"));
        assertEquals(new Said(1, "", "capsule: --network is \"all\"; allowed are none, host\n"),
                run("install", "--network", "all"));
        profiles("{\"default\": {\"network\": \"host\"}}");
        assertEquals(new Said(1, "", "capsule: " + home
                + "/.config/capsule/profiles.json: default.network is \"host\"; "
                + "allowed is \"none\"; this machine's network is only given when a kernel is installed or launched, with "
                + "--network host\n"), run("install"));
        assertFalse(Files.exists(home.resolve(".local")));
    }

    @Test
    void profilesAreShownInPlainWords() throws IOException {
        profiles("{\"default\": {\"memory\": \"4 GiB\"}, \"lecture\": {\"extends\": \"locked\"}}");
        String config = home + "/.config/capsule/profiles.json";
        assertEquals(new Said(0,
                """
                        default    the notebook's directory, no network, 4 GiB of memory, cells of any length, 9 kinds of output, \
                        no widgets (built in, changed by FILE)
                        lecture    none of your files, no network, 512 MiB of memory, cells of up to 30 s, 4 kinds of output, \
                        no widgets (FILE)
                        locked     none of your files, no network, 512 MiB of memory, cells of up to 30 s, 4 kinds of output, \
                        no widgets (built in)
                        open       the notebook's directory, no network, 2 GiB of memory, cells of any length, every kind of \
                        output, widgets (built in)
                        All of what one allows: capsule profile show NAME
                        """
                        .replace("FILE", config),
                ""), run("profile", "list"));
        var lines = new ArrayList<>(Profile.LOCKED.describe());
        lines.add("from: built in");
        lines.add("to install a kernel with it: capsule install --profile locked");
        assertEquals(new Said(0, String.join("\n", lines) + "\n", ""), run("profile", "show", "locked"));
        assertTrue(run("profile", "show", "default").out().endsWith("from: built in, changed by " + config
                + "\nto install a kernel with it: capsule install\n"));
        assertEquals(new Said(1, "", "capsule: there is no profile \"x\"; there are default, lecture, locked, open\n"),
                run("profile", "show", "x"));
        assertEquals(2, run("profile").status());
        assertEquals(new Said(0, "capsule 1.2.3\n", ""), run("profile", "list", "--version"));
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
        return new Host(env, root.resolve("usr"), mac, new Program(jar), processes);
    }

    /// Of a machine on which every sandbox fares in the same way.
    private static Processes saying(Ended answer) {
        return new Processes() {
            @Override
            public Ended run(Launch launch, Duration patience) throws IOException {
                for (String word : launch.command()) {
                    if (word.startsWith(CACHE_OPTION)) {
                        // The JVM of a kernel that is rehearsed.
                        Files.writeString(Path.of(word.substring(CACHE_OPTION.length())), "a cache");
                    }
                }
                return answer;
            }

            @Override
            public int userNamespace(String uidMap, String gidMap) throws IOException {
                throw new IOException("none here");
            }
        };
    }

    private void profiles(String json) throws IOException {
        var file = home.resolve(".config/capsule/profiles.json");
        Files.createDirectories(file.resolveSibling(""));
        Files.writeString(file, json);
    }

    /// The words of a kernel's command, as JSON has them.
    private static String pythonVersion() throws IOException {
        var asked = new ProcessBuilder(PYTHON.toString(), "-c", "import platform; print(platform.python_version())")
                .start();
        return new String(asked.getInputStream().readAllBytes(), UTF_8).strip();
    }

    private String argv(String name) throws IOException {
        String json = Files.readString(home.resolve(".local/share/jupyter/kernels/" + name + "/kernel.json"));
        return json.substring(json.indexOf('[') + 1, json.indexOf(']')).strip().replaceAll("\\s*\n\\s*", " ");
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
                    "kernelspec/logo-svg.svg", "compiler/commands",
                    "org/sqlite/native/Linux/"
                            + (System.getProperty("os.arch").equals("aarch64") ? "aarch64" : "x86_64")
                            + "/libsqlitejdbc.so")) {
                out.putNextEntry(new ZipEntry(name));
                out.write(("# " + marker).getBytes(UTF_8));
            }
        }
        return file;
    }
}
