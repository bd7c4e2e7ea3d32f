package dev.capsule.sandbox;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/// The directory that cells work in.
public sealed interface Workspace {
    /// A directory of the user, to read and to write.
    ///
    /// @param path absolute and without links: where it is for the worker
    /// @param source where the kernel finds it. When it is the kernel's own working directory, that is `.`, which stays
    ///        the same directory whatever becomes of its path: the cells of a workspace around this one can put a link
    ///        into the path, and the next worker would get what that leads to
    /// @param guards what is in it and must not be changed
    record Directory(Path path, Path source, List<Guard> guards) implements Workspace {
        public Directory {
            guards = List.copyOf(guards);
        }

        /// One that is found by its path.
        Directory(Path path, List<Guard> guards) {
            this(path, path, guards);
        }
    }

    /// An empty one that is gone with the worker.
    ///
    /// @param why nothing of the user's is there, for a person to read; ends a sentence
    record Scratch(String why) implements Workspace {}

    /// Something directly in the workspace that the user's own tools execute, or keep secrets in.
    ///
    /// @param directory whether it is one; else a file
    record Guard(String name, Protection protection, boolean directory) {}

    enum Protection {
        READ_ONLY, HIDDEN
    }

    /// Read by tools that run what is in them: a hook, a task, a server's start-up code.
    Set<String> READ_ONLY_NAMES = Set.of(".git", ".vscode", ".idea");

    /// Jupyter reads these in the directory that it is started in, and runs the Python ones (`jupyter_core.application`,
    /// `config_file_paths`).
    Pattern JUPYTER_CONFIGURATION = Pattern.compile("jupyter(_[a-z]+)?_config\\.(py|json)");

    /// Hold keys, tokens and passwords.
    Set<String> HIDDEN_NAMES = Set.of(".ssh", ".envrc", ".jupyter");

    /// Directories that programs of other users and of the system meet in.
    Set<Path> COMMON = Stream.of("/", "/bin", "/boot", "/dev", "/dev/shm", "/etc", "/lib", "/proc", "/run", "/sbin",
            "/sys", "/tmp", "/usr", "/var", "/var/tmp").map(Path::of).collect(Collectors.toUnmodifiableSet());

    /// Decides whether a directory can be handed to a worker.
    ///
    /// Guards are what there is when the worker starts. A mount can protect nothing that does not exist without leaving an
    /// empty thing of that name behind on disk, and an empty `.git` misleads other tools; so what a cell makes anew is not
    /// prevented but noticed ([#appeared]).
    ///
    /// @param directory the notebook's; the working directory when it is given as `.`
    /// @param home the user's: neither it nor what holds it is handed out
    /// @param closed where Capsule and Jupyter keep configuration, data and secrets: neither what holds one of these is
    ///        handed out, nor what is in one
    /// @throws IOException if the directory cannot be read
    static Workspace of(Path directory, Path home, List<Path> closed) throws IOException {
        var path = directory.toRealPath();
        if (COMMON.contains(path) || Stream.of("/proc", "/sys", "/dev").anyMatch(path::startsWith)) {
            return scratch(path + " is a directory of the system");
        }
        if (real(home).startsWith(path)) {
            return scratch(path.equals(real(home)) ? path + " is your home itself" : path + " holds your home");
        }
        for (Path place : closed) {
            if (real(place).startsWith(path)) {
                return scratch("%s holds %s, which cells must not touch".formatted(path, place));
            }
            if (path.startsWith(real(place))) {
                return scratch("%s is in %s, which cells must not touch".formatted(path, place));
            }
        }
        var guards = new ArrayList<Guard>();
        try (var entries = Files.newDirectoryStream(path, entry -> isGuarded(name(entry)))) {
            for (Path entry : entries) {
                // A link cannot be mounted over. What it leads to is not in the workspace, and so not in the sandbox.
                if (!Files.isSymbolicLink(entry)) {
                    guards.add(new Guard(name(entry),
                            HIDDEN_NAMES.contains(name(entry)) ? Protection.HIDDEN : Protection.READ_ONLY,
                            Files.isDirectory(entry, LinkOption.NOFOLLOW_LINKS)));
                }
            }
        }
        guards.sort((a, b) -> a.name().compareTo(b.name()));
        return new Directory(path, directory.isAbsolute() ? path : directory, guards);
    }

    /// The names in a workspace that would be guarded had they been there when its worker was started. A tool that is run
    /// there may execute what a cell has put in them.
    ///
    /// @throws IOException if the directory cannot be read
    static Set<String> appeared(Directory workspace) throws IOException {
        var guarded = workspace.guards().stream().map(Guard::name).collect(Collectors.toSet());
        var names = new TreeSet<String>();
        try (var entries = Files.newDirectoryStream(workspace.source(), entry -> isGuarded(name(entry)))) {
            entries.forEach(entry -> names.add(name(entry)));
        }
        names.removeAll(guarded);
        return names;
    }

    private static Scratch scratch(String why) {
        return new Scratch(why + "; a notebook in a directory of its own can use that");
    }

    private static boolean isGuarded(String name) {
        return READ_ONLY_NAMES.contains(name) || HIDDEN_NAMES.contains(name)
                || JUPYTER_CONFIGURATION.matcher(name).matches();
    }

    private static String name(Path entry) {
        return entry.getFileName().toString();
    }

    private static Path real(Path path) {
        try {
            return path.toRealPath();
        } catch (IOException e) {
            // It does not exist, yet: then it is where its name says.
            return path.toAbsolutePath().normalize();
        }
    }
}
