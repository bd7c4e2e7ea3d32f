package dev.capsule.json;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class JsonWriterTest {
    private static String json(Object value) {
        return new String(JsonWriter.of(value), US_ASCII);
    }

    @Test
    void writesWhatPythonWrites() {
        // json.dumps(…, separators=(",", ":"))
        var map = new LinkedHashMap<String, Object>();
        map.put("a",
                Arrays.asList(1, -2L, true, null, List.of(), Map.of(), 0.5, new BigInteger("18446744073709551616")));
        map.put("é", "\"\\/\b\f\n\r\t\u0000\u001f ~\u007f\u0080\u2028\ud83d\ude00");
        assertEquals("{\"a\":[1,-2,true,null,[],{},0.5,18446744073709551616],\"\\u00e9\":"
                + "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f ~\\u007f\\u0080\\u2028\\ud83d\\ude00\"}", json(map));
    }

    @Test
    void whatIsWrittenIsReadAsTheSame() throws IOException {
        var strings = new ArrayList<String>();
        for (int c = 0; c <= Character.MAX_VALUE; c++) {
            strings.add("x" + (char) c);
        }
        assertEquals(strings, new ObjectMapper().readValue(JsonWriter.of(strings), List.class));
    }

    @Test
    void aNumberThatJsonDoesNotHaveIsAString() {
        // A worker can send 1e999 where any JSON may stand.
        assertEquals("[\"Infinity\",\"-Infinity\",\"NaN\"]",
                json(List.of(Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY, Double.NaN)));
    }

    @Test
    void anotherObjectIsRefused() {
        assertThrows(IllegalArgumentException.class, () -> json(List.of('c')));
    }

    @Test
    void writesPieceByPiece() throws IOException {
        var json = JsonWriter.utf8();
        json.startObject();
        json.field("text", "a\"\n\u007f é😀");
        json.startArray("list");
        json.value(-1);
        json.startObject();
        json.endObject();
        json.startArray();
        json.value("x");
        json.value(null);
        json.endArray();
        json.endArray();
        json.startObject("object");
        json.field("yes", true);
        json.field("half", 0.5);
        json.field("none", Double.NaN);
        json.field("é", Long.MIN_VALUE);
        json.endObject();
        json.rawField("raw", "{\"a\":[]}".getBytes(US_ASCII));
        json.asciiField("ascii", "one\ntwo\\".getBytes(US_ASCII));
        json.endObject();
        assertEquals("{\"text\":\"a\\\"\\n\\u007f é😀\",\"list\":[-1,{},[\"x\",null]],"
                + "\"object\":{\"yes\":true,\"half\":0.5,\"none\":\"NaN\",\"é\":-9223372036854775808},"
                + "\"raw\":{\"a\":[]},\"ascii\":\"one\\ntwo\\\\\"}", new String(json.toBytes(), UTF_8));
        new ObjectMapper().readTree(json.toBytes());
    }

    /// Python has such strings, and so may a cell's error; UTF-8 has no bytes for them, and Jackson refused to write them.
    @Test
    void halfASurrogatePairIsKept() throws IOException {
        for (var text : List.of("\ud83d", "é\ud83dx", "\ude00\ud83d\ude00", "a\ude00")) {
            var json = JsonWriter.utf8();
            json.startArray();
            json.value(text);
            json.endArray();
            assertEquals(List.of(text), new ObjectMapper().readValue(json.toBytes(), List.class));
        }
    }

    @Test
    void aLongTextIsWrittenWhole() throws IOException {
        String text = "line\n".repeat(100_000) + "ü".repeat(100_000);
        for (var json : List.of(JsonWriter.utf8(), JsonWriter.ascii())) {
            json.startArray();
            json.value(text);
            json.endArray();
            assertEquals(List.of(text), new ObjectMapper().readValue(json.toBytes(), List.class));
        }
    }
}
