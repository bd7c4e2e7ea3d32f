package dev.capsule.cli;

import dev.capsule.policy.Profiles;
import dev.capsule.sandbox.Processes;
import dev.capsule.worker.Interpreter;
import dev.capsule.worker.Interpreter.Choice;
import dev.capsule.worker.LocalProcesses;
import java.io.File;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/// What the commands know of the machine, and where Jupyter looks for kernels on it (as `jupyter_core.paths`, 4.12 to
/// 5.9, has it).
///
/// @param usr the directory `/usr`
/// @param program the running jar
/// @param processes finds out which sandboxes there are
record Host(Map<String, String> env, Path usr, boolean mac, Program program, Processes processes) {

    /// One place to install into.
    ///
    /// @param jupyter the Jupyter data directory, whose `kernels` holds the specs
    /// @param programs where Capsule's own files are kept, and no other target's
    record Target(Path jupyter, Path programs) {
        Path kernels() {
            return jupyter.resolve("kernels");
        }
    }

    Host {
        env = Map.copyOf(env);
    }

    static Host current() {
        try {
            var jar = Path.of(Host.class.getProtectionDomain().getCodeSource().getLocation().toURI());
            return new Host(System.getenv(), Path.of("/usr"), System.getProperty("os.name").startsWith("Mac"),
                    new Program(jar), new LocalProcesses());
        } catch (URISyntaxException e) {
            throw new IllegalStateException("the JVM's own location of the jar", e);
        }
    }

    Target user() {
        // A data directory of its own gets programs of its own: other directories' specs are not seen from here.
        return variable("JUPYTER_DATA_DIR").map(data -> new Target(absolute(data), absolute(data).resolve("capsule")))
                .orElseGet(() -> new Target(mac ? home().resolve("Library/Jupyter") : xdgData().resolve("jupyter"),
                        xdgData().resolve("capsule")));
    }

    Target system() {
        return prefix(usr.resolve("local"));
    }

    Target prefix(Path prefix) {
        var share = prefix.toAbsolutePath().normalize().resolve("share");
        return new Target(share.resolve("jupyter"), share.resolve("capsule"));
    }

    /// The prefix of the active virtual or conda environment.
    Optional<Path> activePrefix() {
        return variable("VIRTUAL_ENV").or(() -> variable("CONDA_PREFIX")).map(Host::absolute);
    }

    /// Jupyter's data directories, the first one that has a kernel's name wins.
    List<Path> jupyterPath() {
        var path = new ArrayList<Path>();
        variable("JUPYTER_PATH").stream().flatMap(list -> Stream.of(list.split(File.pathSeparator)))
                .filter(entry -> !entry.isEmpty()).map(Host::absolute).forEach(path::add);
        path.add(user().jupyter());
        activePrefix().ifPresent(prefix -> path.add(prefix(prefix).jupyter()));
        path.add(system().jupyter());
        path.add(prefix(usr).jupyter());
        return path.stream().distinct().toList();
    }

    /// @param flag the value of `--python`; null when not given
    /// @throws CommandException if what was named cannot be used, or nothing was found
    Choice.Found choosePython(@Nullable String flag) {
        return switch (Interpreter.choose(flag, env)) {
            case Choice.Found found -> found;
            case Choice.Refused(String message) -> throw new CommandException(message);
        };
    }

    /// Where the user's own profiles are, or would be.
    Path profilesFile() {
        return Profiles.file(env).orElseGet(() -> home().resolve(".config/capsule/profiles.json"));
    }

    /// @throws dev.capsule.policy.PolicyException if the user's own are not as they must be
    Profiles profiles() {
        return Profiles.file(env).map(Profiles::load).orElseGet(Profiles::builtIn);
    }

    Optional<String> variable(String name) {
        return Optional.ofNullable(env.get(name)).filter(value -> !value.isEmpty());
    }

    private Path xdgData() {
        return variable("XDG_DATA_HOME").map(Host::absolute).orElseGet(() -> home().resolve(".local/share"));
    }

    /// As the shell and Jupyter have it; the JVM's own idea is the password file's.
    Path home() {
        return absolute(variable("HOME").orElseGet(() -> System.getProperty("user.home")));
    }

    private static Path absolute(String path) {
        return Path.of(path).toAbsolutePath().normalize();
    }
}
