package dev.capsule.cli;

import dev.capsule.audit.Audit;
import dev.capsule.policy.PolicyException;
import dev.capsule.policy.Profile;
import dev.capsule.sandbox.Probe;
import dev.capsule.sandbox.Probe.Refusal;
import dev.capsule.sandbox.Tier;
import dev.capsule.sandbox.Workspace;
import dev.capsule.worker.Interpreter;
import dev.capsule.worker.Interpreter.Choice;
import dev.capsule.worker.Interpreter.Python;
import dev.capsule.worker.Interpreter.Unusable;
import dev.capsule.worker.WorkerProcess;
import java.io.File;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import picocli.CommandLine.Command;

/// Shows what the kernel needs and what was found of it, with what to do about the rest. Three marks: `ok`, `--` for
/// what may be missing, and `NO` for what keeps a kernel from running.
@Command(name = "doctor", mixinStandardHelpOptions = true, description = {
        "Shows what was found and what is missing, with the fix.",
        "Ends with status 0 when the kernel can run, with 1 otherwise."})
final class Doctor implements Callable<Integer> {
    /// Jupyter's programs, and what brings them.
    private static final List<Map.Entry<String, String>> JUPYTER = List.of(
            Map.entry("jupyter", "apt-get install jupyter-core"),
            Map.entry("jupyter-lab", "pip install jupyterlab, in a virtual environment"),
            Map.entry("jupyter-notebook", "apt-get install jupyter-notebook"),
            Map.entry("jupyter-console", "apt-get install jupyter-console"),
            Map.entry("jupyter-nbconvert", "apt-get install jupyter-nbconvert"),
            Map.entry("jupyter-server", "apt-get install jupyter-server"));

    /// Why every cell of a kernel would fail, and what to do about it.
    private record Objection(String problem, String fix) {}

    private final Host host;
    private final PrintWriter out;
    private boolean canRun = true;

    Doctor(Host host, PrintWriter out) {
        this.host = host;
        this.out = out;
    }

    @Override
    public Integer call() throws IOException {
        var specs = InstalledSpec.on(host.jupyterPath());
        program(specs);
        python();
        jupyter();
        var tiers = sandboxes();
        var profiles = profiles();
        specs(specs, tiers, profiles);
        ok("limits", "enforced by " + WorkerProcess.enforcement());
        audit();
        onPath("node", "apt-get install nodejs (for JavaScript cells, yet to come)");
        return canRun ? 0 : 1;
    }

    private void program(List<InstalledSpec> specs) throws IOException {
        ok("Java", "%s, %s".formatted(Runtime.version(), System.getProperty("java.home")));
        var program = host.program();
        if (!program.isPackaged()) {
            broken("program", program.jar() + " is not the packaged jar", "kernelspec/capsule doctor");
            return;
        }
        ok("program", "%s, %s".formatted(program.version(), program.jar()));
        installed(program, specs);
    }

    /// What the kernels run. Where that is gone, [#specs] says so.
    private void installed(Program program, List<InstalledSpec> specs) throws IOException {
        var remedies = specs.stream().filter(spec -> Files.exists(spec.argv().jar())).collect(Collectors.groupingBy(
                spec -> spec.argv().jar().resolveSibling(""), LinkedHashMap::new,
                Collectors.mapping(InstalledSpec::remedy, Collectors.joining(" && "))));
        for (var place : remedies.entrySet()) {
            if (program.isUnpackedIn(place.getKey())) {
                ok("installed", place.getKey().toString());
            } else {
                absent("installed", place.getKey() + " is of another build, or damaged", place.getValue());
            }
        }
    }

    private void python() {
        switch (Interpreter.choose(null, host.env())) {
            case Choice.Found(Python python, String reason) -> {
                ok("Python", "%s, %s (chosen by: %s)".formatted(python.path(), python.describe(), reason));
                if (python.hasDebugpy()) {
                    ok("debugger", "debugpy of that Python");
                } else {
                    absent("debugger", "that Python has no debugpy, without which cells cannot be debugged",
                            "apt-get install python3-debugpy, or pip install debugpy; then capsule install");
                }
            }
            case Choice.Refused(String message) -> {
                canRun = false;
                line("NO", "Python", message);
            }
        }
        for (var candidate : Interpreter.candidates(host.env())) {
            switch (candidate) {
                case Python python -> ok("  candidate", python.path() + ", " + python.describe());
                case Unusable(Path path, String why) -> line("--", "  candidate", path + " " + why);
            }
        }
    }

    private void jupyter() {
        JUPYTER.forEach(program -> onPath(program.getKey(), program.getValue()));
        for (Path data : host.jupyterPath()) {
            line(Files.isDirectory(data) ? "ok" : "--", "Jupyter data", data.toString());
        }
    }

