package dev.capsule.frame;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/// The golden frames that every implementation of `worker/PROTOCOL.md` is tested with.
class VectorsTest {
    private static final Path VECTORS = Path.of("../worker/vectors");
    private static final HexFormat HEX = HexFormat.of();

    record Good(String name, String hex_json, String hex_msgpack, LinkedHashMap<String, Object> header,
            List<String> buffers_hex) {
        String hex(Encoding encoding) {
            return encoding == Encoding.JSON ? hex_json : hex_msgpack;
        }
    }

    record Bad(String name, String hex, String why) {}

    private static <T> List<T> read(String file, TypeReference<List<T>> type) throws IOException {
        var mapper = new ObjectMapper();
        return mapper.readValue(VECTORS.resolve(file).toFile(), type);
    }

    @TestFactory
    Stream<DynamicTest> goodFramesAreReadAndWritten() throws IOException {
        return read("frames.json", new TypeReference<List<Good>>() {
        }).stream().flatMap(good -> Stream.of(Encoding.values())
                .map(encoding -> DynamicTest.dynamicTest(good.name() + " in " + encoding,
                        () -> check(good, encoding))));
    }

    private static void check(Good good, Encoding encoding) {
        byte[] bytes = HEX.parseHex(good.hex(encoding));
        var parts = FrameCodec.split(ByteBuffer.wrap(bytes, Integer.BYTES, bytes.length - Integer.BYTES).slice(),
                encoding);
        assertEquals(withLongs(good.header()), new LinkedHashMap<>(parts.header()));
        assertEquals(good.buffers_hex(), parts.buffers().stream().map(HEX::formatHex).toList());
        byte[] again = FrameCodec.encode(new LinkedHashMap<>(parts.header()), parts.buffers(), encoding);
        assertArrayEquals(bytes, again, () -> "is " + HEX.formatHex(again));
    }

    /// The codec reads whole numbers as `long`, as the test's own JSON does not.
    private static Object withLongs(Object value) {
        return switch (value) {
            case Map<?, ?> map -> {
                var result = new LinkedHashMap<Object, Object>();
                map.forEach((key, element) -> {
                    // The lengths of the buffers, which are compared with the buffers themselves.
                    if (!(key.equals("buffers") && element instanceof List)) {
                        result.put(key, withLongs(element));
                    }
                });
                yield result;
            }
            case List<?> list -> list.stream().map(VectorsTest::withLongs).toList();
            case Integer number -> number.longValue();
            default -> value;
        };
    }

    @TestFactory
    Stream<DynamicTest> badFramesAreRefused() throws IOException {
        return read("bad.json", new TypeReference<List<Bad>>() {
        }).stream()
                .map(bad -> DynamicTest.dynamicTest(bad.name(), () -> {
                    var refusal = assertThrows(FrameException.class, () -> {
                        var decoder = new FrameDecoder();
                        decoder.feed(ByteBuffer.wrap(HEX.parseHex(bad.hex())));
                        decoder.next();
                    });
                    assertTrue(!refusal.getMessage().isEmpty(), bad.why());
                }));
    }
}
