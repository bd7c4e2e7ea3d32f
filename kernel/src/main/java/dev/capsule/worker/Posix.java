package dev.capsule.worker;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.StructLayout;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.VarHandle;
import java.lang.ref.Reference;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.Optional;

/// The POSIX calls that Java lacks: pipes that can be handed to a child and waited on together, and signals.
/// Descriptors are plain `int`s; whoever opened one closes it. Linux.
final class Posix {
    static final int SIGINT = 2;
    static final int SIGKILL = 9;
    static final int SIGCONT = 18;
    static final int SIGSTOP = 19;
    static final int SIGURG = 23;

    /// The largest pipe that an unprivileged process may ask for by default (`/proc/sys/fs/pipe-max-size`).
    static final int MAX_PIPE_BYTES = 1 << 20;

    static final short POLLIN = 1;
    static final short POLLOUT = 4;

    private static final int ESRCH = 3;
    private static final int EINTR = 4;
    private static final int EAGAIN = 11;
    private static final int EPIPE = 32;
    private static final int O_NONBLOCK = 0x800;
    private static final int O_CLOEXEC = 0x80000;
    private static final int O_WRONLY = 1;
    private static final int O_PATH = 0x200000;
    /// Not the same everywhere.
    private static final int O_NOFOLLOW = System.getProperty("os.arch").equals("aarch64") ? 0x8000 : 0x20000;
    private static final int F_DUPFD_CLOEXEC = 1030;
    private static final int F_SETFL = 4;
    private static final int F_SETPIPE_SZ = 1031;
    private static final int PR_SET_CHILD_SUBREAPER = 36;

    /// The same number on every architecture.
    private static final long SYS_PIDFD_OPEN = 434;

    private static final int MFD_CLOEXEC = 1;
    private static final int RLIMIT_MSGQUEUE = 12;
    private static final int P_PID = 1;
    private static final int WEXITED = 4;
    private static final int WNOHANG = 1;
    private static final int P_ALL = 0;
    private static final int SIGINFO_PID_OFFSET = 16;
    private static final int WNOWAIT = 0x01000000;
    /// The size of `siginfo_t`.
    private static final long SIGINFO_BYTES = 128;

    private static final int SIG_IGN = 1;

    private static final int PROT_READ = 1;
    private static final int PROT_WRITE = 2;
    private static final int MAP_PRIVATE = 2;
    private static final int MAP_ANONYMOUS = 0x20;
    private static final long MAP_FAILED = -1;

    private static final Linker LINKER = Linker.nativeLinker();
    private static final Linker.Option ERRNO = Linker.Option.captureCallState("errno");
    static final StructLayout CALL_STATE = Linker.Option.captureStateLayout();
    private static final VarHandle ERRNO_VALUE = CALL_STATE
            .varHandle(MemoryLayout.PathElement.groupElement("errno"));

    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT;
    private static final ValueLayout.OfLong SIZE = ValueLayout.JAVA_LONG;

    /// The one form of every function, with room for seven arguments, since each further one costs the start of the kernel
    /// milliseconds. On x86-64 and ARM, arguments that a function does not have do no harm, nor do whole registers for its
    /// smaller ones; and where their number varies they are passed alike.
    private static final FunctionDescriptor FORM = FunctionDescriptor.of(SIZE, SIZE, SIZE, SIZE, SIZE, SIZE, SIZE,
            SIZE);

    private static final MethodHandle PIPE2 = call("pipe2");
    private static final MethodHandle READ = call("read");
    private static final MethodHandle WRITE = call("write");
    private static final MethodHandle POLL = call("poll");
    private static final MethodHandle CLOSE = call("close");
    private static final MethodHandle KILL = call("kill");
    private static final MethodHandle WAITPID = call("waitpid");
    private static final MethodHandle WAITID = call("waitid");
    private static final MethodHandle OPEN = call("open");
    private static final MethodHandle MEMFD_CREATE = call("memfd_create");
    private static final MethodHandle FCHOWN = call("fchown");
    private static final MethodHandle LSEEK = call("lseek");
    private static final MethodHandle PRLIMIT = call("prlimit");
    private static final MethodHandle SYSCALL = call("syscall");
    private static final MethodHandle SIGNAL = call("signal");
    private static final MethodHandle FCNTL = call("fcntl");
    private static final MethodHandle PRCTL = call("prctl");
    private static final MethodHandle MMAP = call("mmap");
    private static final MethodHandle MUNMAP = call("munmap");

