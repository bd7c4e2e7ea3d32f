package dev.capsule.channel;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.net.ProtocolException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class FrameCodingTest {
    private static final long LIMIT = 1_000_000;

    @Test
    void framesAreWhatTheSpecificationSays() {
        assertArrayEquals(new byte[]{1, 0, 0, 3, 'a', 'b', 'c'},
                encode(List.of(new byte[0], "abc".getBytes(UTF_8)), 100));
        byte[] longest = new byte[255];
        assertArrayEquals(RawPeer.message(List.of(longest)), encode(List.of(longest), 100));
        byte[] shortest = new byte[256];
        assertArrayEquals(RawPeer.message(List.of(shortest)), encode(List.of(shortest), 100));
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5})
    void anyMessagesInAnyPiecesComeOutAsTheyWent(long seed) throws ProtocolException {
        var random = new Random(seed);
        var messages = new ArrayList<List<byte[]>>();
        var wire = new ByteArrayOutputStream();
        for (int i = 0; i < 200; i++) {
            var frames = randomFrames(random);
            messages.add(frames);
            byte[] bytes = encode(frames, 9 + random.nextInt(5000));
            assertEquals(FrameEncoder.wireBytes(frames), bytes.length);
            wire.writeBytes(bytes);
            if (random.nextInt(5) == 0) {
                wire.writeBytes(RawPeer.command("PING", new byte[random.nextInt(400)]));
            }
        }
        var decoded = new ArrayList<List<byte[]>>();
        decodeInPieces(wire.toByteArray(), random, decoded);
        assertEquals(messages.size(), decoded.size());
        for (int i = 0; i < messages.size(); i++) {
            assertArrayEquals(messages.get(i).toArray(), decoded.get(i).toArray());
        }
    }

    /// Whatever arrives, the decoder either goes on or says that it is malformed, and never takes more memory than a
    /// small multiple of what arrived.
    @ParameterizedTest
    @ValueSource(longs = {11, 12, 13, 14, 15, 16, 17, 18})
    void mutatedBytesAreDecodedOrRefused(long seed) {
        var random = new Random(seed);
        int refused = 0;
        for (int round = 0; round < 2000; round++) {
            var wire = new ByteArrayOutputStream();
            for (int i = 0; i < 3; i++) {
                wire.writeBytes(RawPeer.message(randomFrames(random)));
                wire.writeBytes(RawPeer.command("SUBSCRIBE", new byte[random.nextInt(20)]));
            }
            byte[] bytes = wire.toByteArray();
            for (int i = random.nextInt(4); i >= 0; i--) {
                bytes[random.nextInt(Math.min(bytes.length, 40))] = (byte) random.nextInt();
            }
            try {
                decodeInPieces(bytes, random, new ArrayList<>());
            } catch (ProtocolException e) {
                refused++;
            }
        }
        assertTrue(refused > 200, () -> "the mutations must reach what is refused");
    }

    @Test
    void nothingIsAllocatedOnAnAnnouncedLength() throws ProtocolException {
        var decoder = new FrameDecoder(Integer.MAX_VALUE);
        // More than the heap of a test has, were it allocated for each of these.
        for (int i = 0; i < 1000; i++) {
            decoder = new FrameDecoder(Integer.MAX_VALUE);
            assertNull(decoder.next(ByteBuffer.allocate(9).put((byte) 2).putLong(Integer.MAX_VALUE).flip()));
            assertNull(decoder.next(ByteBuffer.allocate(100)));
        }
    }

    @Test
    void limitCountsAllFramesOfTheMessage() throws ProtocolException {
        var decoder = new FrameDecoder(10);
        var six = ByteBuffer.wrap(new byte[]{1, 6, 0, 0, 0, 0, 0, 0});
        assertNull(decoder.next(six));
        assertThrows(ProtocolException.class, () -> decoder.next(ByteBuffer.wrap(new byte[]{0, 5})));
        var fresh = new FrameDecoder(10);
        assertInstanceOf(Traffic.Message.class, fresh.next(ByteBuffer.wrap(RawPeer.message(List.of(new byte[10])))));
        assertInstanceOf(Traffic.Message.class, fresh.next(ByteBuffer.wrap(RawPeer.message(List.of(new byte[10])))));
    }

    @ParameterizedTest
    @ValueSource(ints = {8, 16, 32, 64, 128, 5, 7})
    void reservedFlagsAndCommandsWithMoreAreRefused(int flags) {
        assertThrows(ProtocolException.class,
                () -> new FrameDecoder(LIMIT).next(ByteBuffer.wrap(new byte[]{(byte) flags})));
    }

    @Test
    void lengthWithTheHighestBitIsRefused() {
        var frame = ByteBuffer.allocate(9).put((byte) 2).putLong(-1).flip();
        assertThrows(ProtocolException.class, () -> new FrameDecoder(LIMIT).next(frame));
    }

    @Test
    void tooManyFramesAreRefused() throws ProtocolException {
        var frames = new ArrayList<byte[]>();
        for (int i = 0; i < FrameDecoder.MAX_FRAMES; i++) {
            frames.add(new byte[0]);
        }
        assertInstanceOf(Traffic.Message.class,
                new FrameDecoder(LIMIT).next(ByteBuffer.wrap(RawPeer.message(frames))));
        frames.add(new byte[0]);
        assertThrows(ProtocolException.class,
                () -> new FrameDecoder(LIMIT).next(ByteBuffer.wrap(RawPeer.message(frames))));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "\0", "\u0005READ"})
    void commandWithoutANameIsRefused(String body) {
        assertThrows(ProtocolException.class, () -> Traffic.Command.parse(body.getBytes(UTF_8)));
    }

    @Test
    void metadataThatIsCutShortIsRefused() throws ProtocolException {
        byte[] metadata = RawPeer.ready("DEALER", new byte[]{1, 2, 3});
        assertArrayEquals(new byte[]{1, 2, 3}, new Traffic.Command("READY", metadata).metadata().get("identity"));
        int whole = 0;
        for (int length = 0; length < metadata.length; length++) {
            var cut = new Traffic.Command("READY", Arrays.copyOf(metadata, length));
            try {
                cut.metadata();
                whole++;
            } catch (ProtocolException e) {
                // As it should be, but for nothing at all and after the first property.
            }
        }
        assertEquals(2, whole);
    }

    private static List<byte[]> randomFrames(Random random) {
        var frames = new ArrayList<byte[]>();
        for (int i = random.nextInt(8); i >= 0; i--) {
            byte[] frame = new byte[switch (random.nextInt(4)) {
                case 0 -> 0;
                case 1 -> random.nextInt(20);
                case 2 -> 250 + random.nextInt(10);
                default -> random.nextInt(3000);
            }];
            random.nextBytes(frame);
            frames.add(frame);
        }
        return frames;
    }

    private static byte[] encode(List<byte[]> frames, int pieceBytes) {
        var wire = new ByteArrayOutputStream();
        var encoder = new FrameEncoder();
        encoder.message(frames);
        var piece = ByteBuffer.allocate(pieceBytes);
        boolean done;
        do {
            done = encoder.writeTo(piece);
            wire.write(piece.array(), 0, piece.position());
            piece.clear();
        } while (!done);
        assertEquals(0, encoder.remaining());
        return wire.toByteArray();
    }

    private static void decodeInPieces(byte[] wire, Random random, List<List<byte[]>> messages)
            throws ProtocolException {
        var decoder = new FrameDecoder(LIMIT);
        int largest = random.nextBoolean() ? 3 : 2000;
        for (int offset = 0; offset < wire.length;) {
            int size = Math.min(wire.length - offset, 1 + random.nextInt(largest));
            var in = ByteBuffer.wrap(wire, offset, size);
            offset += size;
            Traffic next;
            while ((next = decoder.next(in)) != null) {
                if (next instanceof Traffic.Message message) {
                    messages.add(message.frames());
                }
            }
            assertTrue(!in.hasRemaining());
        }
    }
}
