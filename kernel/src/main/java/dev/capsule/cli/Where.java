package dev.capsule.cli;

import java.nio.file.Path;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/// The options that say where to install; at most one is given.
final class Where {
    /// Says what is the default; given, it forbids the others.
    @Option(names = "--user", description = "for you: in your Jupyter data directory (the default)")
    @SuppressWarnings("unused")
    private boolean user;

    @Option(names = "--system", description = "for everyone: in /usr/local/share/jupyter")
    private boolean system;

    @Option(names = "--prefix", paramLabel = "DIR", description = "in DIR/share/jupyter")
    private @Nullable Path prefix;

    @Option(names = "--sys-prefix", description = {"in the active virtual or conda environment,",
            "without one in the prefix of the chosen Python"})
    private boolean sysPrefix;

    /// @param pythonPrefix asked only when no environment is active
    Host.Target target(Host host, Supplier<Path> pythonPrefix) {
        if (system) {
            return host.system();
        }
        if (prefix != null) {
            if (prefix.toString().isEmpty()) {
                throw new CommandException("--prefix is empty; name a directory, or leave it out to install for you");
            }
            return host.prefix(prefix);
        }
        return sysPrefix ? host.prefix(host.activePrefix().orElseGet(pythonPrefix)) : host.user();
    }
}