    /// Two ends of a pipe, both closed on exec.
    record Pipe(int readEnd, int writeEnd) {}

    /// The other side has closed its end of a pipe, or ended.
    static final class ClosedPipeException extends IOException {
        private static final long serialVersionUID = 1L;

        ClosedPipeException(String message) {
            super(message);
        }
    }

    private Posix() {}

    // The C library is trusted with what we give it.
    static MethodHandle call(String name) {
        return callIfThere(name).orElseThrow(
                () -> new IllegalStateException("the C library of this system has no " + name));
    }

    /// @return empty when the C library does not have it
    @SuppressWarnings("restricted")
    static Optional<MethodHandle> callIfThere(String name) {
        return LINKER.defaultLookup().find(name).map(function -> LINKER.downcallHandle(function, FORM, ERRNO));
    }

    private static int call(MethodHandle function, MemorySegment errno, long a, long b, long c, long d)
            throws Throwable {
        return (int) (long) function.invokeExact(errno, a, b, c, d, 0L, 0L, 0L);
    }

    private static long transfer(MethodHandle function, MemorySegment errno, int descriptor, MemorySegment bytes)
            throws Throwable {
        try {
            return (long) function.invokeExact(errno, (long) descriptor, bytes.address(), bytes.byteSize(), 0L, 0L, 0L,
                    0L);
        } finally {
            Reference.reachabilityFence(bytes);
        }
    }

    /// Opens a pipe that holds as much as the system lets it.
    static Pipe pipe() throws IOException {
        try (var arena = Arena.ofConfined()) {
            var errno = arena.allocate(CALL_STATE);
            var ends = arena.allocate(INT, 2);
            if (call(PIPE2, errno, ends.address(), O_CLOEXEC, 0, 0) != 0) {
                throw failure("pipe2", errno);
            }
            var pipe = new Pipe(ends.getAtIndex(INT, 0), ends.getAtIndex(INT, 1));
            // Refused when the user has many large pipes already; the pipe then keeps its 64 KiB and is only slower.
            int _ = call(FCNTL, errno, pipe.writeEnd(), F_SETPIPE_SZ, MAX_PIPE_BYTES, 0);
            return pipe;
        } catch (Throwable e) {
            throw rethrow(e);
        }
    }

    /// Reserves memory that is taken only as far as it is written to; an arena's is written to at once, with zeros. It is
    /// given back when nobody refers to it any more.
    @SuppressWarnings("restricted")
    static MemorySegment reserve(long bytes) throws IOException {
        try (var arena = Arena.ofConfined()) {
            var errno = arena.allocate(CALL_STATE);
            long address = (long) MMAP.invokeExact(errno, 0L, bytes, (long) (PROT_READ | PROT_WRITE),
                    (long) (MAP_PRIVATE | MAP_ANONYMOUS), -1L, 0L, 0L);
            if (address == MAP_FAILED) {
                throw failure("mmap", errno);
            }
            return MemorySegment.ofAddress(address).reinterpret(bytes, Arena.ofAuto(), Posix::giveBack);
        } catch (Throwable e) {
            throw rethrow(e);
        }
    }

