package dev.capsule.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.util.concurrent.Callable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/// Removes a kernelspec of Capsule's, and the program when no other spec of that place names it.
@Command(name = "uninstall", mixinStandardHelpOptions = true, sortOptions = false, description = "Removes the kernelspec and what it needed.")
final class Uninstall implements Callable<Integer> {
    private final Host host;
    private final PrintWriter out;

    @ArgGroup
    private Where where = new Where();

    @Option(names = "--name", paramLabel = "NAME", defaultValue = KernelName.DEFAULT, description = "the kernel's name (default: ${DEFAULT-VALUE})")
    private String name = KernelName.DEFAULT;

    Uninstall(Host host, PrintWriter out) {
        this.host = host;
        this.out = out;
    }

    @Override
    public Integer call() throws IOException {
        var target = where.target(host, () -> host.choosePython(null).python().prefix());
        var directory = target.kernels().resolve(KernelName.checked(name));
        if (!Files.exists(directory, LinkOption.NOFOLLOW_LINKS)) {
            throw new CommandException("there is no " + directory + "; capsule list shows what is installed");
        }
        if (InstalledSpec.read(directory).isEmpty()) {
            throw new CommandException(directory + " is not Capsule's; left as it is");
        }
        Releases.delete(directory);
        new Releases(target.programs()).deleteUnused(target.kernels());
        out.println("Removed " + directory);
        return 0;
    }
}
