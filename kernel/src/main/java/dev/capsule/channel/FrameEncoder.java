package dev.capsule.channel;

import java.nio.ByteBuffer;
import java.util.List;

/// Writes one message after the other as frames, in pieces as large as there is room for (ZMTP 3.0, "Framing").
final class FrameEncoder {
    private static final int MAX_HEADER_BYTES = 9;
    private static final int HEADER_PENDING = -1;

    private List<byte[]> frames = List.of();
    private int index;
    /// What is written of the frame's body.
    private int offset;
    private long remaining;

    /// The bytes of `frames` with their headers.
    static long wireBytes(List<byte[]> frames) {
        long bytes = 0;
        for (byte[] frame : frames) {
            bytes += headerBytes(frame) + frame.length;
        }
        return bytes;
    }

    private static int headerBytes(byte[] frame) {
        return frame.length > 255 ? MAX_HEADER_BYTES : 2;
    }

    /// What is not yet written of the message.
    long remaining() {
        return remaining;
    }

    void message(List<byte[]> next) {
        frames = next;
        index = 0;
        offset = HEADER_PENDING;
        remaining = wireBytes(next);
    }

    /// Writes `wire` as it is: a greeting, or a command's whole frame.
    void raw(byte[] wire) {
        frames = List.of(wire);
        index = 0;
        offset = 0;
        remaining = wire.length;
    }

    /// Writes what there is room for.
    ///
    /// @return whether all of the message is written
    boolean writeTo(ByteBuffer out) {
        int before = out.position();
        boolean done = writeFrames(out);
        remaining -= out.position() - before;
        return done;
    }

    private boolean writeFrames(ByteBuffer out) {
        for (; index < frames.size(); index++) {
            byte[] body = frames.get(index);
            if (offset == HEADER_PENDING) {
                if (out.remaining() < MAX_HEADER_BYTES) {
                    return false;
                }
                writeHeader(out, body);
                offset = 0;
            }
            int size = Math.min(out.remaining(), body.length - offset);
            out.put(body, offset, size);
            offset += size;
            if (offset < body.length) {
                return false;
            }
            offset = HEADER_PENDING;
        }
        frames = List.of();
        index = 0;
        return true;
    }

    private void writeHeader(ByteBuffer out, byte[] body) {
        int more = index < frames.size() - 1 ? FrameDecoder.MORE : 0;
        if (headerBytes(body) == MAX_HEADER_BYTES) {
            out.put((byte) (more | FrameDecoder.LONG)).putLong(body.length);
        } else {
            out.put((byte) more).put((byte) body.length);
        }
    }
}
