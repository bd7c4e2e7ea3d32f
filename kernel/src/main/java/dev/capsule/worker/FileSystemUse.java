package dev.capsule.worker;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.invoke.MethodHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;

/// How full a file system is. (Java's `FileStore` looks for it among the mounts of this process, where those of a sandbox
/// are not.)
///
/// @param files how many there are, of every kind
record FileSystemUse(long bytes, long files) {
    private static final MethodHandle STATVFS = Posix.call("statvfs");

    // struct statvfs, the same on all 64-bit systems.
    private static final long STRUCT_BYTES = 256;
    private static final int FRAGMENT_SIZE = 8;
    private static final int BLOCKS = 16;
    private static final int FREE_BLOCKS = 24;
    private static final int FILES = 40;
    private static final int FREE_FILES = 48;

    /// @throws IOException if there is nothing at the path, or it cannot be reached
    static FileSystemUse of(Path path) throws IOException {
        try (var arena = Arena.ofConfined()) {
            var struct = arena.allocate(STRUCT_BYTES, Long.BYTES);
            long result = (long) STATVFS.invokeExact(arena.allocate(Posix.CALL_STATE),
                    arena.allocateFrom(path.toString()).address(), struct.address(), 0L, 0L, 0L, 0L, 0L);
            if ((int) result != 0) {
                throw new IOException("statvfs of " + path + " failed");
            }
            return read(struct.asByteBuffer().order(ByteOrder.nativeOrder()));
        } catch (Throwable e) {
            throw Posix.rethrow(e);
        }
    }

    // Of a buffer: compiling five accesses to a segment takes the JVM 8 MB, which it then keeps.
    private static FileSystemUse read(ByteBuffer struct) {
        return new FileSystemUse(
                (struct.getLong(BLOCKS) - struct.getLong(FREE_BLOCKS)) * struct.getLong(FRAGMENT_SIZE),
                struct.getLong(FILES) - struct.getLong(FREE_FILES));
    }
}
