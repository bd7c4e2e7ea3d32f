package dev.capsule.frame;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Optional;

/// Finds frames in the bytes of a worker as they arrive. It holds no more than what came and what the limits allow:
/// nothing is allocated on an announced length. Used by one thread.
public final class FrameDecoder {
    private static final int INITIAL_BYTES = 16 << 10;
    private static final long MAX_TOTAL_BYTES = Integer.BYTES + FrameCodec.MAX_HEADER_BYTES
            + FrameCodec.MAX_BUFFERS_BYTES;

    // What came and is not yet taken: bytes from start to end.
    private byte[] bytes = new byte[INITIAL_BYTES];
    private int start;
    private int end;

    private Encoding encoding = Encoding.JSON;

    /// Takes the bytes that remain in `arrived`.
    public void feed(ByteBuffer arrived) {
        int length = arrived.remaining();
        if (end + length > bytes.length) {
            int held = end - start;
            byte[] target = held + length > bytes.length
                    ? new byte[Math.max(held + length, (int) Math.min(2L * bytes.length, MAX_TOTAL_BYTES))]
                    : bytes;
            System.arraycopy(bytes, start, target, 0, held);
            bytes = target;
            start = 0;
            end = held;
        }
        arrived.get(bytes, end, length);
        end += length;
    }

    /// Drops what has come of a frame: its sender is gone, and another goes on in the same encoding.
    public void reset() {
        bytes = new byte[INITIAL_BYTES];
        start = 0;
        end = 0;
    }

    /// The next whole frame; empty when more bytes are needed. A worker's `hello` sets the encoding of all that follows.
    ///
    /// @throws FrameException if the worker broke the protocol; the decoder is then of no more use
    public Optional<Frame.FromWorker> next() {
        if (end - start < 2 * Integer.BYTES) {
            return Optional.empty();
        }
        var head = ByteBuffer.wrap(bytes, start, 2 * Integer.BYTES);
        long total = Integer.toUnsignedLong(head.getInt());
        long headerLength = Integer.toUnsignedLong(head.getInt());
        if (total < Integer.BYTES || total > MAX_TOTAL_BYTES) {
            throw new FrameException("frame of %d bytes is not within the limits of %d and %d".formatted(total,
                    Integer.BYTES, MAX_TOTAL_BYTES));
        }
        if (headerLength > FrameCodec.MAX_HEADER_BYTES) {
            throw new FrameException("frame header of %d bytes is over the limit of %d".formatted(headerLength,
                    FrameCodec.MAX_HEADER_BYTES));
        }
        if (end - start - Integer.BYTES < total) {
            return Optional.empty();
        }
        var body = ByteBuffer.wrap(bytes, start + Integer.BYTES, (int) total).slice();
        var frame = FrameCodec.decode(FrameCodec.split(body, encoding));
        start += Integer.BYTES + (int) total;
        if (start == end) {
            start = 0;
            end = 0;
            if (bytes.length > (1 << 20)) {
                bytes = Arrays.copyOf(bytes, INITIAL_BYTES);
            }
        }
        if (frame instanceof Frame.Hello hello) {
            encoding = hello.encoding();
        }
        return Optional.of(frame);
    }
}
