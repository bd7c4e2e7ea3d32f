package dev.capsule.worker;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;

/// The writing end of a pipe to a worker. Nobody ever waits for the worker to read: what the pipe does not take at once
/// is kept, in order, until [#flush]. Safe for several threads.
final class PipeWriter {
    private static final int STAGING_BYTES = 64 << 10;

    private final int descriptor;
    private final MemorySegment staging;
    private final ArrayDeque<ByteBuffer> backlog = new ArrayDeque<>();
    private boolean closed;

    /// @param descriptor does not block; owned by this writer from now on
    /// @throws IOException if there is no memory
    PipeWriter(int descriptor) throws IOException {
        this.descriptor = descriptor;
        staging = Posix.reserve(STAGING_BYTES);
    }

    int descriptor() {
        return descriptor;
    }

    /// Writes a whole frame, or keeps what the pipe does not take.
    ///
    /// @return whether all is written; otherwise somebody has to [#flush] when the pipe has room
    synchronized boolean write(byte[] frame) {
        backlog.add(ByteBuffer.wrap(frame));
        // Behind a backlog the pipe is full: whoever waits for room goes on.
        return backlog.size() == 1 && flush();
    }

    synchronized boolean hasBacklog() {
        return !backlog.isEmpty();
    }

    /// @return whether all is written
    synchronized boolean flush() {
        while (!closed && !backlog.isEmpty()) {
            var next = backlog.peek();
            int length = Math.min(next.remaining(), STAGING_BYTES);
            staging.asByteBuffer().put(next.slice(next.position(), length));
            long taken;
            try {
                taken = Posix.write(descriptor, staging.asSlice(0, length));
            } catch (IOException e) {
                // The worker is gone; its end is reported by its exit, not here.
                backlog.clear();
                return true;
            }
            if (taken == 0) {
                return false;
            }
            next.position(next.position() + (int) taken);
            if (!next.hasRemaining()) {
                backlog.remove();
            }
        }
        return true;
    }

    /// Drops what the pipe has not taken.
    synchronized void discard() {
        backlog.clear();
    }

    synchronized void close() {
        if (!closed) {
            closed = true;
            backlog.clear();
            Posix.close(descriptor);
        }
    }
}
