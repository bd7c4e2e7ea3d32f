package dev.capsule.checkpoint;

import dev.capsule.log.Logs;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Where a user's checkpoints are: in one directory for each that notebooks work in, so that a notebook finds those of its
/// own directory only. Cells never see the files.
public final class Shelf {
    private static final Logger LOG = Logs.of(Shelf.class);

    /// What a checkpoint may be called.
    public static final Pattern NAME = Pattern.compile("[A-Za-z0-9][A-Za-z0-9_.-]{0,63}");

    /// What the checkpoints of one directory may take on the disk, so that no notebook can fill it: 8 GiB.
    static final long MAX_BYTES = 8L << 30;

    /// The most checkpoints that one directory may have.
    static final int MAX_COUNT = 100;

    /// Ends the name of each file.
    public static final String SUFFIX = ".checkpoint";
    private static final Pattern DRAFT = Pattern.compile("\\..*\\.(\\d{1,9})\\.draft");
    private static final int HASH_BYTES = 16;
    private static final String OWNERS = "rwx------";

    private final Path root;
    private final Path own;
    private final Path directory;

    /// One checkpoint, or a file that should be one.
    ///
    /// @param problem why it is none
    public record Item(String name, Path file, long bytes, Optional<Manifest> manifest, Optional<String> problem) {}

    /// @param root made by the first checkpoint
    /// @param directory the absolute path of the one that the notebook works in
    /// @param place tells those notebooks apart that may use each other's checkpoints: most often the directory's path
    public Shelf(Path root, Path directory, String place) {
        this.root = root;
        this.directory = directory;
        own = root.resolve(HexFormat.of().formatHex(
                CheckpointFile.sha256().digest(place.getBytes(StandardCharsets.UTF_8)), 0, HASH_BYTES));
    }

    /// For whom works in none.
    public static Shelf of(Path root) {
        return new Shelf(root, Path.of("/"), "");
    }

    public Path directory() {
        return directory;
    }

    /// @throws CheckpointException if it is no name
    public static String checked(String name) {
        if (!NAME.matcher(name).matches()) {
            throw new CheckpointException(
                    "\"%s\" is no name of a checkpoint: allowed are letters, digits, _, . and -, at most 64, of which the"
                            .formatted(Manifest.plain(name)) + " first is a letter or digit");
        }
        return name;
    }

    /// Begins a checkpoint, which takes the place of one of this name when it is finished.
    ///
    /// @throws CheckpointException if there is no room for it
    public Draft draft(String name) {
        var target = own.resolve(checked(name) + SUFFIX);
        try {
            prepare(root);
            prepare(own);
            clean();
            long bytes = 0;
            int count = 0;
            for (Path other : checkpoints(own)) {
                if (!other.equals(target)) {
                    bytes += Files.size(other);
                    count++;
                }
            }
            if (count >= MAX_COUNT || bytes >= MAX_BYTES) {
                throw new CheckpointException(
                        "the %d checkpoints of %s take %,d bytes; the limits are %d and %,d. Delete some: capsule checkpoint"
                                .formatted(count, directory, bytes, MAX_COUNT, MAX_BYTES) + " delete NAME");
            }
            return new Draft(target, Math.min(CheckpointFile.MAX_BYTES, MAX_BYTES - bytes));
        } catch (IOException e) {
            throw new CheckpointException("no checkpoint can be made in %s: %s".formatted(own, reason(e)), e);
        }
    }

