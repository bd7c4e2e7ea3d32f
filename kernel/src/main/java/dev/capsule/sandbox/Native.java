package dev.capsule.sandbox;

import java.lang.foreign.AddressLayout;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.VarHandle;
import java.nio.file.Path;
import java.util.Map;

/// The calls of Linux that a thread fences itself in with, or makes mounts with. Each acts on the calling thread.
final class Native {
    static final int EPERM = 1;
    static final int ENOENT = 2;
    static final int EINVAL = 22;
    static final int ENOSYS = 38;
    static final int EOPNOTSUPP = 95;

    // The same numbers on every architecture.
    private static final long SYS_OPEN_TREE = 428;
    private static final long SYS_MOVE_MOUNT = 429;
    private static final long SYS_MOUNT_SETATTR = 442;
    private static final long SYS_LANDLOCK_CREATE_RULESET = 444;
    private static final long SYS_LANDLOCK_ADD_RULE = 445;
    private static final long SYS_LANDLOCK_RESTRICT_SELF = 446;

    private static final int AT_FDCWD = -100;
    private static final int AT_EMPTY_PATH = 0x1000;
    private static final int AT_RECURSIVE = 0x8000;
    private static final int OPEN_TREE_CLONE = 1;
    private static final int OPEN_TREE_CLOEXEC = 0x80000;
    private static final int MOVE_MOUNT_F_EMPTY_PATH = 4;
    private static final int MOUNT_ATTR_IDMAP = 0x00100000;
    private static final int CLONE_NEWNS = 0x20000;
    private static final int MS_NOSUID = 2;
    private static final int MS_NODEV = 4;
    private static final int MS_REC = 0x4000;
    private static final int MS_SLAVE = 0x80000;
    private static final int O_RDONLY = 0;
    private static final int O_PATH = 0x200000;
    private static final int O_NOFOLLOW = Seccomp.Arch.ofThisMachine() == Seccomp.Arch.AARCH64 ? 0x8000 : 0x20000;
    private static final int O_CLOEXEC = 0x80000;
    private static final int PR_SET_NO_NEW_PRIVS = 38;
    private static final int SECCOMP_SET_MODE_FILTER = 1;
    private static final int LANDLOCK_CREATE_RULESET_VERSION = 1;
    private static final int LANDLOCK_RULE_PATH_BENEATH = 1;

    private static final Linker LINKER = Linker.nativeLinker();
    private static final Linker.Option ERRNO = Linker.Option.captureCallState("errno");
    private static final MemoryLayout CALL_STATE = Linker.Option.captureStateLayout();
    private static final VarHandle ERRNO_VALUE = CALL_STATE
            .varHandle(MemoryLayout.PathElement.groupElement("errno"));

    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT;
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG;
    private static final AddressLayout POINTER = ValueLayout.ADDRESS;

    /// The one way down, with room for the number and six arguments: each further kind of call would cost the start of the
    /// kernel milliseconds.
    private static final MethodHandle SYSCALL = syscall();

    /// A call was refused by the system.
    static final class RefusedException extends Exception {
        private static final long serialVersionUID = 1L;
        private static final Map<Integer, String> NAMES = Map.of(EPERM, "EPERM", ENOENT, "ENOENT", 13, "EACCES", 16,
                "EBUSY", 20, "ENOTDIR", EINVAL, "EINVAL", 28, "ENOSPC", ENOSYS, "ENOSYS", EOPNOTSUPP, "EOPNOTSUPP");

        private final int errno;

        RefusedException(String what, int errno) {
            super(what + " failed with " + NAMES.getOrDefault(errno, "errno " + errno));
            this.errno = errno;
        }

        int errno() {
            return errno;
        }
    }

    private Native() {}

    // The C library is trusted with what we give it.
    @SuppressWarnings("restricted")
    private static MethodHandle syscall() {
        return LINKER.downcallHandle(LINKER.defaultLookup().findOrThrow("syscall"),
                FunctionDescriptor.of(LONG, LONG, LONG, LONG, LONG, LONG, LONG, LONG), ERRNO);
    }

    private static long call(String what, Syscall call, long a, long b, long c, long d, long e)
            throws RefusedException {
        return call(what, call.number(Seccomp.Arch.ofThisMachine()), a, b, c, d, e);
    }

    private static long call(String what, long number, long a, long b, long c, long d, long e)
            throws RefusedException {
        try (var arena = Arena.ofConfined()) {
            var errno = arena.allocate(CALL_STATE);
            long result = (long) SYSCALL.invokeExact(errno, number, a, b, c, d, e, 0L);
            if (result < 0) {
                throw new RefusedException(what, (int) ERRNO_VALUE.get(errno, 0L));
            }
            return result;
        } catch (RefusedException | RuntimeException | Error thrown) {
            throw thrown;
        } catch (Throwable thrown) {
            throw new IllegalStateException(thrown);
        }
    }

    /// @return a descriptor that stands for the file or directory, whatever may be done with it; links are followed
    static int openPath(Path path) throws RefusedException {
        return open(path, O_PATH);
    }

    /// The same of a link itself, if it is one.
    static int openPlace(Path path) throws RefusedException {
        return open(path, O_PATH | O_NOFOLLOW);
    }

    static int openToRead(Path path) throws RefusedException {
        return open(path, O_RDONLY);
    }

    private static int open(Path path, int flags) throws RefusedException {
        try (var arena = Arena.ofConfined()) {
            return (int) call("opening " + path, Syscall.OPENAT, AT_FDCWD,
                    arena.allocateFrom(path.toString()).address(), flags | O_CLOEXEC, 0, 0);
        }
    }

