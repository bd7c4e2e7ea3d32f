package dev.capsule.cli;

import java.util.List;
import java.util.Locale;
import java.util.regex.Pattern;

/// The name of a kernelspec, which is the name of its directory.
final class KernelName {
    static final String DEFAULT = "capsule-python";
    private static final Pattern VALID = Pattern.compile("[a-z0-9._-]*[a-z0-9_-][a-z0-9._-]*");
    private static final List<String> TAKEN = List.of("python", "python2", "python3");

    private KernelName() {}

    /// @return the name in lower case, as Jupyter keeps it (jupyter_client, `KernelSpecManager`)
    /// @throws CommandException if Jupyter refuses the name or treats it in its own way
    static String checked(String name) {
        String kernel = name.toLowerCase(Locale.ROOT);
        if (!VALID.matcher(kernel).matches()) {
            throw new CommandException("--name is \"" + name
                    + "\"; Jupyter takes ASCII letters, digits, '-', '.' and '_' only, such as " + DEFAULT);
        }
        if (TAKEN.contains(kernel)) {
            throw new CommandException(
                    "--name is \"" + name + "\", which Jupyter keeps for ipykernel: it starts kernels "
                            + "of that name with options of IPython's own; take another, such as " + DEFAULT);
        }
        return kernel;
    }
}
