package dev.capsule.worker;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.capsule.frame.Frame;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class RawOutputTest {
    private final List<String> heard = new ArrayList<>();
    private Posix.Pipe stdout;
    private Posix.Pipe stderr;
    private RawOutput output;

    @BeforeEach
    void open() throws IOException {
        stdout = Posix.pipe();
        stderr = Posix.pipe();
        Posix.setNonBlocking(stdout.readEnd());
        Posix.setNonBlocking(stderr.readEnd());
        output = new RawOutput(stdout.readEnd(), stderr.readEnd(),
                (stream, text) -> heard.add(stream.wireName() + " " + new String(text, StandardCharsets.UTF_8)));
    }

    @AfterEach
    void close() {
        Posix.close(stdout.readEnd());
        Posix.close(stderr.readEnd());
    }

    private static void write(Posix.Pipe pipe, int... bytes) throws IOException {
        try (var arena = Arena.ofConfined()) {
            byte[] text = new byte[bytes.length];
            for (int i = 0; i < bytes.length; i++) {
                text[i] = (byte) bytes[i];
            }
            MemorySegment source = arena.allocateFrom(ValueLayout.JAVA_BYTE, text);
            assertEquals(text.length, Posix.write(pipe.writeEnd(), source));
        }
    }

    @Test
    void aCharacterIsNotTornApart() throws IOException {
        write(stdout, 'a', 0xf0, 0x9f);
        output.drain();
        output.flush();
        write(stdout, 0x8e, 0x89, 'b');
        output.drain();
        output.flush();
        assertEquals(List.of("stdout a", "stdout \ud83c\udf89b"), heard);
    }

    @Test
    void whatStaysIncompleteIsHandedOnAtTheEnd() throws IOException {
        write(stdout, 'a', 0xc3);
        output.drain();
        output.flushAll();
        assertEquals(List.of("stdout a", "stdout \ufffd"), heard);
    }

    /// Such a byte was kept for what might follow it, and came after the result of its cell.
    @Test
    void whatCannotBecomeACharacterIsNotHeldBack() throws IOException {
        int[][] endings = {{0xff}, {0xc0}, {0xc1}, {0xf5}, {0x80}, {0xe0, 0x80}, {0xed, 0xa0}, {0xf0, 0x80},
                {0xf4, 0x90},
                {0xf8, 0x80, 0x80}, {0xc3, 0xa9, 0x80}};
        for (int[] ending : endings) {
            write(stdout, 'a');
            write(stdout, ending);
            output.drain();
            output.flush();
            byte[] text = new byte[1 + ending.length];
            text[0] = 'a';
            for (int i = 0; i < ending.length; i++) {
                text[1 + i] = (byte) ending[i];
            }
            assertEquals(List.of("stdout " + new String(text, StandardCharsets.UTF_8)), heard);
            heard.clear();
        }
    }

    @Test
    void everyBeginningOfACharacterIsHeldBack() throws IOException {
        for (int character : new int[]{0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xffff, 0x10000, 0x10ffff}) {
            String whole = Character.toString(character);
            byte[] bytes = whole.getBytes(StandardCharsets.UTF_8);
            for (int i = 0; i < bytes.length; i++) {
                assertEquals(List.of(), heard);
                write(stdout, bytes[i]);
                output.drain();
                output.flush();
            }
            assertEquals(List.of("stdout " + whole), heard);
            heard.clear();
        }
    }

    @Test
    void streamsAreNotMixed() throws IOException {
        write(stdout, 'a');
        output.drain();
        write(stderr, 'b');
        output.drain();
        write(stdout, 'c');
        output.drain();
        output.flush();
        assertEquals(List.of("stdout a", "stderr b", "stdout c"), heard);
    }

    /// A closed stream is always ready to be read: the thread that waited for it would have turned in circles.
    @Test
    void aStreamWithoutWriterIsNotWaitedFor() throws IOException {
        Posix.close(stdout.writeEnd());
        assertEquals(0, output.drain());
        assertEquals(-1, output.descriptor(Frame.Stream.STDOUT));
        assertEquals(stderr.readEnd(), output.descriptor(Frame.Stream.STDERR));
    }
}
