package dev.capsule.cli;

import dev.capsule.worker.Interpreter;
import dev.capsule.worker.Interpreter.Choice;
import dev.capsule.worker.Interpreter.Python;
import dev.capsule.worker.Interpreter.Unusable;
import java.io.File;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
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

    private final Host host;
    private final PrintWriter out;
    private boolean canRun = true;

    Doctor(Host host, PrintWriter out) {
        this.host = host;
        this.out = out;
    }

    @Override
    public Integer call() throws IOException {
        program();
        python();
        jupyter();
        specs();
        onPath("node", "apt-get install nodejs (for JavaScript cells, yet to come)");
        onPath("bwrap", "apt-get install bubblewrap (for the sandbox, yet to come)");
        return canRun ? 0 : 1;
    }

    private void program() throws IOException {
        ok("Java", "%s, %s".formatted(Runtime.version(), System.getProperty("java.home")));
        var program = host.program();
        if (!program.isPackaged()) {
            broken("program", program.jar() + " is not the packaged jar", "kernelspec/capsule doctor");
            return;
        }
        ok("program", "%s, %s".formatted(program.version(), program.jar()));
        var place = new Releases(host.user().programs()).place(program);
        if (program.isUnpackedIn(place)) {
            ok("installed", place.toString());
        } else {
            absent("installed", place + " is not there", "capsule install");
        }
    }

    private void python() {
        switch (Interpreter.choose(null, host.env())) {
            case Choice.Found(Python python, String reason) ->
                ok("Python", "%s, %s (chosen by: %s)".formatted(python.path(), python.describe(), reason));
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

    private void specs() {
        var specs = InstalledSpec.on(host.jupyterPath());
        if (specs.isEmpty()) {
            absent("kernelspec", "none of Capsule's is where Jupyter looks", "capsule install");
        }
        for (var spec : specs) {
            if (spec.missing().isEmpty()) {
                ok("kernelspec", spec.directory().toString());
            } else {
                broken("kernelspec", "%s names what does not exist: %s".formatted(spec.directory(), spec.missing()),
                        spec.remedy());
            }
        }
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
