package dev.capsule.json;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.capsule.json.JsonReader.Keys;
import dev.capsule.json.JsonReader.Limits;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class JsonReaderTest {
    private static final Limits LIMITS = new Limits(64, 32, Keys.DISTINCT);
    private static final Limits LAST = new Limits(64, 32, Keys.LAST);

    /// A foreign judge.
    private static final ObjectMapper JACKSON = JsonMapper.builder()
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS).enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .build();

    private static final String INSERTED = "{}[]\",:\\0123e.-+ \ntfn\u0001a";

    private static @Nullable Object read(String json) {
        return JsonReader.read(json.getBytes(UTF_8), LIMITS);
    }

    @Test
    void readsEveryKindOfValue() {
        var expected = new LinkedHashMap<String, @Nullable Object>();
        expected.put("text", "a\"\\/\b\f\n\r\t\u00e9\ud83d\ude00z");
        expected.put("numbers", List.of(0L, -1L, Long.MAX_VALUE, new BigInteger("9223372036854775808"), 1.0, -2.5e-3));
        expected.put("words", Arrays.asList(true, false, null));
        expected.put("nothing", List.of(Map.of(), List.of(), ""));
        assertEquals(expected, read("""
                 {"text":"a\\"\\\\\\/\\b\\f\\n\\r\\t\u00e9\\ud83d\\uDE00z" ,
                "numbers" : [0, -1, 9223372036854775807,9223372036854775808, 1.0, -2.5E-3],\r
                "words":[ true,false,null ],\t"nothing":[{ },[ ],""]}\s
                """));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", " ", "{", "[", "\"", "\"a", "\"\\", "\"\\u12", "tru", "nul", "-", "1.", "1e", "01",
            "-01", "+1", ".5",
            "0x1", "NaN", "Infinity", "-Infinity", "'a'", "[1,]", "[,1]", "[1 2]", "{\"a\":1,}", "{\"a\" 1}", "{a:1}",
            "{1:1}",
            "{\"a\"}", "1 2", "{} x", "[]]", "\"\t\"", "\"\u0000\"", "\"\\x\"", "\"\\u12g4\"", "/**/1", "\ufeff1",
            "\u00a01", "truex"})
    void refusesWhatOnlyResemblesJson(String text) {
        assertThrows(JsonException.class, () -> read(text));
        assertThrows(JsonException.class, () -> JsonReader.check(text.getBytes(UTF_8), LIMITS));
    }

    @Test
    void refusesWhatIsNotUtf8() {
        // An overlong slash, an encoded surrogate, a lone continuation, one byte of Latin-1.
        for (byte[] inside : List.of(new byte[]{(byte) 0xc0, (byte) 0xaf},
                new byte[]{(byte) 0xed, (byte) 0xa0, (byte) 0x80},
                new byte[]{(byte) 0x80}, new byte[]{(byte) 0xe9})) {
            byte[] text = ByteBuffer.allocate(inside.length + 2).put((byte) '"').put(inside).put((byte) '"').array();
            assertEquals("it is not UTF-8",
                    assertThrows(JsonException.class, () -> JsonReader.read(text, LIMITS)).getMessage());
        }
    }

    @Test
    void holdsTheLimits() {
        assertEquals('[', JsonReader.check(("[".repeat(64) + "]".repeat(64)).getBytes(UTF_8), LIMITS));
        for (String deep : List.of("[".repeat(65) + "]".repeat(65), "{\"a\":".repeat(65) + "1" + "}".repeat(65))) {
            assertEquals("it is nested deeper than 64",
                    assertThrows(JsonException.class, () -> read(deep)).getMessage());
            assertThrows(JsonException.class, () -> JsonReader.check(deep.getBytes(UTF_8), LIMITS));
        }
        assertEquals(new BigInteger("1".repeat(32)), read("1".repeat(32)));
        assertEquals("it has a number of more than 32 characters",
                assertThrows(JsonException.class, () -> read("1".repeat(33))).getMessage());
    }

    @Test
    void aKeyThatComesTwiceIsRefusedOrReplaced() {
        byte[] twice = "{\"a\":1,\"b\":2,\"\\u0061\":3}".getBytes(UTF_8);
        assertEquals("it has the key \"a\" twice",
                assertThrows(JsonException.class, () -> JsonReader.readObject(twice, LIMITS)).getMessage());
        assertThrows(JsonException.class, () -> JsonReader.check(twice, LIMITS));
        assertEquals(Map.of("a", 3L, "b", 2L), JsonReader.readObject(twice, LAST));
    }

    @Test
    void aSkippedValueIsCheckedAndNotKept() {
        var expected = new LinkedHashMap<String, @Nullable Object>();
        expected.put("data", null);
        expected.put("id", "x");
        assertEquals(expected, JsonReader.readObjectWithout("data",
                "{\"data\":{\"a\":[1,\"\\n\"]},\"id\":\"x\"}".getBytes(UTF_8), LAST));
        assertThrows(JsonException.class,
                () -> JsonReader.readObjectWithout("data", "{\"data\":[1,],\"id\":\"x\"}".getBytes(UTF_8), LAST));
    }

    @Test
    void anObjectIsWantedWhereOneIs() {
        assertThrows(JsonException.class, () -> JsonReader.readObject("[]".getBytes(UTF_8), LIMITS));
        assertEquals('{', JsonReader.check(" {}".getBytes(UTF_8), LIMITS));
        assertEquals('"', JsonReader.check("\"\"".getBytes(UTF_8), LIMITS));
    }

    @Test
    void errorsSayWhere() {
        assertEquals("byte 5 is 0x78, where a value was expected",
                assertThrows(JsonException.class, () -> read("{\"a\":x}")).getMessage());
        assertEquals("it goes on after its value, at byte 2",
                assertThrows(JsonException.class, () -> read("1 2")).getMessage());
    }

    @Test
    void agreesWithJackson() throws IOException {
        var random = new Random(1);
        int accepted = 0;
        for (int round = 0; round < 20_000; round++) {
            byte[] text = (random.nextInt(8) == 0 ? " " : "").concat(document(random, 0)).getBytes(UTF_8);
            for (int change = random.nextInt(3); change > 0; change--) {
                text[random.nextInt(text.length)] = (byte) INSERTED.charAt(random.nextInt(INSERTED.length()));
            }
            accepted += compare(text) ? 1 : 0;
        }
        // Neither all nor none.
        assertEquals(0.6, accepted / 20_000.0, 0.2);
    }

    private static boolean compare(byte[] text) throws IOException {
        Object expected;
        try {
            UTF_8.newDecoder().decode(ByteBuffer.wrap(text));
            expected = widened(JACKSON.readValue(text, Object.class));
        } catch (CharacterCodingException | com.fasterxml.jackson.core.JacksonException e) {
            assertThrows(JsonException.class, () -> JsonReader.read(text, LIMITS), () -> new String(text, UTF_8));
            assertThrows(JsonException.class, () -> JsonReader.check(text, LIMITS), () -> new String(text, UTF_8));
            return false;
        }
        assertEquals(expected, JsonReader.read(text, LIMITS), () -> new String(text, UTF_8));
        char _ = JsonReader.check(text, LIMITS);
        return true;
    }

    /// With a `Long` for each `Integer`.
    private static @Nullable Object widened(@Nullable Object value) {
        return switch (value) {
            case Integer number -> number.longValue();
            case List<?> list ->
                list.stream().map(JsonReaderTest::widened).collect(Collectors.toCollection(ArrayList::new));
            case Map<?, ?> map -> {
                var widened = new LinkedHashMap<@Nullable Object, @Nullable Object>();
                map.forEach((key, each) -> widened.put(key, widened(each)));
                yield widened;
            }
            case null, default -> value;
        };
    }

    private static String document(Random random, int depth) {
        return switch (random.nextInt(depth > 4 ? 6 : 9)) {
            case 0 -> Long.toString(random.nextLong() >> random.nextInt(64));
            case 1 -> Double.toString(random.nextGaussian() * Math.pow(10, random.nextInt(40) - 20));
            case 2 -> List.of("true", "false", "null").get(random.nextInt(3));
            case 3 -> BigInteger.valueOf(random.nextLong()).shiftLeft(random.nextInt(30)).toString();
            case 4, 5 -> string(random);
            case 6, 7 -> elements(random, depth, false);
            default -> elements(random, depth, true);
        };
    }

    private static String elements(Random random, int depth, boolean named) {
        var elements = new ArrayList<String>();
        for (int left = random.nextInt(4); left > 0; left--) {
            elements.add((named ? string(random) + ":" : "") + document(random, depth + 1));
        }
        String inside = String.join(random.nextBoolean() ? "," : " , ", elements);
        return named ? "{" + inside + "}" : "[" + inside + "]";
    }

    private static String string(Random random) {
        var string = new StringBuilder("\"");
        for (int left = random.nextInt(6); left > 0; left--) {
            string.append(List
                    .of("a", "key", "\\n", "\\\"", "\\\\", "\\u00e9", "\u00e9", "\ud83d\ude00", "/",
                            "{", "]")
                    .get(random.nextInt(11)));
        }
        return string.append('"').toString();
    }
}
