package dev.capsule.sandbox;

import dev.capsule.sandbox.Native.RefusedException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.List;

/// The fence where there are no namespaces: Landlock for files, TCP, signals and abstract Unix sockets, and the filter of
/// system calls for what Landlock leaves open. Everything that is not listed is denied (Linux,
/// `Documentation/userspace-api/landlock.rst`).
///
/// A thread that has entered is in the same domain as the worker, which may therefore signal it, and with it this whole
/// process, and so may every thread that it starts. So it must do nothing but start the worker, and end.
///
/// @param readable files and directories that may be read, listed and run
/// @param writable directories in which everything may be done
/// @param devices files that may be read and written
/// @param shared directories in which files can be made, read and written by who knows their name, but not be listed
/// @param listable directories whose names can be seen, and no more
/// @param filter the program of [Seccomp] that belongs to it
public record Landlock(List<Path> readable, List<Path> writable, List<Path> devices, List<Path> shared,
        List<Path> listable, byte[] filter, Tcp tcp) implements Confinement {

    /// Whether TCP is left to the system call filter.
    public enum Tcp {
        DENIED, UNHANDLED
    }

    /// The first version that fences signals and abstract Unix sockets, of Linux 6.12. With an older one, a worker could
    /// kill every process of its user.
    static final int OLDEST_VERSION = 6;

    // LANDLOCK_ACCESS_FS_…
    private static final long EXECUTE = 1;
    private static final long WRITE_FILE = 1 << 1;
    private static final long READ_FILE = 1 << 2;
    private static final long READ_DIR = 1 << 3;
    private static final long REMOVE_FILE = 1 << 5;
    private static final long MAKE_REG = 1 << 8;
    private static final long TRUNCATE = 1 << 14;
    /// All sixteen of version 6. Not handled are those of later versions, which cover sockets that cannot be made.
    private static final long EVERYTHING = (1 << 16) - 1;

    private static final long OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | 1 << 15;
    private static final long READ = EXECUTE | READ_FILE | READ_DIR;
    /// Not the making of devices and sockets: `MAKE_CHAR`, `MAKE_SOCK`, `MAKE_BLOCK`. `IOCTL_DEV` neither.
    private static final long WRITE = EVERYTHING & ~(1 << 6 | 1 << 9 | 1 << 11 | 1 << 15);
    private static final long DEVICE = READ_FILE | WRITE_FILE | TRUNCATE;
    private static final long SHARE = READ_FILE | WRITE_FILE | MAKE_REG | REMOVE_FILE | TRUNCATE;

    /// `BIND_TCP | CONNECT_TCP`
    private static final long ALL_TCP = 3;
    /// `ABSTRACT_UNIX_SOCKET | SIGNAL`
    private static final long ALL_SCOPES = 3;

    public Landlock {
        readable = List.copyOf(readable);
        writable = List.copyOf(writable);
        devices = List.copyOf(devices);
        shared = List.copyOf(shared);
        listable = List.copyOf(listable);
    }

    /// @throws SandboxException naming what this system lacks, unless its Landlock is recent enough
    static void require() throws SandboxException {
        int version;
        try {
            version = Native.landlockVersion();
        } catch (RefusedException e) {
            throw new SandboxException(switch (e.errno()) {
                case Native.ENOSYS -> "this kernel has no Landlock, or it is kept from this process (ENOSYS)";
                case Native.EOPNOTSUPP -> "Landlock is built in but not switched on (EOPNOTSUPP)";
                default -> "Landlock is kept from this process: " + e.getMessage();
            }, e);
        }
        if (version < OLDEST_VERSION) {
            throw new SandboxException(
                    "Landlock has version %d here, and %d is needed (Linux 6.12): an older one does not fence signals"
                            .formatted(version, OLDEST_VERSION));
        }
    }

    @Override
    public boolean ownsThread() {
        return true;
    }

    @Override
    public void enter() throws SandboxException {
        require();
        try {
            int ruleset = Native.landlockRuleset(EVERYTHING, tcp == Tcp.DENIED ? ALL_TCP : 0, ALL_SCOPES);
            allow(ruleset, readable, READ);
            for (Path path : writable) {
                if (Files.exists(path, LinkOption.NOFOLLOW_LINKS)) {
                    // A link that has taken its place meanwhile is not followed.
                    allow(ruleset, path, Native.openPlace(path), WRITE);
                }
            }
            allow(ruleset, devices, DEVICE);
            allow(ruleset, shared, SHARE);
            allow(ruleset, listable, READ_DIR);
            Native.noNewPrivileges();
            Native.landlockRestrictSelf(ruleset);
            Native.close(ruleset);
            Native.filter(filter);
        } catch (RefusedException e) {
            throw new SandboxException("the worker cannot be fenced in: " + e.getMessage(), e);
        }
    }

    private static void allow(int ruleset, List<Path> paths, long rights) throws RefusedException {
        for (Path path : paths) {
            if (!Files.exists(path)) {
                // Allowing nothing is no risk: what is missing here is missing in the sandbox too.
                continue;
            }
            allow(ruleset, path, Native.openPath(path), rights);
        }
    }

    private static void allow(int ruleset, Path path, int file, long rights) throws RefusedException {
        try {
            Native.landlockAllow(ruleset, file, Files.isDirectory(path) ? rights : rights & OF_A_FILE);
        } finally {
            Native.close(file);
        }
    }
}
