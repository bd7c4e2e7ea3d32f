package dev.capsule.sandbox;

import dev.capsule.log.Logs;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Optional;
import java.util.TreeMap;

/// That the best sandbox has been seen to hold, kept in a file for the kernels that start later and would else each have to
/// try it. It counts only while all is as it was that it may depend on, as far as that can be seen in a millisecond; after
/// the next boot of the system never. Where a sandbox cannot be made any more in spite of it, the worker is not started.
public final class ProbeRecord {
    private static final Logger LOG = Logs.of(ProbeRecord.class);

    private static final Path BOOT = Path.of("/proc/sys/kernel/random/boot_id");
    private static final Path STATUS = Path.of("/proc/self/status");

    /// Of a process' status: what it may do, and which filters of system calls it is under.
    private static final List<String> RIGHTS = List.of("Uid:", "Gid:", "CapEff:", "CapBnd:", "NoNewPrivs:", "Seccomp:",
            "Seccomp_filters:");
    /// What tells one container from another.
    private static final List<String> NAMESPACES = List.of("user", "mnt", "pid", "net", "cgroup");
    /// Where there are such.
    private static final List<Path> SETTINGS = List.of(Path.of("/proc/self/attr/current"),
            Path.of("/proc/sys/user/max_user_namespaces"), Path.of("/proc/sys/kernel/unprivileged_userns_clone"),
            Path.of("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"));

    /// What distinguishes the sandboxes of one kind.
    ///
    /// @param bindsDescriptors as [Bubblewrap.Tools] has it
    /// @param mapsOwners whether the workspace's owner is mapped ([Staging.Owners.Mapped])
    record Found(boolean bindsDescriptors, boolean mapsOwners) {}

    private final Path file;
    private final String circumstances;

    ProbeRecord(Path file, String circumstances) {
        this.file = file;
        this.circumstances = circumstances;
    }

    /// @param file where no worker can write
    /// @param program tells this version of Capsule, and this build of it, from others
    /// @throws IOException if the system does not say how things are
    public static ProbeRecord of(Path file, String program, Workspace workspace) throws IOException {
        var circumstances = new StringBuilder(program).append('\n').append(Files.readString(BOOT));
        for (String line : Files.readAllLines(STATUS)) {
            if (RIGHTS.stream().anyMatch(line::startsWith)) {
                circumstances.append(line).append('\n');
            }
        }
        for (String namespace : NAMESPACES) {
            circumstances.append(Files.readSymbolicLink(Path.of("/proc/self/ns", namespace))).append('\n');
        }
        for (Path setting : SETTINGS) {
            circumstances.append(setting).append(' ').append(read(setting)).append('\n');
        }
        for (String name : Bubblewrap.Tools.NAMES) {
            var tool = HostFiles.program(name);
            circumstances.append(name).append(' ').append(tool.isPresent() ? identity(tool.get()) : "").append('\n');
        }
        switch (workspace) {
            // File systems differ in what can be mounted of them, and how.
            case Workspace.Directory(_, Path source, _) -> circumstances
                    .append(new TreeMap<>(Files.readAttributes(source, "unix:dev,uid,gid"))).append('\n');
            case Workspace.Scratch _ -> circumstances.append("no workspace\n");
        }
        return new ProbeRecord(file, circumstances.toString());
    }

    private static String read(Path setting) {
        try {
            return Files.readString(setting).strip();
        } catch (IOException e) {
            // There is no such, or it is not for us.
            return "";
        }
    }

    private static String identity(Path tool) throws IOException {
        Path program = tool.toRealPath();
        return program + " " + new TreeMap<>(Files.readAttributes(program, "unix:dev,ino,size,mode,uid,ctime"));
    }

    /// @return what was found for sandboxes of this kind; empty when it has to be found out
    Optional<Found> read(Tier tier) {
        try {
            if (!Files.getAttribute(file, "unix:uid", LinkOption.NOFOLLOW_LINKS)
                    .equals(Files.getAttribute(STATUS, "unix:uid"))) {
                return Optional.empty();
            }
            String written = Files.readString(file);
            for (boolean bindsDescriptors : List.of(true, false)) {
                for (boolean mapsOwners : List.of(true, false)) {
                    var found = new Found(bindsDescriptors, mapsOwners);
                    if (written.equals(text(tier, found))) {
                        return Optional.of(found);
                    }
                }
            }
            return Optional.empty();
        } catch (NoSuchFileException e) {
            return Optional.empty();
        } catch (IOException e) {
            LOG.log(Level.DEBUG, () -> "what is known of sandboxes cannot be read: " + e);
            return Optional.empty();
        }
    }

    /// Keeps what a probe of all kinds that may be used has found, in place of what was known before; if that fails, the
    /// next kernel has to find out again. Of what is not the best nothing is kept: a person may be about to change that.
    public void keep(Probe.Result result) {
        if (result instanceof Probe.Result.Available(Sandbox.Namespaces sandbox, var refused) && refused.isEmpty()) {
            write(text(sandbox.tier(), new Found(sandbox.tools().bindsDescriptors(), sandbox.mapsOwners())));
        }
    }

    private void write(String text) {
        Path draft = file.resolveSibling(file.getFileName() + ".draft-" + ProcessHandle.current().pid());
        try {
            Files.createDirectories(file.resolveSibling(""),
                    PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
            Files.writeString(draft, text);
            Files.move(draft, file, StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException e) {
            LOG.log(Level.DEBUG, () -> "what is known of sandboxes cannot be written: " + e);
        }
    }

    /// Has the next kernel find out again.
    public void discard() {
        try {
            Files.deleteIfExists(file);
        } catch (IOException e) {
            LOG.log(Level.WARNING, () -> "remove " + file + ", what it says of sandboxes is doubtful: " + e);
        }
    }

    private String text(Tier tier, Found found) {
        return "%s%s holds; binds descriptors: %b; maps owners: %b\n".formatted(circumstances, tier,
                found.bindsDescriptors(), found.mapsOwners());
    }
}
