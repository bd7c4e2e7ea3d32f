package dev.capsule.cli;

import java.io.PrintWriter;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;

/// Shows the kernelspecs of Capsule's where Jupyter looks for kernels.
@Command(name = "list", mixinStandardHelpOptions = true, description = "Lists Capsule's kernelspecs on Jupyter's path.")
final class ListSpecs implements Callable<Integer> {
    private final Host host;
    private final PrintWriter out;

    ListSpecs(Host host, PrintWriter out) {
        this.host = host;
        this.out = out;
    }

    @Override
    public Integer call() {
        var specs = InstalledSpec.on(host.jupyterPath());
        if (specs.isEmpty()) {
            out.println("No Capsule kernel is installed where Jupyter looks; to install it: capsule install");
        }
        for (var spec : specs) {
            out.println("%s  \"%s\"".formatted(spec.name(), spec.spec().displayName()));
            out.println("  spec     " + spec.directory());
            out.println("  program  " + spec.argv().jar().resolveSibling(""));
            out.println("  Python   " + spec.argv().python());
            out.println("  engine   " + spec.argv().engine());
            out.println("  profile  " + spec.argv().terms().describe());
            spec.hiddenBy(host.jupyterPath())
                    .ifPresent(other -> out.println("  hidden   Jupyter takes this one first: " + other));
            for (var path : spec.missing()) {
                out.println("  broken   " + path + " does not exist; fix: " + spec.remedy());
            }
        }
        return 0;
    }
}
