package dev.capsule.channel;

import java.net.ProtocolException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// Puts messages and commands together from bytes that arrive in any pieces (ZMTP 3.0, "Framing"). Allocates for what
/// has arrived, never for what is announced. Of no use after a [ProtocolException].
final class FrameDecoder {
    static final int MORE = 1;
    static final int LONG = 2;
    static final int COMMAND = 4;

    /// Frames of one message; Jupyter's have 7 and one for each buffer.
    static final int MAX_FRAMES = 4096;

    private final byte[] header = new byte[9];
    private int headerBytes;
    private byte @Nullable [] body;
    private int length;
    private int arrived;
    private List<byte[]> frames = new ArrayList<>();
    private long messageBytes;
    private long maxBytes;

    FrameDecoder(long maxBytes) {
        this.maxBytes = maxBytes;
    }

    /// Sets how many bytes the frames of a message may have together, and how many a command may have.
    void maxBytes(long bytes) {
        maxBytes = bytes;
    }

    /// Takes bytes until a message or a command is whole.
    ///
    /// @return null when more bytes are needed; `in` is then empty
    /// @throws ProtocolException if the bytes are not ZMTP or above a limit
    @Nullable
    Traffic next(ByteBuffer in) throws ProtocolException {
        while (body != null || readHeader(in)) {
            byte[] frame = readBody(in);
            if (frame == null) {
                return null;
            }
            if ((header[0] & COMMAND) != 0) {
                return Traffic.Command.parse(frame);
            }
            messageBytes += frame.length;
            frames.add(frame);
            if ((header[0] & MORE) == 0) {
                var message = new Traffic.Message(frames);
                frames = new ArrayList<>();
                messageBytes = 0;
                return message;
            }
        }
        return null;
    }

    // True when the header is whole; the body is then not null.
    private boolean readHeader(ByteBuffer in) throws ProtocolException {
        while (in.hasRemaining()) {
            header[headerBytes++] = in.get();
            if (headerBytes == 1) {
                checkFlags(header[0]);
            }
            if (headerBytes == ((header[0] & LONG) != 0 ? 9 : 2)) {
                long announced = headerBytes == 2 ? Byte.toUnsignedInt(header[1]) : ByteBuffer.wrap(header).getLong(1);
                // Compared unsigned: the highest bit must be zero, and a length with it set is above any limit.
                if (Long.compareUnsigned(announced, maxBytes - messageBytes) > 0) {
                    throw new ProtocolException("a message of %s bytes or more; the limit is %d"
                            .formatted(Long.toUnsignedString(announced), maxBytes));
                }
                headerBytes = 0;
                length = (int) announced;
                arrived = 0;
                body = new byte[Math.min(length, in.remaining())];
                return true;
            }
        }
        return false;
    }

    private void checkFlags(byte flags) throws ProtocolException {
        if ((flags & ~(MORE | LONG | COMMAND)) != 0 || (flags & (MORE | COMMAND)) == (MORE | COMMAND)) {
            throw new ProtocolException("a frame with flags %02x".formatted(flags));
        }
        if (frames.size() == MAX_FRAMES) {
            throw new ProtocolException("a message of more than %d frames".formatted(MAX_FRAMES));
        }
    }

    private byte @Nullable [] readBody(ByteBuffer in) {
        int size = Math.min(length - arrived, in.remaining());
        byte[] bytes = body;
        if (bytes == null || arrived + size > bytes.length) {
            // Doubled, so that each byte is copied twice at most on average.
            int capacity = (int) Math.min(length, Math.max(2L * arrived, arrived + size));
            bytes = Arrays.copyOf(bytes == null ? new byte[0] : bytes, capacity);
        }
        in.get(bytes, arrived, size);
        arrived += size;
        body = arrived == length ? null : bytes;
        return arrived == length ? bytes : null;
    }
}
