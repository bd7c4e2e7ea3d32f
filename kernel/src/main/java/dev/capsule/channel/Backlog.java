package dev.capsule.channel;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/// What one peer has not been sent yet, in order. Bounded: messages above a limit are refused, text above another is
/// dropped whole, counted, and replaced by a note. Guarded by the peer's lock.
final class Backlog {
    /// Text that waits in one entry; adjacent texts of a stream are merged up to this.
    static final int MAX_MERGED_BYTES = 1024 * 1024;

    /// What an entry costs beside its bytes, so that a flood of tiny ones is bounded, too.
    static final int ENTRY_BYTES = 512;

    /// @param messageBytes of messages that may wait, the one being written not counted when nothing waits
    /// @param textBytes of text that may wait before more is dropped; what is passed by is at most one text
    record Limits(long messageBytes, long textBytes) {}

    private sealed interface Entry {
        long bytes();
    }

    /// @param wire one array
    private record Raw(List<byte[]> wire, long bytes) implements Entry {}

    private record Message(List<byte[]> frames, long bytes) implements Entry {}

    private static final class Text implements Entry {
        final Publication.TextStream stream;
        private final byte[] first;
        /// Null until something is merged.
        private @Nullable ByteArrayOutputStream merged;

        Text(Publication.Text text) {
            stream = text.stream();
            first = text.utf8();
        }

        @Override
        public long bytes() {
            return (long) ENTRY_BYTES + (merged == null ? first.length : merged.size());
        }

        boolean merge(Publication.Text next) {
            if (!stream.equals(next.stream()) || bytes() + next.utf8().length > ENTRY_BYTES + MAX_MERGED_BYTES) {
                return false;
            }
            var buffer = merged;
            if (buffer == null) {
                // From a power of two it doubles to exactly the limit, so a full entry wastes next to nothing.
                buffer = new ByteArrayOutputStream(Integer.highestOneBit(Math.max(first.length, 128)) * 2);
                buffer.writeBytes(first);
                merged = buffer;
            }
            buffer.writeBytes(next.utf8());
            return true;
        }

        List<byte[]> frames() {
            return stream.frames(merged == null ? first : merged.toByteArray());
        }
    }

    private record Dropped(long lines, long bytes) {
        Dropped plus(Dropped other) {
            return new Dropped(lines + other.lines, bytes + other.bytes);
        }
    }

    private final Limits limits;
    private final ArrayDeque<Entry> entries = new ArrayDeque<>();
    private final Map<Publication.TextStream, Dropped> dropped = new LinkedHashMap<>();
    private final FrameEncoder encoder = new FrameEncoder();
    private boolean encodingText;
    private boolean dropping;
    /// Of the entries, not of what the encoder still has.
    private long messageBytes;
    private long textBytes;

    Backlog(Limits limits) {
        this.limits = limits;
    }

    boolean isEmpty() {
        return entries.isEmpty() && encoder.remaining() == 0;
    }

    /// Everything that waits, with what the entries cost.
    long bytes() {
        return messageBytes + textBytes + encoder.remaining();
    }

    private long waitingMessageBytes() {
        return messageBytes + (encodingText ? 0 : encoder.remaining());
    }

    private long waitingTextBytes() {
        return textBytes + (encodingText ? encoder.remaining() : 0);
    }

    /// Adds a message.
    ///
    /// @return false, and nothing is added, when too much waits already
    boolean add(List<byte[]> frames) {
        return add(new Message(frames, ENTRY_BYTES + FrameEncoder.wireBytes(frames)));
    }

    /// Adds bytes that are sent as they are: a greeting, or a command's whole frame.
    ///
    /// @return as [#add(List)]
    boolean addRaw(byte[] wire) {
        return add(new Raw(List.of(wire), (long) ENTRY_BYTES + wire.length));
    }

    private boolean add(Entry message) {
        // Dropped text was published before this message.
        addNotes();
        long waiting = waitingMessageBytes();
        if (waiting > 0 && waiting + message.bytes() > limits.messageBytes) {
            return false;
        }
        messageBytes += message.bytes();
        entries.add(message);
        return true;
    }

    /// Adds a text, or drops it.
    ///
    /// @param frames the message of the text, made when nothing waits before it: other peers may need the same one
    void add(Publication.Text text, Supplier<List<byte[]>> frames) {
        if (isEmpty()) {
            encoder.message(frames.get());
            encodingText = true;
            return;
        }
        // Once it drops, it goes on until half is gone: else a slow reader got a note after each text.
        dropping = waitingTextBytes() > (dropping ? limits.textBytes / 2 : limits.textBytes);
        if (dropping) {
            dropped.merge(text.stream(), new Dropped(lines(text.utf8()), text.utf8().length), Dropped::plus);
        } else {
            addNotes();
            append(text);
        }
    }

    private static long lines(byte[] utf8) {
        long lines = 0;
        for (byte b : utf8) {
            lines += b == '\n' ? 1 : 0;
        }
        return lines;
    }

    private void addNotes() {
        dropped.forEach((stream, count) -> append(
                new Publication.Text(stream, stream.droppedNote(count.lines, count.bytes))));
        dropped.clear();
    }

    private void append(Publication.Text text) {
        if (entries.peekLast() instanceof Text last && last.merge(text)) {
            textBytes += text.utf8().length;
        } else {
            textBytes += ENTRY_BYTES + text.utf8().length;
            entries.add(new Text(text));
        }
    }

    /// Moves as much as there is room for to `out`.
    void moveTo(ByteBuffer out) {
        while (encoder.writeTo(out)) {
            if (!dropped.isEmpty() && waitingTextBytes() <= limits.textBytes / 2) {
                addNotes();
            }
            var next = entries.poll();
            if (next == null) {
                return;
            }
            start(next);
        }
    }

    private void start(Entry next) {
        encodingText = next instanceof Text;
        if (encodingText) {
            textBytes -= next.bytes();
        } else {
            messageBytes -= next.bytes();
        }
        switch (next) {
            case Raw raw -> encoder.raw(raw.wire.getFirst());
            case Message message -> encoder.message(message.frames);
            case Text text -> encoder.message(text.frames());
        }
    }

    /// Forgets everything.
    void clear() {
        entries.clear();
        dropped.clear();
        encoder.message(List.of());
        messageBytes = 0;
        textBytes = 0;
    }
}