    /// Tries each kind of sandbox, also those that a better one makes unnecessary: `--sandbox` may ask for one.
    ///
    /// @return those that hold, the best first
    private List<Tier> sandboxes() throws IOException {
        var directory = Path.of("").toAbsolutePath();
        var workspace = Workspace.of(directory, host.home(), List.of());
        var holding = new ArrayList<Tier>();
        var refused = new ArrayList<Refusal>();
        for (var tier : Tier.values()) {
            switch (Probe.run(host.processes(), List.of(tier), workspace)) {
                case Probe.Result.Available(var sandbox, _) -> {
                    sandbox.close();
                    holding.add(tier);
                    ok("sandbox " + tier, tier.describe());
                }
                case Probe.Result.Unavailable unavailable -> refused.addAll(unavailable.refused());
            }
        }
        refused.forEach(refusal -> absent("sandbox " + refusal.tier(), refusal.reason(), refusal.fix()));
        if (holding.isEmpty()) {
            broken("sandbox", "no kind is available: every cell will fail",
                    "one of the above, or for code that you trust: capsule install --sandbox none");
        } else {
            ok("sandbox", "a kernel in %s uses %s".formatted(directory, holding.getFirst()));
        }
        return holding;
    }

    /// @return their names; none when the user's own are not as they must be
    private List<String> profiles() {
        try {
            var names = host.profiles().all().stream().map(Profile::name).toList();
            var file = host.profilesFile();
            ok("profiles", "%s; yours are in %s%s".formatted(String.join(", ", names), file,
                    Files.exists(file) ? "" : " (not there)"));
            return names;
        } catch (PolicyException e) {
            broken("profiles", String.valueOf(e.getMessage()), "change the file, or remove it");
            return List.of();
        }
    }

    private void audit() {
        Audit.file(host.env()).ifPresentOrElse(
                file -> ok("audit log", file + (Files.exists(file) ? "" : " (made by the first kernel)")),
                () -> absent("audit log", "neither XDG_STATE_HOME nor HOME is an absolute path: none is written",
                        "set one of them"));
    }

    private void specs(List<InstalledSpec> specs, List<Tier> tiers, List<String> profiles) {
        if (specs.isEmpty()) {
            absent("kernelspec", "none of Capsule's is where Jupyter looks", "capsule install");
        }
        for (var spec : specs) {
            if (spec.missing().isEmpty()) {
                objection(spec, tiers, profiles).ifPresentOrElse(
                        objection -> broken("kernelspec", spec.directory() + " " + objection.problem(),
                                objection.fix()),
                        () -> ok("kernelspec", "%s (%s)".formatted(spec.directory(), spec.argv().terms().describe())));
            } else {
                broken("kernelspec", "%s names what does not exist: %s".formatted(spec.directory(), spec.missing()),
                        spec.remedy());
            }
        }
    }

    private Optional<Objection> objection(InstalledSpec spec, List<Tier> tiers, List<String> profiles) {
        var terms = spec.argv().terms();
        if (!profiles.isEmpty() && !profiles.contains(terms.profile())) {
            return Optional.of(new Objection("has the profile %s, which there is not".formatted(terms.profile()),
                    "define it in %s, or choose another as PROFILE: %s".formatted(host.profilesFile(),
                            spec.remedy(new Terms("PROFILE", terms.sandbox(), terms.network())))));
        }
        boolean holds = List.of(Terms.AUTO, Terms.NONE).contains(terms.sandbox())
                || tiers.stream().anyMatch(tier -> tier.name().equals(terms.sandbox()));
        return holds
                ? Optional.empty()
                : Optional.of(new Objection("has the sandbox %s, which is not available".formatted(terms.sandbox()),
                        "make it available (see above), or let Capsule choose the best: "
                                + spec.remedy(new Terms(terms.profile(), Terms.AUTO, terms.network()))));
    }

    private void onPath(String program, String fix) {
        Stream.of(host.variable("PATH").orElse("").split(File.pathSeparator)).filter(entry -> entry.startsWith("/"))
                .map(entry -> Path.of(entry, program)).filter(Files::isExecutable).findFirst()
                .ifPresentOrElse(path -> ok(program, path.toString()), () -> absent(program, "not on the PATH", fix));
    }

    private void ok(String what, String found) {
        line("ok", what, found);
    }

    private void absent(String what, String problem, String fix) {
        line("--", what, problem + "; fix: " + fix);
    }

    private void broken(String what, String problem, String fix) {
        canRun = false;
        line("NO", what, problem + "; fix: " + fix);
    }

    private void line(String mark, String what, String text) {
        out.println("%s  %-18s %s".formatted(mark, what, text));
    }
}
