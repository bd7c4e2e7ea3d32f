package dev.capsule.worker;

import dev.capsule.frame.Frame;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.Map;
import java.util.function.BiConsumer;

/// Collects what a worker writes to descriptors 1 and 2 and hands it on in pieces of whole UTF-8 characters. Used by one
/// thread.
final class RawOutput {
    /// A pipe is read in one go.
    private static final int READ_BYTES = Posix.MAX_PIPE_BYTES;

    // Negative when no writer is left.
    private int stdout;
    private int stderr;
    private final Map<Frame.Stream, byte[]> tails = new EnumMap<>(Frame.Stream.class);
    private final BiConsumer<Frame.Stream, byte[]> sink;
    private final MemorySegment target;

    // Bytes of one stream that were read and not handed on.
    private Frame.Stream stream = Frame.Stream.STDOUT;
    private byte[] pending = new byte[8 << 10];
    private int length;

    /// @param stdout does not block; nor does `stderr`
    /// @param sink gets text of at least one byte
    /// @throws IOException if there is no memory
    RawOutput(int stdout, int stderr, BiConsumer<Frame.Stream, byte[]> sink) throws IOException {
        this.stdout = stdout;
        this.stderr = stderr;
        this.sink = sink;
        target = Posix.reserve(READ_BYTES);
    }

    int pendingBytes() {
        return length;
    }

    /// The descriptor to wait for; negative when the stream has no writer left, so that there is nothing to wait for.
    int descriptor(Frame.Stream from) {
        return from == Frame.Stream.STDOUT ? stdout : stderr;
    }

    /// Reads what is there of both streams.
    ///
    /// @return the number of bytes
    int read() throws IOException {
        return read(Frame.Stream.STDOUT, stdout) + read(Frame.Stream.STDERR, stderr);
    }

    private int read(Frame.Stream from, int descriptor) throws IOException {
        if (descriptor < 0) {
            return 0;
        }
        int count = Posix.read(descriptor, target);
        if (count > 0) {
            append(from, count);
        } else if (count == 0 && from == Frame.Stream.STDOUT) {
            stdout = -1;
        } else if (count == 0) {
            stderr = -1;
        }
        return Math.max(0, count);
    }

    /// Reads all that both streams hold now: until they are empty, or as much as two pipes hold, since somebody may be
    /// writing all the time.
    ///
    /// @return the number of bytes
    int drain() throws IOException {
        int bytes = 0;
        for (int more = read(); more > 0 && bytes < 2 * READ_BYTES; more = read()) {
            bytes += more;
        }
        return bytes;
    }

    private void append(Frame.Stream from, int count) {
        if (from != stream) {
            flush();
            stream = from;
        }
        byte[] tail = tails.remove(from);
        int tailLength = tail == null ? 0 : tail.length;
        if (length + tailLength + count > pending.length) {
            pending = Arrays.copyOf(pending, Math.max(length + tailLength + count, 2 * pending.length));
        }
        if (tail != null) {
            System.arraycopy(tail, 0, pending, length, tailLength);
        }
        MemorySegment.copy(target, ValueLayout.JAVA_BYTE, 0, pending, length + tailLength, count);
        length += tailLength + count;
    }

    /// Hands on what was read, but for the first bytes of a character that more may complete.
    void flush() {
        if (length == 0) {
            return;
        }
        int whole = length - incompleteTail();
        if (whole < length) {
            tails.put(stream, Arrays.copyOfRange(pending, whole, length));
        }
        length = 0;
        if (whole > 0) {
            sink.accept(stream, Arrays.copyOf(pending, whole));
        }
    }

    /// Hands on everything, even incomplete characters: nothing that could complete them belongs to the same cell.
    void flushAll() {
        flush();
        for (var from : Frame.Stream.values()) {
            byte[] tail = tails.remove(from);
            if (tail != null) {
                sink.accept(from, tail);
            }
        }
    }

    /// The length of what can still become a character at the end.
    private int incompleteTail() {
        int count = 1;
        while (count < Math.min(3, length) && (pending[length - count] & 0xc0) == 0x80) {
            count++;
        }
        return isBeginning(length - count, count) ? count : 0;
    }

    /// Whether bytes, of which all but the first are of those that continue a character, are the beginning of one and no
    /// more (RFC 3629, section 4).
    private boolean isBeginning(int at, int count) {
        int first = pending[at] & 0xff;
        int needed = first < 0xc2 || first > 0xf4 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
        if (count >= needed) {
            return false;
        }
        if (count == 1) {
            return true;
        }
        int second = pending[at + 1] & 0xff;
        return switch (first) {
            case 0xe0 -> second >= 0xa0;
            case 0xed -> second < 0xa0;
            case 0xf0 -> second >= 0x90;
            case 0xf4 -> second < 0x90;
            default -> true;
        };
    }
}