    private static void giveBack(MemorySegment reserved) {
        try (var arena = Arena.ofConfined()) {
            // Fails only for what was never reserved.
            int _ = call(MUNMAP, arena.allocate(CALL_STATE), reserved.address(), reserved.byteSize(), 0, 0);
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    /// Makes reads from an empty and writes to a full pipe fail instead of waiting.
    static void setNonBlocking(int descriptor) throws IOException {
        try (var arena = Arena.ofConfined()) {
            var errno = arena.allocate(CALL_STATE);
            if (call(FCNTL, errno, descriptor, F_SETFL, O_NONBLOCK, 0) < 0) {
                throw failure("fcntl", errno);
            }
        } catch (Throwable e) {
            throw rethrow(e);
        }
    }

    /// Descriptors that one thread waits on together.
    static final class PollSet {
        private static final int STRUCT_BYTES = 8;
        private static final int EVENTS_OFFSET = 4;
        private static final int REVENTS_OFFSET = 6;

        private final MemorySegment errno = Arena.ofAuto().allocate(CALL_STATE);
        private final long address;
        // Compiling an access to a segment takes the JVM ten times as much memory as one to a buffer.
        private final ByteBuffer descriptors;
        private final int count;

        PollSet(int count) {
            this.count = count;
            var segment = Arena.ofAuto().allocate((long) STRUCT_BYTES * count, Integer.BYTES);
            address = segment.address();
            descriptors = segment.asByteBuffer().order(ByteOrder.nativeOrder());
        }

        /// @param descriptor negative to leave this place out
        void set(int index, int descriptor, short events) {
            descriptors.putInt(index * STRUCT_BYTES, descriptor);
            descriptors.putShort(index * STRUCT_BYTES + EVENTS_OFFSET, events);
        }

        /// @param timeoutMillis negative to wait for as long as it takes
        /// @return whether any descriptor is ready
        boolean await(int timeoutMillis) throws IOException {
            try {
                while (true) {
                    int ready = call(POLL, errno, address, count, timeoutMillis, 0);
                    if (ready >= 0) {
                        return ready > 0;
                    }
                    if ((int) ERRNO_VALUE.get(errno, 0L) != EINTR) {
                        throw failure("poll", errno);
                    }
                }
            } catch (Throwable e) {
                throw rethrow(e);
            } finally {
                Reference.reachabilityFence(this);
            }
        }

        /// Whether the descriptor can be read (or written, if that was asked) or its other side is gone.
        boolean ready(int index) {
            return descriptors.getShort(index * STRUCT_BYTES + REVENTS_OFFSET) != 0;
        }
    }

    /// Reads what is there, waiting for the first byte unless the descriptor does not block.
    ///
    /// @return the number of bytes; 0 when every writer has closed its end; -1 when nothing is there
    static int read(int descriptor, MemorySegment target) throws IOException {
        try (var arena = Arena.ofConfined()) {
            var errno = arena.allocate(CALL_STATE);
            while (true) {
                long count = transfer(READ, errno, descriptor, target);
                if (count >= 0) {
                    return (int) count;
                }
                switch ((int) ERRNO_VALUE.get(errno, 0L)) {
                    case EINTR -> {
                    }
                    case EAGAIN -> {
                        return -1;
                    }
                    default -> throw failure("read", errno);
                }
            }
        } catch (Throwable e) {
            throw rethrow(e);
        }
    }

    /// Writes some of `source`, waiting until at least a byte is taken unless the descriptor does not block.
    ///
    /// @return the number of bytes taken; 0 when the pipe is full and the descriptor does not block
    /// @throws ClosedPipeException if no reader is left
    static long write(int descriptor, MemorySegment source) throws IOException {
        try (var arena = Arena.ofConfined()) {
            var errno = arena.allocate(CALL_STATE);
            while (true) {
                long count = transfer(WRITE, errno, descriptor, source);
                if (count >= 0) {
                    return count;
                }
                switch ((int) ERRNO_VALUE.get(errno, 0L)) {
                    case EINTR -> {
                    }
                    case EAGAIN -> {
                        return 0;
                    }
                    case EPIPE -> throw new ClosedPipeException("the reader has closed its end");
                    default -> throw failure("write", errno);
                }
            }
        } catch (Throwable e) {
            throw rethrow(e);
        }
    }

    static void close(int descriptor) {
        try (var arena = Arena.ofConfined()) {
            // Whatever it answers, the descriptor is gone.
            int _ = call(CLOSE, arena.allocate(CALL_STATE), descriptor, 0, 0, 0);
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    /// @param pid a process, or the negative of a process group
    /// @return false when there is none, or it is not ours
    static boolean kill(long pid, int signal) {
        try (var arena = Arena.ofConfined()) {
            return call(KILL, arena.allocate(CALL_STATE), pid, signal, 0, 0) == 0;
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    /// @return a descriptor that becomes readable when the process ends (`pidfd_open`); negative when there is none
    /// @throws IOException if this system cannot tell
    static int openProcess(long pid) throws IOException {
        try (var arena = Arena.ofConfined()) {
            var errno = arena.allocate(CALL_STATE);
            int descriptor = call(SYSCALL, errno, SYS_PIDFD_OPEN, pid, 0, 0);
            if (descriptor < 0 && (int) ERRNO_VALUE.get(errno, 0L) != ESRCH) {
                throw failure("pidfd_open", errno);
            }
            return descriptor;
        } catch (Throwable e) {
            throw rethrow(e);
        }
    }

    /// Makes this process deaf to SIGINT: a Ctrl-C in a terminal goes to the whole process group, and what it is to
    /// interrupt is a cell. Processes that are started later are deaf to it too, until they say otherwise.
    static void ignoreInterrupts() {
        try (var arena = Arena.ofConfined()) {
            int _ = call(SIGNAL, arena.allocate(CALL_STATE), SIGINT, SIG_IGN, 0, 0);
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    /// Has the calling thread, and no other, make files as another user and in the group of the same number, with that
    /// user's rights. Only for root.
    static void makeFilesAs(int user) {
        try (var arena = Arena.ofConfined()) {
            var errno = arena.allocate(CALL_STATE);
            // Both answer what was before, whether it is changed or not.
            int _ = call(call("setfsgid"), errno, user, 0, 0, 0);
            int _ = call(call("setfsuid"), errno, user, 0, 0, 0);
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    /// Makes orphans of this process' descendants its children, so that they can be found and ended.
    static void adoptOrphans() {
        try (var arena = Arena.ofConfined()) {
            // Fails on kernels before 3.4 only; orphans then go to init.
            int _ = call(PRCTL, arena.allocate(CALL_STATE), PR_SET_CHILD_SUBREAPER, 1, 0, 0);
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    /// Waits for the end of a child, whose exit status is still to be taken then.
    static void awaitEnd(long pid) throws IOException {
        try (var arena = Arena.ofConfined()) {
            var errno = arena.allocate(CALL_STATE);
            var info = arena.allocate(SIGINFO_BYTES, Long.BYTES);
            while (call(WAITID, errno, P_PID, pid, info.address(), WEXITED | WNOWAIT) != 0) {
                if ((int) ERRNO_VALUE.get(errno, 0L) != EINTR) {
                    throw failure("waitid", errno);
                }
            }
        } catch (Throwable e) {
            throw rethrow(e);
        }
    }

    /// @return a child that has ended and whose exit status is still to be taken; 0 when there is none
    static long endedChild() {
        try (var arena = Arena.ofConfined()) {
            var errno = arena.allocate(CALL_STATE);
            var info = arena.allocate(SIGINFO_BYTES, Long.BYTES);
            return call(WAITID, errno, P_ALL, 0, info.address(), WEXITED | WNOHANG | WNOWAIT) == 0
                    ? info.get(INT, SIGINFO_PID_OFFSET)
                    : 0;
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    /// Takes the exit status of a child that Java did not start, when it has ended, so that it does not stay as a zombie.
    ///
    /// @return the status as [Process#exitValue] has it
    static int reap(long pid) {
        try (var arena = Arena.ofConfined()) {
            var errno = arena.allocate(CALL_STATE);
            var status = arena.allocate(INT);
            while (call(WAITPID, errno, pid, status.address(), 0, 0) < 0
                    && (int) ERRNO_VALUE.get(errno, 0L) == EINTR) {
            }
            int word = status.get(INT, 0);
            int signal = word & 0x7f;
            return signal == 0 ? word >> 8 & 0xff : 128 + signal;
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    /// @return another descriptor of the same, at `lowest` or above, closed on exec
    static int duplicate(int descriptor, int lowest) throws IOException {
        try (var arena = Arena.ofConfined()) {
            var errno = arena.allocate(CALL_STATE);
            int copy = call(FCNTL, errno, descriptor, F_DUPFD_CLOEXEC, lowest, 0);
            if (copy < 0) {
                throw failure("fcntl", errno);
            }
            return copy;
        } catch (Throwable e) {
            throw rethrow(e);
        }
    }

    /// @return a descriptor of a file of its own that holds the bytes and is at its beginning
    static int memoryFile(byte[] bytes) throws IOException {
        try (var arena = Arena.ofConfined()) {
            var errno = arena.allocate(CALL_STATE);
            int file = call(MEMFD_CREATE, errno, arena.allocateFrom("capsule").address(), MFD_CLOEXEC, 0, 0);
            if (file < 0) {
                throw failure("memfd_create", errno);
            }
            var content = arena.allocate(Math.max(1, bytes.length));
            MemorySegment.copy(bytes, 0, content, ValueLayout.JAVA_BYTE, 0, bytes.length);
            for (long at = 0; at < bytes.length;) {
                at += write(file, content.asSlice(at, bytes.length - at));
            }
            if (call(LSEEK, errno, file, 0, 0, 0) != 0) {
                throw failure("lseek", errno);
            }
            return file;
        } catch (Throwable e) {
            throw rethrow(e);
        }
    }

    /// @return a descriptor of what is at the path, which allows neither reading nor writing; of a link, the link's
    static int openPlace(Path path) throws IOException {
        return open(path, O_PATH | O_NOFOLLOW);
    }

    static int openToRead(Path path) throws IOException {
        return open(path, 0);
    }

    static int openToWrite(Path path) throws IOException {
        return open(path, O_WRONLY);
    }

    private static int open(Path path, int flags) throws IOException {
        try (var arena = Arena.ofConfined()) {
            var errno = arena.allocate(CALL_STATE);
            int descriptor = call(OPEN, errno, arena.allocateFrom(path.toString()).address(), flags | O_CLOEXEC, 0, 0);
            if (descriptor < 0) {
                throw failure("opening " + path, errno);
            }
            return descriptor;
        } catch (Throwable e) {
            throw rethrow(e);
        }
    }

    /// Sets how much a process of the same user may have in message queues, for good.
    static void limitMessageQueues(long pid, long bytes) throws IOException {
        try (var arena = Arena.ofConfined()) {
            var errno = arena.allocate(CALL_STATE);
            // struct rlimit
            var limits = arena.allocateFrom(SIZE, bytes, bytes);
            if (call(PRLIMIT, errno, pid, RLIMIT_MSGQUEUE, limits.address(), 0) != 0) {
                throw failure("prlimit", errno);
            }
        } catch (Throwable e) {
            throw rethrow(e);
        }
    }

    /// Gives a pipe to another user, who may then open it again, as `/dev/stdout` for one.
    static void giveTo(int user, int descriptor) throws IOException {
        try (var arena = Arena.ofConfined()) {
            var errno = arena.allocate(CALL_STATE);
            if (call(FCHOWN, errno, descriptor, user, user, 0) != 0) {
                throw failure("fchown", errno);
            }
        } catch (Throwable e) {
            throw rethrow(e);
        }
    }

    private static IOException failure(String call, MemorySegment errno) {
        return new IOException(call + " failed with errno " + (int) ERRNO_VALUE.get(errno, 0L));
    }

    static IOException rethrow(Throwable e) {
        return switch (e) {
            case IOException io -> io;
            case RuntimeException runtime -> throw runtime;
            case Error error -> throw error;
            default -> new IOException(e);
        };
    }
}
