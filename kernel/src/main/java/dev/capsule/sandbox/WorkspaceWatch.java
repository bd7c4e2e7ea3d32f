package dev.capsule.sandbox;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.attribute.FileTime;
import java.time.Duration;
import java.time.Instant;
import java.util.HashSet;
import java.util.Set;
import java.util.TreeSet;

/// Notices what cells make in a workspace that would be guarded had it been there when the worker was started
/// ([Workspace#appeared]). Used by one thread at a time.
public final class WorkspaceWatch {
    /// The time that a directory was changed at is that of the system's last tick.
    private static final Duration TICK = Duration.ofMillis(20);

    private final Workspace.Directory workspace;
    private final Set<String> told = new HashSet<>();
    private FileTime lastChange = FileTime.from(Instant.EPOCH);
    private Instant lastLook = Instant.EPOCH;

    public WorkspaceWatch(Workspace.Directory workspace) {
        this.workspace = workspace;
    }

    /// Costs next to nothing while nothing is made.
    ///
    /// @return the names that have not been returned before
    /// @throws IOException if the workspace cannot be read any more
    public Set<String> appeared() throws IOException {
        var change = Files.getLastModifiedTime(workspace.source());
        if (change.equals(lastChange) && change.toInstant().isBefore(lastLook.minus(TICK))) {
            return Set.of();
        }
        lastLook = Instant.now();
        lastChange = change;
        var names = new TreeSet<>(Workspace.appeared(workspace));
        names.removeIf(name -> !told.add(name));
        return names;
    }
}
