package dev.capsule.channel;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.ProtocolException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class BacklogTest {
    private final Backlog backlog = new Backlog(new Backlog.Limits(100_000, 20_000));

    @Test
    void adjacentTextsOfAStreamAreMergedAndOrderIsKept() throws ProtocolException {
        message("busy");
        text("out", "a");
        text("out", "b");
        text("err", "c");
        text("out", "d");
        message("display");
        text("out", "e");
        text("out", "f");
        assertEquals(List.of("busy", "out:ab", "err:c", "out:d", "display", "out:ef"), drain());
        assertEquals(0, backlog.bytes());
    }

    @Test
    void mergedTextHasALimit() throws ProtocolException {
        var large = new Backlog(new Backlog.Limits(0, Long.MAX_VALUE));
        large.add(List.of("busy".getBytes(UTF_8)));
        var half = "x".repeat(Backlog.MAX_MERGED_BYTES / 2);
        for (int i = 0; i < 3; i++) {
            large.add(new Publication.Text(new Stream("out"), half.getBytes(UTF_8)), List::of);
        }
        assertEquals(List.of("busy", "out:" + half + half, "out:" + half), drain(large));
    }

    @Test
    void textAboveTheLimitIsDroppedWithANoteInItsPlace() throws ProtocolException {
        message("busy");
        text("out", "x".repeat(20_000));
        text("out", "one\n");
        text("err", "two\nthree");
        text("out", "four\n");
        message("idle");
        text("out", "five\n");
        assertEquals(
                List.of("busy", "out:" + "x".repeat(20_000) + "[2 lines, 9 bytes]", "err:[1 lines, 9 bytes]", "idle",
                        "out:[1 lines, 5 bytes]"),
                drain());
    }

    @Test
    void whenThereIsRoomAgainTheNoteComesBeforeNewText() throws ProtocolException {
        message("busy");
        text("out", "x".repeat(15_000));
        text("err", "y".repeat(15_000));
        text("out", "one\n");
        var out = ByteBuffer.allocate(100_000).limit(16_000);
        backlog.moveTo(out);
        // More than half of the limit is left.
        text("out", "two\n");
        backlog.moveTo(out.limit(26_000));
        text("out", "three\n");
        backlog.moveTo(out.limit(out.capacity()));
        assertEquals(List.of("busy", "out:" + "x".repeat(15_000), "err:" + "y".repeat(15_000),
                "out:[2 lines, 8 bytes]three\n"), decode(out.flip()));
    }

    @Test
    void theNoteNeedsNoFurtherPublication() throws ProtocolException {
        message("busy");
        text("out", "x".repeat(21_000));
        text("out", "one\n");
        assertEquals(List.of("busy", "out:" + "x".repeat(21_000), "out:[1 lines, 4 bytes]"), drain());
    }

    @Test
    void messagesAboveTheLimitAreRefusedAndTextDoesNotCount() {
        message("busy");
        text("out", "x".repeat(90_000));
        int added = 0;
        while (backlog.add(List.of(new byte[10_000]))) {
            added++;
        }
        assertEquals(9, added);
    }

    @Test
    void aLoneMessageMayBeOfAnySize() {
        assertTrue(backlog.add(List.of(new byte[1_000_000])));
        assertFalse(backlog.add(List.of(new byte[1])));
    }

    @Test
    void aFloodOfTinyTextsIsCountedWithWhatItCosts() {
        message("busy");
        for (int i = 0; i < 10_000; i++) {
            text(i % 2 == 0 ? "out" : "err", "x");
        }
        assertTrue(backlog.bytes() > 20_000 && backlog.bytes() < 22_000);
    }

    private void message(String topic) {
        assertTrue(backlog.add(List.of(topic.getBytes(UTF_8))));
    }

    private void text(String name, String text) {
        backlog.add(new Publication.Text(new Stream(name), text.getBytes(UTF_8)), () -> {
            throw new AssertionError("something waits already");
        });
    }

    private List<String> drain() throws ProtocolException {
        return drain(backlog);
    }

    private static List<String> drain(Backlog backlog) throws ProtocolException {
        var out = ByteBuffer.allocate(10_000_000);
        backlog.moveTo(out);
        assertTrue(backlog.isEmpty());
        return decode(out.flip());
    }

    private static List<String> decode(ByteBuffer wire) throws ProtocolException {
        var decoder = new FrameDecoder(Long.MAX_VALUE);
        var messages = new ArrayList<String>();
        Traffic next;
        while ((next = decoder.next(wire)) != null) {
            if (next instanceof Traffic.Message message) {
                messages.add(new String(message.frames().getFirst(), UTF_8));
            }
        }
        return messages;
    }

    /// Puts name and text into one frame.
    private record Stream(String name) implements Publication.TextStream {
        @Override
        public byte[] topic() {
            return name.getBytes(UTF_8);
        }

        @Override
        public List<byte[]> frames(byte[] utf8) {
            return List.of((name + ":" + new String(utf8, UTF_8)).getBytes(UTF_8));
        }

        @Override
        public byte[] droppedNote(long lines, long bytes) {
            return "[%d lines, %d bytes]".formatted(lines, bytes).getBytes(UTF_8);
        }
    }
}
