package dev.capsule.frame;

import static java.nio.charset.StandardCharsets.US_ASCII;
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

class JsonTextTest {
    private static String json(Object value) {
        return new String(JsonText.of(value), US_ASCII);
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
        assertEquals(strings, new ObjectMapper().readValue(JsonText.of(strings), List.class));
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
}
