package dev.capsule.frame;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Frames of comms, as far as the golden ones do not say.
class CommFramesTest {
    private static Frame.FromWorker comm(Map<String, Object> changes, String... buffers) {
        var header = new LinkedHashMap<String, Object>(
                Map.of("emit", "comm", "id", "e1", "kind", "msg", "comm_id", "c"));
        header.putAll(changes);
        return FrameCodec.decode(new FrameCodec.Parts(new LinkedHashMap<>(header),
                Arrays.stream(buffers).map(buffer -> buffer.getBytes(UTF_8)).toList()));
    }

    @Test
    void whatTheWorkerSaysIsNotRebuilt() {
        var data = "{ \"a\" : [ 1.0 ] }".getBytes(UTF_8);
        var raw = new byte[]{0, -1};
        var header = new LinkedHashMap<String, Object>(Map.of("emit", "comm", "id", "e1", "kind", "open", "comm_id",
                "c", "target_name", "t", "ack", true));
        var frame = (Frame.Comm) FrameCodec.decode(
                new FrameCodec.Parts(new LinkedHashMap<>(header),
                        List.of(data, "{}".getBytes(UTF_8), raw, new byte[0])));
        assertEquals(List.of("e1", Frame.CommKind.OPEN, "c", "t", true),
                List.of(frame.id(), frame.kind(), frame.commId(), frame.target(), frame.ack()));
        assertSame(data, frame.data());
        assertSame(raw, frame.buffers().getFirst());
        assertEquals(2, frame.buffers().size());
    }

    @Test
    void whatAFrontEndSaysIsNotRebuilt() {
        var content = "{\"comm_id\": \"c\",  \"data\":null}".getBytes(UTF_8);
        byte[] frame = FrameCodec.encode(new Frame.CommRequest("e1", Frame.CommKind.CLOSE, "m1", content,
                "{ }".getBytes(UTF_8), List.of(new byte[]{7})), Encoding.JSON);
        var parts = FrameCodec.split(ByteBuffer.wrap(frame, 4, frame.length - 4).slice(), Encoding.JSON);
        assertEquals(Map.of("open", "comm", "id", "e1", "kind", "close", "request", "m1"), parts.header());
        assertArrayEquals(content, parts.buffers().get(0));
        assertArrayEquals("{ }".getBytes(UTF_8), parts.buffers().get(1));
        assertArrayEquals(new byte[]{7}, parts.buffers().get(2));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            kind    | shut | {}    | {}
            kind    |      | {}    | {}
            comm_id | 1    | {}    | {}
            id      | e1   | {}{}  | {}
            id      | e1   | {"a": | {}
            id      | e1   | NaN   | {}
            id      | e1   | {}    | []
            id      | e1   | {}    | 1
            """)
    void refuses(String key, String value, String data, String metadata) {
        Object field = value == null || value.equals("1") ? 1L : value;
        assertThrows(FrameException.class, () -> comm(Map.of(key, field), data, metadata));
    }

    @Test
    void refusesLongNamesAndMissingBuffers() {
        var refusal = assertThrows(FrameException.class, () -> comm(Map.of("comm_id", "x".repeat(257)), "{}", "{}"));
        assertTrue(refusal.getMessage().contains("256"), refusal.getMessage());
        assertThrows(FrameException.class, () -> comm(Map.of("target_name", "x".repeat(257)), "{}", "{}"));
        assertThrows(FrameException.class, () -> comm(Map.of(), "{}"));
    }

    @Test
    void aProcessThatWasWokenTellsItsCommsOrNone() {
        var header = new LinkedHashMap<String, Object>(Map.of("signal", "revived", "pid", 7L));
        assertEquals(new Frame.Revived(7, Map.of(), 0),
                FrameCodec.decode(new FrameCodec.Parts(new LinkedHashMap<>(header), List.of())));
        header.put("comms", Map.of("c", "t"));
        assertEquals(new Frame.Revived(7, Map.of("c", "t"), 0),
                FrameCodec.decode(new FrameCodec.Parts(new LinkedHashMap<>(header), List.of())));
        header.put("cut", 2L);
        assertEquals(new Frame.Revived(7, Map.of("c", "t"), 2),
                FrameCodec.decode(new FrameCodec.Parts(new LinkedHashMap<>(header), List.of())));
        header.put("comms", Map.of("c", 1L));
        assertThrows(FrameException.class,
                () -> FrameCodec.decode(new FrameCodec.Parts(new LinkedHashMap<>(header), List.of())));
    }
}
