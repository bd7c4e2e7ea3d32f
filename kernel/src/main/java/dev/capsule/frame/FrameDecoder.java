package dev.capsule.frame;

import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.util.Optional;

/// Finds frames in the bytes of a worker as they arrive. It holds no more than what came and what the limits allow:
/// nothing is allocated on an announced length. What is large is held outside of the heap, which would have to be
/// cleaned up after each image, and would keep the room that was once needed. Used by one thread.
public final class FrameDecoder {
    private static final int INITIAL_BYTES = 16 << 10;
    /// Held outside of the heap.
    private static final int LARGE_BYTES = 64 << 10;
    /// The most room that is kept for what may come.
    private static final int KEPT_BYTES = 2 << 20;
    private static final long MAX_TOTAL_BYTES = Integer.BYTES + FrameCodec.MAX_HEADER_BYTES
            + FrameCodec.MAX_BUFFERS_BYTES;

    // What came and is not yet taken: bytes from start to end.
    private ByteBuffer bytes = ByteBuffer.allocate(INITIAL_BYTES);
    private int start;
    private int end;
    /// Of the bytes, when they are many.
    private Optional<Arena> arena = Optional.empty();

    private Encoding encoding = Encoding.JSON;

    /// Takes the bytes that remain in `arrived`.
    public void feed(ByteBuffer arrived) {
        int length = arrived.remaining();
        if (end + length > bytes.capacity()) {
            int held = end - start;
            if (held + length > bytes.capacity()) {
                grow(Math.max(held + length, (int) Math.min(2L * bytes.capacity(), MAX_TOTAL_BYTES)));
            } else {
                bytes.put(0, bytes, start, held);
            }
            start = 0;
            end = held;
        }
        bytes.put(end, arrived, arrived.position(), length);
        arrived.position(arrived.limit());
        end += length;
    }

    private void grow(int capacity) {
        var outgrown = arena;
        arena = capacity > LARGE_BYTES ? Optional.of(Arena.ofConfined()) : Optional.empty();
        var target = arena.map(room -> room.allocate(capacity).asByteBuffer())
                .orElseGet(() -> ByteBuffer.allocate(capacity));
        target.put(0, bytes, start, end - start);
        bytes = target;
        outgrown.ifPresent(Arena::close);
    }

    /// Drops what has come of a frame, and much room for it: its sender is gone. Another may go on in the same encoding.
    public void reset() {
        if (bytes.capacity() > KEPT_BYTES) {
            free();
        }
        start = 0;
        end = 0;
    }

    /// Gives back all room; it is of no more use.
    public void close() {
        free();
    }

    private void free() {
        bytes = ByteBuffer.allocate(INITIAL_BYTES);
        arena.ifPresent(Arena::close);
        arena = Optional.empty();
    }

    /// The next whole frame; empty when more bytes are needed. A worker's `hello` sets the encoding of all that follows.
    ///
    /// @throws FrameException if the worker broke the protocol; the decoder is then of no more use
    public Optional<Frame.FromWorker> next() {
        if (end - start < 2 * Integer.BYTES) {
            return Optional.empty();
        }
        long total = Integer.toUnsignedLong(bytes.getInt(start));
        long headerLength = Integer.toUnsignedLong(bytes.getInt(start + Integer.BYTES));
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
        var body = bytes.slice(start + Integer.BYTES, (int) total);
        var frame = FrameCodec.decode(FrameCodec.split(body, encoding));
        start += Integer.BYTES + (int) total;
        if (start == end) {
            reset();
        }
        if (frame instanceof Frame.Hello hello) {
            encoding = hello.encoding();
        }
        return Optional.of(frame);
    }
}