    private static void prepare(Path directory) throws IOException {
        Files.createDirectories(directory,
                PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString(OWNERS)));
        if (!Files.isDirectory(directory, LinkOption.NOFOLLOW_LINKS)) {
            throw new NotDirectoryException(directory.toString());
        }
    }

    /// Removes what kernels that were killed have left.
    private void clean() throws IOException {
        try (var files = Files.newDirectoryStream(own, ".*.draft")) {
            for (Path file : files) {
                Matcher matcher = DRAFT.matcher(file.getFileName().toString());
                if (matcher.matches() && ProcessHandle.of(Long.parseLong(matcher.group(1))).isEmpty()) {
                    Files.deleteIfExists(file);
                }
            }
        }
    }

    /// The one of this name that was made where this notebook works. Nothing of it is checked yet.
    ///
    /// @throws CheckpointException if there is none; the message says where there is one, if anywhere
    public Path own(String name) {
        var file = own.resolve(checked(name) + SUFFIX);
        if (Files.exists(file, LinkOption.NOFOLLOW_LINKS)) {
            return file;
        }
        var elsewhere = named(name);
        if (elsewhere.isEmpty()) {
            throw new CheckpointException("there is no checkpoint \"%s\"; capsule checkpoint list shows those there are"
                    .formatted(name));
        }
        throw new CheckpointException(
                "the checkpoint \"%s\" was made elsewhere (%s), and a notebook may use those of its own directory only, which"
                        .formatted(name, where(elsewhere))
                        + " is %s; a kernel that is started with --restore %s restores it".formatted(directory,
                                elsewhere.getFirst().file()));
    }

    /// The one that a person means who may have any: by its path if there is a slash in it, else by its name.
    ///
    /// @throws CheckpointException if there is none, or more than one and none of this directory
    public Path any(String nameOrPath) {
        if (nameOrPath.contains("/")) {
            return Path.of(nameOrPath).toAbsolutePath();
        }
        var file = own.resolve(checked(nameOrPath) + SUFFIX);
        if (Files.exists(file)) {
            return file;
        }
        var found = named(nameOrPath);
        if (found.isEmpty()) {
            throw new CheckpointException(
                    "there is no checkpoint \"%s\" in %s; capsule checkpoint list shows those there"
                            .formatted(nameOrPath, root) + " are");
        }
        if (found.size() > 1) {
            throw new CheckpointException("there are %d checkpoints \"%s\" (%s); give the path of one: %s".formatted(
                    found.size(), nameOrPath, where(found),
                    String.join(", ", found.stream().map(item -> item.file().toString()).toList())));
        }
        return found.getFirst().file();
    }

    private static String where(List<Item> items) {
        return String.join(", ", items.stream()
                .map(item -> item.manifest().map(Manifest::shownDirectory).orElse("a damaged file")).toList());
    }

    private List<Item> named(String name) {
        return items(file -> name(file).equals(name));
    }

    /// All that the user has.
    public List<Item> all() {
        return items(_ -> true);
    }

    private List<Item> items(Predicate<Path> wanted) {
        var items = new ArrayList<Item>();
        try (var directories = Files.newDirectoryStream(root, Files::isDirectory)) {
            for (Path each : directories) {
                try {
                    checkpoints(each).stream().filter(wanted).map(Shelf::item).forEach(items::add);
                } catch (IOException | DirectoryIteratorException e) {
                    LOG.log(Level.WARNING, () -> "checkpoints in %s cannot be read: %s".formatted(each, e));
                }
            }
        } catch (NoSuchFileException e) {
            return List.of();
        } catch (IOException e) {
            throw new CheckpointException("the checkpoints in %s cannot be read: %s".formatted(root, reason(e)), e);
        }
        return items;
    }

    private static List<Path> checkpoints(Path directory) throws IOException {
        var files = new ArrayList<Path>();
        try (DirectoryStream<Path> entries = Files.newDirectoryStream(directory, "*" + SUFFIX)) {
            entries.forEach(files::add);
        }
        files.removeIf(file -> !NAME.matcher(name(file)).matches());
        files.sort(null);
        return files;
    }

    private static String name(Path file) {
        String name = file.getFileName().toString();
        return name.substring(0, name.length() - SUFFIX.length());
    }

    private static Item item(Path file) {
        long bytes = 0;
        try (var opened = CheckpointFile.open(file)) {
            bytes = Files.size(file);
            return new Item(name(file), file, bytes, Optional.of(opened.manifest()), Optional.empty());
        } catch (CheckpointException e) {
            return new Item(name(file), file, bytes, Optional.empty(), Optional.of(e.getMessage()));
        } catch (IOException e) {
            return new Item(name(file), file, bytes, Optional.empty(), Optional.of(reason(e)));
        }
    }

    /// The message of a file error is often nothing but the file's name.
    static String reason(IOException e) {
        return e instanceof FileSystemException file
                ? Objects.requireNonNullElse(file.getReason(), file.getClass().getSimpleName())
                : Objects.requireNonNullElse(e.getMessage(), e.toString());
    }
}