    static void close(int descriptor) {
        try {
            call("close", Syscall.CLOSE, descriptor, 0, 0, 0, 0);
        } catch (RefusedException e) {
            // Whatever it answers, the descriptor is gone.
        }
    }

    /// From now on this thread and what it starts get no more rights by running a program.
    static void noNewPrivileges() throws RefusedException {
        call("prctl(PR_SET_NO_NEW_PRIVS)", Syscall.PRCTL, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    }

    static void filter(byte[] program) throws RefusedException {
        try (var arena = Arena.ofConfined()) {
            var code = arena.allocate(program.length, Long.BYTES);
            MemorySegment.copy(program, 0, code, ValueLayout.JAVA_BYTE, 0, program.length);
            // struct sock_fprog
            var fprog = arena.allocate(16, Long.BYTES);
            fprog.set(ValueLayout.JAVA_SHORT, 0, (short) (program.length / Bpf.INSTRUCTION_BYTES));
            fprog.set(POINTER, 8, code);
            call("seccomp(SECCOMP_SET_MODE_FILTER)", Syscall.SECCOMP, SECCOMP_SET_MODE_FILTER, 0, fprog.address(), 0,
                    0);
        }
    }

    /// @return the version of Landlock's interface
    static int landlockVersion() throws RefusedException {
        return (int) call("landlock_create_ruleset", SYS_LANDLOCK_CREATE_RULESET, 0, 0,
                LANDLOCK_CREATE_RULESET_VERSION, 0, 0);
    }

    /// @return a descriptor of an empty set of rules: all that is handled is denied
    static int landlockRuleset(long handledFiles, long handledNetwork, long scoped) throws RefusedException {
        try (var arena = Arena.ofConfined()) {
            // struct landlock_ruleset_attr
            var attributes = arena.allocate(LONG, 3);
            attributes.setAtIndex(LONG, 0, handledFiles);
            attributes.setAtIndex(LONG, 1, handledNetwork);
            attributes.setAtIndex(LONG, 2, scoped);
            return (int) call("landlock_create_ruleset", SYS_LANDLOCK_CREATE_RULESET, attributes.address(),
                    attributes.byteSize(), 0, 0, 0);
        }
    }

    /// Allows some of what is handled on a file, or on a directory and all beneath it.
    static void landlockAllow(int ruleset, int file, long rights) throws RefusedException {
        try (var arena = Arena.ofConfined()) {
            // struct landlock_path_beneath_attr, which is packed
            var attributes = arena.allocate(12, Long.BYTES);
            attributes.set(LONG, 0, rights);
            attributes.set(INT, 8, file);
            call("landlock_add_rule", SYS_LANDLOCK_ADD_RULE, ruleset, LANDLOCK_RULE_PATH_BENEATH,
                    attributes.address(), 0, 0);
        }
    }

    static void landlockRestrictSelf(int ruleset) throws RefusedException {
        call("landlock_restrict_self", SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0, 0, 0, 0);
    }

    /// Gives this thread, and what it starts, mounts of their own; what is mounted elsewhere later still appears.
    static void unshareMounts() throws RefusedException {
        call("unshare(CLONE_NEWNS)", Syscall.UNSHARE, CLONE_NEWNS, 0, 0, 0, 0);
        mount("none", Path.of("/"), "none", MS_REC | MS_SLAVE, "");
    }

    static void mountTmpfs(Path on, String options) throws RefusedException {
        mount("tmpfs", on, "tmpfs", MS_NOSUID | MS_NODEV, options);
    }

    private static void mount(String source, Path on, String type, long flags, String options) throws RefusedException {
        try (var arena = Arena.ofConfined()) {
            call("mounting " + type + " on " + on, Syscall.MOUNT, arena.allocateFrom(source).address(),
                    arena.allocateFrom(on.toString()).address(), arena.allocateFrom(type).address(), flags,
                    arena.allocateFrom(options).address());
        }
    }

    /// @return a descriptor of a mount of its own of what is at the path, with the mounts on it, which is attached nowhere yet
    static int cloneMount(Path path) throws RefusedException {
        try (var arena = Arena.ofConfined()) {
            return (int) call("open_tree of " + path, SYS_OPEN_TREE, AT_FDCWD,
                    arena.allocateFrom(path.toString()).address(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE,
                    0, 0);
        }
    }

    /// Shows the files of a mount with other owners, as a user namespace maps them.
    static void mapOwners(int mount, int userNamespace) throws RefusedException {
        try (var arena = Arena.ofConfined()) {
            // struct mount_attr
            var attributes = arena.allocate(LONG, 4);
            attributes.setAtIndex(LONG, 0, MOUNT_ATTR_IDMAP);
            attributes.setAtIndex(LONG, 3, userNamespace);
            call("mount_setattr(MOUNT_ATTR_IDMAP)", SYS_MOUNT_SETATTR, mount, arena.allocateFrom("").address(),
                    AT_EMPTY_PATH | AT_RECURSIVE, attributes.address(), attributes.byteSize());
        }
    }

    static void attachMount(int mount, Path on) throws RefusedException {
        try (var arena = Arena.ofConfined()) {
            call("move_mount on " + on, SYS_MOVE_MOUNT, mount, arena.allocateFrom("").address(), AT_FDCWD,
                    arena.allocateFrom(on.toString()).address(), MOVE_MOUNT_F_EMPTY_PATH);
        }
    }
}
