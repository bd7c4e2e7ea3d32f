package dev.capsule.frame;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.code_intelligence.jazzer.junit.FuzzTest;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/// Whatever a worker writes, the decoder gives frames or a [FrameException], the same in whatever pieces it arrives.
class FrameDecoderFuzz {
    /// Of this module, or of its `target`, in which the fuzzer leaves what it finds.
    private static final List<Path> VECTORS = List.of(Path.of("../worker/vectors"), Path.of("../../worker/vectors"));

    /// How the rest of an input is to be understood: bits of its first byte.
    private static final int MESSAGE_PACK = 1;
    /// As one header, which gets the lengths that belong to it; a fuzzer hardly ever guesses them.
    private static final int HEADER_ONLY = 2;
    private static final int PIECE_SHIFT = 2;

    @MethodSource("vectors")
    @FuzzTest
    void hostileBytes(byte[] input) {
        if (input.length == 0) {
            return;
        }
        int mode = input[0] & 0xff;
        var rest = ByteBuffer.wrap(input, 1, input.length - 1).slice();
        var bytes = (mode & HEADER_ONLY) == 0 ? rest : framed(rest);
        var encoding = (mode & MESSAGE_PACK) == 0 ? Encoding.JSON : Encoding.MESSAGE_PACK;
        assertEquals(read(bytes, encoding, Math.max(1, bytes.remaining())),
                read(bytes, encoding, 1 + (mode >> PIECE_SHIFT)));
    }

    private static ByteBuffer framed(ByteBuffer header) {
        int length = header.remaining();
        return ByteBuffer.allocate(2 * Integer.BYTES + length).putInt(Integer.BYTES + length).putInt(length).put(header)
                .flip();
    }

    /// @return what came of it: the kinds of the frames, and the error if there was one
    private static List<String> read(ByteBuffer bytes, Encoding encoding, int pieceBytes) {
        var decoder = new FrameDecoder();
        var found = new ArrayList<String>();
        var greeting = """
                {"signal":"hello","protocol":1,"encoding":"%s","pid":1,"language":{"name":"python","version":"3"},\
                "implementation":"","offers":[]}""".formatted(encoding == Encoding.JSON ? "json" : "msgpack");
        decoder.feed(framed(ByteBuffer.wrap(greeting.getBytes(StandardCharsets.UTF_8))));
        try {
            drain(decoder, found);
            for (int at = 0; at < bytes.remaining(); at += pieceBytes) {
                decoder.feed(bytes.slice(at, Math.min(pieceBytes, bytes.remaining() - at)));
                drain(decoder, found);
            }
        } catch (FrameException e) {
            found.add(String.valueOf(e.getMessage()));
        }
        return found;
    }

    private static void drain(FrameDecoder decoder, List<String> found) {
        for (var frame = decoder.next(); frame.isPresent(); frame = decoder.next()) {
            if (frame.get() instanceof Frame.Resolve resolve) {
                resolve.checkExecution();
            }
            found.add(frame.get().getClass().getSimpleName());
        }
    }

    /// The golden frames, good and bad, each in both encodings where it has them.
    static Stream<Arguments> vectors() throws IOException {
        var directory = VECTORS.stream().filter(path -> path.toFile().isDirectory()).findFirst().orElseThrow();
        var mapper = new ObjectMapper();
        var inputs = new ArrayList<byte[]>();
        for (JsonNode good : mapper.readTree(directory.resolve("frames.json").toFile())) {
            inputs.add(input(0, good.get("hex_json").asText()));
            inputs.add(input(MESSAGE_PACK, good.get("hex_msgpack").asText()));
        }
        StreamSupport.stream(mapper.readTree(directory.resolve("bad.json").toFile()).spliterator(), false)
                .map(bad -> input(0, bad.get("hex").asText())).forEach(inputs::add);
        return inputs.stream().map(input -> Arguments.of((Object) input));
    }

    private static byte[] input(int mode, String hex) {
        byte[] frame = HexFormat.of().parseHex(hex);
        return ByteBuffer.allocate(1 + frame.length).put((byte) mode).put(frame).array();
    }
}
