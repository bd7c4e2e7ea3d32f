package dev.capsule.cli;

import java.io.IOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/// The stable place of a target: one directory for each build that some kernelspec names, `VERSION-HASH`.
///
/// @param root made by the first [#add]
record Releases(Path root) {
    private static final Pattern RELEASE = Pattern.compile("[^/]+-[0-9a-f]{12}");

    /// A release being written, and by which process. Not from `createTempDirectory`, whose directories only their
    /// owner can read.
    private static final Pattern DRAFT = Pattern.compile("\\.draft-([0-9]{1,9})");

    Path place(Program program) throws IOException {
        return root.resolve(program.release());
    }

    /// Puts the program in its place, complete from the first moment that it can be seen.
    ///
    /// @return the place
    Path add(Program program) throws IOException {
        var place = place(program);
        if (program.isUnpackedIn(place)) {
            return place;
        }
        var draft = root.resolve(".draft-" + ProcessHandle.current().pid());
        delete(draft);
        program.unpackTo(draft);
        // Damaged, as it was moved here complete; a directory cannot be replaced in one step.
        delete(place);
        Files.move(draft, place, StandardCopyOption.ATOMIC_MOVE);
        return place;
    }

    /// Deletes the releases that no spec names and no process runs (it may start another worker from its release), and
    /// what an installation that did not end has left.
    ///
    /// @param kernels the directory of all specs that may name a release of this root
    void deleteUnused(Path kernels) throws IOException {
        if (!Files.isDirectory(root)) {
            return;
        }
        var named = InstalledSpec.in(kernels).stream().map(spec -> spec.argv().jar().getParent())
                .collect(Collectors.toSet());
        var commands = ProcessHandle.allProcesses().map(process -> process.info().commandLine().orElse("")).toList();
        try (var places = Files.list(root)) {
            for (Path place : places.filter(place -> isUnused(place, named, commands)).toList()) {
                delete(place);
            }
        }
        try (var left = Files.list(root)) {
            if (left.findAny().isEmpty()) {
                delete(root);
            }
        }
    }

    private static boolean isUnused(Path place, Set<Path> named, List<String> commands) {
        String name = place.getFileName().toString();
        var draft = DRAFT.matcher(name);
        if (draft.matches()) {
            return ProcessHandle.of(Long.parseLong(draft.group(1))).isEmpty();
        }
        return RELEASE.matcher(name).matches() && !named.contains(place)
                && commands.stream().noneMatch(command -> command.contains(place.toString()));
    }

    /// Deletes a file or a directory with all that is in it, if it is there. Links are not followed.
    static void delete(Path path) throws IOException {
        if (!Files.exists(path, LinkOption.NOFOLLOW_LINKS)) {
            return;
        }
        Files.walkFileTree(path, new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
                Files.delete(file);
                return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult postVisitDirectory(Path directory, @Nullable IOException failure)
                    throws IOException {
                if (failure != null) {
                    throw failure;
                }
                Files.delete(directory);
                return FileVisitResult.CONTINUE;
            }
        });
    }
}
