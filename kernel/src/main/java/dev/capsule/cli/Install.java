package dev.capsule.cli;

import dev.capsule.checkpoint.Shelf;
import dev.capsule.jupyter.KernelSpec;
import dev.capsule.policy.Profile;
import dev.capsule.policy.Profile.Network;
import dev.capsule.worker.Interpreter;
import dev.capsule.worker.Interpreter.Choice;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/// Copies the program to its stable place and writes the kernelspec that names it.
///
/// A spec of Capsule's that is there already is brought up to date (program, Java, flags) without asking. What a person
/// chose in it (display name, Python, profile, sandbox, network, environment) is changed, and a spec of someone else's
/// replaced, only with `--replace`.
@Command(name = "install", mixinStandardHelpOptions = true, sortOptions = false, description = "Installs the kernelspec, for every Jupyter on this machine.")
final class Install implements Callable<Integer> {
    private final Host host;
    private final PrintWriter out;
    private final PrintWriter err;

    @ArgGroup
    private Where where = new Where();

    @Option(names = "--name", paramLabel = "NAME", description = "the kernel's name, as in: jupyter console --kernel NAME (default: "
            + KernelName.DEFAULT
            + "; with another profile or engine, the network or no sandbox a name of its own, such as capsule-python-open)")
    private @Nullable String name;

    @Option(names = "--display-name", paramLabel = "TEXT", description = "the name people pick (default: \"Python (Capsule)\", or such as \"Python (Capsule, open)\")")
    private @Nullable String displayName;

    @Option(names = "--profile", paramLabel = "NAME", description = "what the cells may do: locked, default, open or one of yours; see capsule profile list (default: default)")
    private String profile = Terms.DEFAULT.profile();

    @Option(names = "--sandbox", paramLabel = "KIND", description = "auto: the best that this machine offers; L1, L2 or L3: this kind, or no cell runs; see capsule doctor; none: cells may do all that you may (default: auto)")
    private String sandbox = Terms.DEFAULT.sandbox();

    @Option(names = "--network", paramLabel = "none|host", description = "host: cells reach all that this machine reaches (default: none)")
    private String network = Terms.DEFAULT.network();

    @Option(names = "--python", paramLabel = "PATH", description = "the Python that runs the cells, 3.9 or later (default: CAPSULE_PYTHON, else the active "
            + "environment's, else the first python3 with IPython, else python3)")
    private @Nullable String python;

    @Option(names = "--engine", paramLabel = "ENGINE", description = "what gives cells their meaning: ipython (magics, !commands), plain (Python alone), "
            + "or auto: ipython where the Python has IPython, else plain (default: auto)")
    private String engine = Terms.AUTO;

    @Option(names = Argv.RESTORE, paramLabel = "NAME|FILE", description = "the checkpoint that each start of the kernel loads, as capsule checkpoint list names it")
    private String restore = "";

    @Option(names = Argv.CHECKPOINT_ON_SHUTDOWN, paramLabel = "NAME", description = "the checkpoint that each shutdown leaves")
    private String checkpointOnShutdown = "";

    @Option(names = "--env", paramLabel = "NAME=VALUE", description = "a variable for the kernel; Jupyter replaces $${OTHER} in VALUE; may be repeated")
    private Map<String, String> env = new LinkedHashMap<>();

    @Option(names = "--replace", description = "replace what is there under that name, whoever put it there")
    private boolean replace;

    @Option(names = "--dry-run", description = "print what would be written, and write nothing")
    private boolean dryRun;

    Install(Host host, PrintWriter out, PrintWriter err) {
        this.host = host;
        this.out = out;
        this.err = err;
    }

    @Override
    public Integer call() throws IOException {
        if (!host.program().isPackaged()) {
            throw new CommandException(
                    host.program().jar() + " is not the packaged jar; run: kernelspec/capsule install");
        }
        var terms = new Terms(profile, sandbox, network).checked();
        var allowed = host.profiles().get(profile)
                .withNetwork(network.equals(Terms.HOST) ? Network.HOST : Network.NONE);
        String displayed = Objects.requireNonNullElseGet(displayName, () -> terms.displayName(engine));
        if (displayed.isBlank()) {
            throw new CommandException("--display-name is empty; people pick the kernel by it");
        }
        if (!Argv.ENGINES.contains(engine)) {
            throw new CommandException(
                    "there is no engine " + engine + "; choose one of " + String.join(", ", Argv.ENGINES));
        }
        if (!checkpointOnShutdown.isEmpty()) {
            Shelf.checked(checkpointOnShutdown);
        }
        String kernel = KernelName.checked(Objects.requireNonNullElseGet(name, () -> terms.kernelName(engine)));
        var chosen = host.choosePython(python);
        if (engine.equals("ipython") && !chosen.python().hasIPython()) {
            throw new CommandException(
                    "--engine ipython needs IPython, which %s has not: install it there, or leave --engine out"
                            .formatted(chosen.python().path()));
        }
        var target = where.target(host, () -> chosen.python().prefix());
        var releases = new Releases(target.programs());
        var argv = new Argv(Path.of(System.getProperty("java.home"), "bin", "java"),
                releases.place(host.program()).resolve(Program.JAR), chosen.python().path(), chosen.python().version(),
                engine,
                chosen.python().hasDebugpy(), restore, checkpointOnShutdown, terms);
        var spec = new KernelSpec(argv.words(), displayed, "python", KernelSpec.InterruptMode.MESSAGE, env,
                argv.debugger());
        var directory = target.kernels().resolve(kernel);
        checkReplaceable(directory, spec, argv);
        if (!terms.isSandboxed()) {
            err.println(
                    "capsule: warning: --sandbox none: the cells of this kernel may do all that you may: read, change "
                            + "and delete your files, use your passwords and your network. Run only what you trust in it");
        }
        if (dryRun) {
            out.println("would write " + argv.jar().resolveSibling(""));
            out.println("would write " + directory.resolve(InstalledSpec.FILE) + ":");
            out.print(spec.toJson());
            return 0;
        }
        compile(releases.add(host.program()), argv.python());
        rehearse(argv);
        write(directory, spec);
        releases.deleteUnused(target.kernels());
        report(directory, spec, argv, chosen, allowed);
        return 0;
    }

