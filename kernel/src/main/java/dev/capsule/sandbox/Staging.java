package dev.capsule.sandbox;

import dev.capsule.sandbox.Native.RefusedException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/// Where root puts what a worker gets, so that the worker's own user, which bubblewrap runs as, can reach it: below a
/// home that is closed to others there is no way through for it. The thread that enters gets mounts of its own, with the
/// trees side by side in a directory in memory. Nobody else sees them, and they are gone with the thread.
///
/// @param trees in the order of their places
public record Staging(List<Tree> trees) implements Confinement {
    /// In these mounts, what is otherwise in it is out of sight: a worker gets nothing of it but its trees.
    private static final Path PLACE = Path.of("/tmp");

    private static final int MISSING = -1;

    /// @param source a file or directory
    public record Tree(Path source, Owners owners) {}

    /// Whose the files of a tree appear to be.
    public sealed interface Owners {
        record Unchanged() implements Owners {}

        /// The worker's user appears as the owner of what belongs to the owner of the tree, and what it makes belongs to
        /// that owner on disk (`mount_setattr(2)`, "ID-mapped mounts").
        ///
        /// @param userNamespace a descriptor of a user namespace that has the mapping
        record Mapped(int userNamespace) implements Owners {}
    }

    public Staging {
        trees = List.copyOf(trees);
    }

    /// Where a tree is for the thread that has entered.
    static Path place(int index) {
        return PLACE.resolve(Integer.toString(index));
    }

    @Override
    public boolean ownsThread() {
        return false;
    }

    @Override
    public void enter() throws SandboxException {
        try {
            Native.unshareMounts();
            var mounts = new ArrayList<Integer>();
            var directories = new ArrayList<Boolean>();
            // What does not exist leaves its place empty; bubblewrap then knows whether that matters.
            for (var tree : trees) {
                directories.add(Files.isDirectory(tree.source()));
                if (!Files.exists(tree.source())) {
                    mounts.add(MISSING);
                    continue;
                }
                int mount = Native.cloneMount(tree.source());
                mounts.add(mount);
                switch (tree.owners()) {
                    case Owners.Unchanged() -> {
                    }
                    case Owners.Mapped(int userNamespace) -> Native.mapOwners(mount, userNamespace);
                }
            }
            Native.mountTmpfs(PLACE, "mode=0755,size=64k");
            for (int i = 0; i < mounts.size(); i++) {
                if (mounts.get(i) == MISSING) {
                    continue;
                }
                if (directories.get(i)) {
                    Files.createDirectory(place(i));
                } else {
                    Files.createFile(place(i));
                }
                Native.attachMount(mounts.get(i), place(i));
                Native.close(mounts.get(i));
            }
        } catch (RefusedException | IOException e) {
            throw new SandboxException("the workspace cannot be handed to the worker's user: " + e.getMessage(), e);
        }
    }
}
