package dev.capsule.sandbox;

import dev.capsule.policy.Profile;
import dev.capsule.policy.Profile.Network;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;

/// A kind of sandbox that has been seen to hold on this machine ([Probe]). Closed when no worker in it is left.
public sealed interface Sandbox extends AutoCloseable {
    Tier tier();

    Identity identity();

    /// How to start a worker in it; once.
    ///
    /// @throws IOException if what it needs on disk cannot be made
    Launch launch(Profile profile, Program program, Workspace workspace) throws IOException;

    @Override
    void close();

    /// What its workers lack or what is peculiar about them, in plain words; no lines when there is nothing.
    default List<String> notes(Profile profile, Program program, Workspace workspace) {
        var notes = new ArrayList<String>();
        if (tier() != Tier.L1) {
            notes.add(tier() + ": " + tier().describe());
        }
        boolean hasFiles = profile.files() == Profile.Files.WORKSPACE && workspace instanceof Workspace.Directory;
        switch (identity()) {
            case Identity.KernelsOwn() -> {
            }
            case Identity.Dedicated(int uid, var owners) -> notes.add("the kernel is root's; cells run as "
                    + (tier() == Tier.L3 ? "a user of their worker's own" : "user " + uid)
                    + (hasFiles ? ownership(owners) : ""));
        }
        switch (workspace) {
            case Workspace.Scratch(var why) -> notes.add("the workspace is empty and temporary: " + why);
            case Workspace.Directory ours -> {
                if (tier() == Tier.L3 && hasFiles) {
                    Fence.exception(ours, program).ifPresent(path -> notes
                            .add("nothing new can be made directly in %s, because %s is in it; make it in a directory there"
                                    .formatted(ours.path(), path)));
                }
            }
        }
        if (profile.network() == Network.HOST) {
            notes.add("cells have the network of this machine");
        }
        return notes;
    }

    private String ownership(Staging.Owners owners) {
        if (tier() == Tier.L3) {
            return ", to whom the files that they make belong";
        }
        return switch (owners) {
            case Staging.Owners.Mapped _ ->
                ", and what they make in the workspace belongs to its owner (ID-mapped mount)";
            case Staging.Owners.Unchanged() ->
                ", who can do in the workspace what every user can: it has no ID-mapped mounts";
        };
    }

    /// bubblewrap's ([Tier#L1], [Tier#L2]).
    record Namespaces(Tier tier, Seccomp.Arch arch, Bubblewrap.Tools tools, HostFiles host,
            Identity identity) implements Sandbox {
        @Override
        public Launch launch(Profile profile, Program program, Workspace workspace) {
            return Bubblewrap.launch(profile, tier, arch, tools, host, program, workspace, identity);
        }

        /// Whether the workspace's owner is mapped.
        boolean mapsOwners() {
            return identity instanceof Identity.Dedicated(_, Staging.Owners.Mapped _);
        }

        @Override
        public void close() {
            if (identity instanceof Identity.Dedicated(_, Staging.Owners.Mapped(int userNamespace))) {
                Native.close(userNamespace);
            }
        }
    }

    /// Landlock's ([Tier#L3]).
    ///
    /// @param temporary where the directories are made that workers have in place of a home and of a `/tmp` of their own
    record Fenced(Seccomp.Arch arch, Fence.Tools tools, HostFiles host, Identity identity,
            Path temporary) implements Sandbox {
        private static final Path SELF = Path.of("/proc/self");
        private static final SecureRandom RANDOM = new SecureRandom();
        private static final AtomicInteger TURN = new AtomicInteger();

        @Override
        public Tier tier() {
            return Tier.L3;
        }

        @Override
        public Launch launch(Profile profile, Program program, Workspace workspace) throws IOException {
            var user = switch (identity) {
                case Identity.KernelsOwn own -> own;
                case Identity.Dedicated(_, var owners) -> new Identity.Dedicated(unusedUid(), owners);
            };
            int others = switch (user) {
                case Identity.KernelsOwn() -> ResourceLimits.tasksOf((Integer) Files.getAttribute(SELF, "unix:uid"));
                case Identity.Dedicated _ -> 0;
            };
            var entries = workspace instanceof Workspace.Directory ours && Fence.exception(ours, program).isPresent()
                    ? entries(ours.source())
                    : List.<Path>of();
            return Fence.launch(profile, arch, tools, host, program, workspace, entries, user, scratch(), others);
        }

        /// With a worker ends all that its user has, and another may be there that is to take its place.
        private static int unusedUid() throws IOException {
            for (int tries = 0; tries < Identity.TURNS; tries++) {
                int uid = Probe.dedicatedUid(TURN.getAndIncrement());
                if (ResourceLimits.tasksOf(uid) == 0) {
                    return uid;
                }
            }
            throw new IOException(
                    "of %d users that could be the worker's, each has processes; end what is left of other "
                            .formatted(Identity.TURNS) + "kernels, or give the container more users");
        }

        private static List<Path> entries(Path directory) throws IOException {
            try (var entries = Files.list(directory)) {
                return entries.filter(entry -> !Files.isSymbolicLink(entry)).map(Path::getFileName).toList();
            }
        }

        private Path scratch() {
            return temporary.resolve("capsule-" + Long.toHexString(RANDOM.nextLong()));
        }

        @Override
        public void close() {}
    }
}