    private void checkReplaceable(Path directory, KernelSpec spec, Argv argv) {
        if (replace || !Files.exists(directory, LinkOption.NOFOLLOW_LINKS)) {
            return;
        }
        var installed = InstalledSpec.read(directory).orElseThrow(() -> new CommandException(directory
                + " is there and is not Capsule's; replace it with --replace, or take another --name"));
        var changes = new ArrayList<String>();
        note(changes, "display name", installed.spec().displayName(), spec.displayName());
        note(changes, "Python", installed.argv().python(), argv.python());
        note(changes, "engine", installed.argv().engine(), argv.engine());
        note(changes, "checkpoint to restore", installed.argv().restore(), argv.restore());
        note(changes, "checkpoint on shutdown", installed.argv().checkpointOnShutdown(), argv.checkpointOnShutdown());
        var terms = installed.argv().terms();
        note(changes, "profile", terms.profile(), argv.terms().profile());
        note(changes, "sandbox", terms.sandbox(), argv.terms().sandbox());
        note(changes, "network", terms.network(), argv.terms().network());
        note(changes, "environment", installed.spec().env(), spec.env());
        if (!changes.isEmpty()) {
            throw new CommandException(directory + " is installed with other settings (" + String.join("; ", changes)
                    + "); change them with --replace, or repeat the options it was installed with");
        }
    }

    private static <T> void note(List<String> changes, String what, T before, T now) {
        if (!before.equals(now)) {
            changes.add("%s %s, now %s".formatted(what, before, now));
        }
    }

    private void compile(Path release, Path interpreter) {
        Interpreter.compile(interpreter, release.resolve(Program.WORKER), host.env()).ifPresent(problem -> err.println(
                "capsule: warning: the worker's modules could not be compiled in advance; each start takes longer: "
                        + problem));
    }

    private void rehearse(Argv argv) {
        Rehearsal.hold(host.processes(), argv.plain(), host.env()).ifPresent(problem -> err.println(
                "capsule: warning: there is no cache for the start of this kernel; each start takes longer: "
                        + problem));
    }

    /// Jupyter sees the directory from the moment that its `kernel.json` is there, which therefore comes last.
    private void write(Path directory, KernelSpec spec) throws IOException {
        if (InstalledSpec.read(directory).isEmpty()) {
            Releases.delete(directory);
        }
        Files.createDirectories(directory);
        for (var logo : host.program().logos().entrySet()) {
            writeAtOnce(directory.resolve(logo.getKey()), logo.getValue());
        }
        writeAtOnce(directory.resolve(InstalledSpec.FILE), spec.toJson().getBytes(StandardCharsets.UTF_8));
    }

    private static void writeAtOnce(Path file, byte[] content) throws IOException {
        var draft = file.resolveSibling(file.getFileName() + ".draft-" + ProcessHandle.current().pid());
        Files.write(draft, content);
        Files.move(draft, file, StandardCopyOption.ATOMIC_MOVE);
    }

    private void report(Path directory, KernelSpec spec, Argv argv, Choice.Found chosen, Profile allowed) {
        out.println("Installed \"%s\" as %s".formatted(spec.displayName(), directory.getFileName()));
        out.println("  spec     " + directory);
        out.println("  program  " + argv.jar().resolveSibling(""));
        out.println("  Java     " + argv.java());
        out.println("  Python   %s, %s (chosen by: %s)"
                .formatted(argv.python(), chosen.python().describe(), chosen.reason()));
        out.println("  cells    " + (argv.terms().isSandboxed()
                ? "may use: %s (profile %s); %s".formatted(allowed.summary(), profile, other())
                : "may do all that you may (--sandbox none); for a sandboxed one: capsule install"));
        out.println("Pick it in JupyterLab, or run: jupyter console --kernel " + directory.getFileName());
    }

    /// The kernel that a person who finds this one too narrow, or too wide, is looking for.
    private String other() {
        return profile.equals(Profile.OPEN.name())
                ? "for a stranger's notebooks: capsule install"
                : "for your own notebooks, with every output and widgets: capsule install --profile open";
    }
}
