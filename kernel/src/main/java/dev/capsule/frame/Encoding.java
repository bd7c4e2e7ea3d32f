package dev.capsule.frame;

import dev.capsule.json.JsonException;
import dev.capsule.json.JsonReader;
import dev.capsule.json.JsonReader.Keys;
import dev.capsule.json.JsonReader.Limits;
import dev.capsule.json.JsonWriter;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// How the header of a frame is written: a map of strings, whole numbers, booleans, nulls, lists and maps
/// (`worker/PROTOCOL.md`, sections 2 and 5).
public enum Encoding {
    JSON("json") {
        @Override
        byte[] encode(Map<String, ? extends @Nullable Object> header) {
            return JsonWriter.of(header);
        }

        @Override
        Map<String, @Nullable Object> decode(byte[] header) {
            try {
                return JsonReader.readObject(header, LIMITS);
            } catch (JsonException e) {
                throw new FrameException("frame header is not valid JSON: " + e.getMessage(), e);
            }
        }
    },

    MESSAGE_PACK("msgpack") {
        @Override
        byte[] encode(Map<String, ? extends @Nullable Object> header) {
            return MessagePackHeader.encode(header);
        }

        @Override
        Map<String, @Nullable Object> decode(byte[] header) {
            return MessagePackHeader.decode(header);
        }
    };

    static final int MAX_DEPTH = 64;
    private static final int MAX_NUMBER_BYTES = 32;

    private static final Limits LIMITS = new Limits(MAX_DEPTH, MAX_NUMBER_BYTES, Keys.DISTINCT);

    private final String wireName;

    Encoding(String wireName) {
        this.wireName = wireName;
    }

    /// The name in `hello`.
    public String wireName() {
        return wireName;
    }

    /// @throws FrameException if no encoding has this name
    static Encoding named(String wireName) {
        for (var encoding : values()) {
            if (encoding.wireName.equals(wireName)) {
                return encoding;
            }
        }
        throw new FrameException("encoding \"" + wireName + "\" is not among those offered");
    }

    abstract byte[] encode(Map<String, ? extends @Nullable Object> header);

    /// @throws FrameException if the bytes are not exactly one map within the limits
    abstract Map<String, @Nullable Object> decode(byte[] header);

    /// @throws FrameException if the bytes are not exactly one JSON value in UTF-8
    static void checkJson(String what, byte[] value) {
        char _ = first(what, value);
    }

    /// @param start its first character: of an object or an array
    /// @throws FrameException if the bytes are not exactly one such JSON value in UTF-8
    static void checkJson(String what, byte[] value, char start) {
        if (value.length == 2 && value[0] == '{' && value[1] == '}' && start == '{') {
            return;
        }
        if (first(what, value) != start) {
            throw new FrameException("%s does not begin with %s".formatted(what, start));
        }
    }

    private static char first(String what, byte[] value) {
        try {
            return JsonReader.check(value, LIMITS);
        } catch (JsonException e) {
            throw new FrameException(what + " is not valid JSON: " + e.getMessage(), e);
        }
    }

    /// @param utf8 of which what is malformed becomes U+FFFD
    static byte[] jsonString(byte[] utf8) {
        if (!isPlain(utf8)) {
            return JsonWriter.of(new String(utf8, StandardCharsets.UTF_8));
        }
        byte[] json = new byte[utf8.length + 2];
        json[0] = '"';
        System.arraycopy(utf8, 0, json, 1, utf8.length);
        json[json.length - 1] = '"';
        return json;
    }

    /// Whether a JSON string has the same bytes.
    private static boolean isPlain(byte[] utf8) {
        for (byte b : utf8) {
            if (b < ' ' || b == '"' || b == '\\') {
                return false;
            }
        }
        return true;
    }

    /// @param value one JSON value that [#checkJson] has passed
    static @Nullable Object readValue(byte[] value) {
        try {
            return JsonReader.read(value, LIMITS);
        } catch (JsonException e) {
            throw new FrameException("not valid JSON: " + e.getMessage(), e);
        }
    }
}
