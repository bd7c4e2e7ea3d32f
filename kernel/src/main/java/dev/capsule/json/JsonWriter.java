package dev.capsule.json;

import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// Writes one JSON text (RFC 8259) piece by piece, without spaces. Jackson's takes a starting kernel time and memory, and each
/// message a generator that costs more to make than the message to write. That the pieces make up a JSON text is up to the
/// caller. Half of a surrogate pair, which UTF-8 has no bytes for, is written as an escape.
public final class JsonWriter {
    private static final int INITIAL_BYTES = 256;
    private static final byte[] HEX_DIGITS = "0123456789abcdef".getBytes(StandardCharsets.US_ASCII);
    private static final int DELETE = 0x7f;
    /// The longest array that a JVM makes.
    private static final int MAX_BYTES = Integer.MAX_VALUE - 8;

    private final boolean asciiOnly;
    private byte[] bytes = new byte[INITIAL_BYTES];
    private int length;
    /// Whether a comma comes before the next piece.
    private boolean follows;

    private JsonWriter(boolean asciiOnly) {
        this.asciiOnly = asciiOnly;
    }

    /// One that writes letters as they are, in UTF-8.
    public static JsonWriter utf8() {
        return new JsonWriter(false);
    }

    /// One that writes an escape for whatever is not of ASCII, as Python's json does.
    public static JsonWriter ascii() {
        return new JsonWriter(true);
    }

    /// @param value of strings, numbers, booleans, nulls, lists, and maps of strings to such values
    /// @return it in ASCII
    /// @throws IllegalArgumentException if there is anything else in it
    public static byte[] of(@Nullable Object value) {
        var json = ascii();
        json.tree(value);
        return json.toBytes();
    }

    /// What has been written.
    public byte[] toBytes() {
        return Arrays.copyOf(bytes, length);
    }

    public void startObject() {
        start('{');
    }

    public void startObject(String name) {
        name(name);
        start('{');
    }

    public void endObject() {
        end('}');
    }

    public void startArray() {
        start('[');
    }

    public void startArray(String name) {
        name(name);
        start('[');
    }

    public void endArray() {
        end(']');
    }

    public void field(String name, @Nullable String value) {
        name(name);
        value(value);
    }

    public void field(String name, long value) {
        name(name);
        value(value);
    }

    public void field(String name, double value) {
        name(name);
        value(value);
    }

    public void field(String name, boolean value) {
        name(name);
        piece(value ? "true" : "false");
    }

    /// @param json copied as it is
    public void rawField(String name, byte[] json) {
        name(name);
        separate();
        copy(json, 0, json.length);
    }

    /// @param ascii text; to say so spares the way by a string
    public void asciiField(String name, byte[] ascii) {
        name(name);
        separate();
        quote(ascii);
    }

    public void value(@Nullable String value) {
        if (value == null) {
            piece("null");
        } else {
            separate();
            string(value);
        }
    }

    public void value(long value) {
        piece(Long.toString(value));
    }

    /// Of what JSON has no number for, the name as a string.
    public void value(double value) {
        if (Double.isFinite(value)) {
            piece(Double.toString(value));
        } else {
            value(Double.toString(value));
        }
    }

    private void tree(@Nullable Object value) {
        switch (value) {
            case null -> piece("null");
            case String string -> value(string);
            case Boolean bool -> piece(bool.toString());
            case Integer number -> piece(number.toString());
            case Long number -> piece(number.toString());
            case BigInteger number -> piece(number.toString());
            case Double number -> value(number.doubleValue());
            case List<?> list -> {
                startArray();
                list.forEach(this::tree);
                endArray();
            }
            case Map<?, ?> map -> {
                startObject();
                map.forEach((key, element) -> {
                    name((String) key);
                    tree(element);
                });
                endObject();
            }
            default -> throw new IllegalArgumentException("JSON has no " + value.getClass());
        }
    }

    private void start(char bracket) {
        separate();
        put(bracket);
        follows = false;
    }

    private void end(char bracket) {
        put(bracket);
        follows = true;
    }

    private void name(String name) {
        separate();
        string(name);
        put(':');
        follows = false;
    }

    private void separate() {
        if (follows) {
            put(',');
        }
        follows = true;
    }

    private void piece(String ascii) {
        separate();
        put(ascii);
    }

    private void string(String string) {
        byte[] utf8 = string.getBytes(StandardCharsets.UTF_8);
        // In ASCII there are as many bytes as characters. So there are with a half, which has become a question mark.
        if ((asciiOnly && utf8.length != string.length()) || hasHalves(string)) {
            escape(string);
        } else {
            quote(utf8);
        }
    }

    private static boolean hasHalves(String string) {
        for (int i = 0; i < string.length(); i++) {
            char c = string.charAt(i);
            if (Character.isSurrogate(c)) {
                if (Character.isLowSurrogate(c) || i + 1 == string.length()
                        || !Character.isLowSurrogate(string.charAt(i + 1))) {
                    return true;
                }
                i++;
            }
        }
        return false;
    }

    private void quote(byte[] utf8) {
        room(utf8.length + 2);
        put('"');
        int copied = 0;
        for (int i = 0; i < utf8.length; i++) {
            byte b = utf8[i];
            if (b < ' ' ? b >= 0 : b == '"' || b == '\\' || b == DELETE) {
                copy(utf8, copied, i);
                escape((char) b);
                copied = i + 1;
            }
        }
        copy(utf8, copied, utf8.length);
        put('"');
    }

    private void escape(String string) {
        put('"');
        for (int i = 0; i < string.length(); i++) {
            char c = string.charAt(i);
            if (c >= ' ' && c < DELETE && c != '"' && c != '\\') {
                put(c);
            } else {
                escape(c);
            }
        }
        put('"');
    }

    private void escape(char c) {
        switch (c) {
            case '"' -> put("\\\"");
            case '\\' -> put("\\\\");
            case '\n' -> put("\\n");
            case '\r' -> put("\\r");
            case '\t' -> put("\\t");
            case '\b' -> put("\\b");
            case '\f' -> put("\\f");
            default -> {
                put("\\u");
                for (int shift = 12; shift >= 0; shift -= 4) {
                    put((char) HEX_DIGITS[c >> shift & 0xf]);
                }
            }
        }
    }

    private void copy(byte[] from, int start, int end) {
        room(end - start);
        System.arraycopy(from, start, bytes, length, end - start);
        length += end - start;
    }

    private void put(String ascii) {
        for (int i = 0; i < ascii.length(); i++) {
            put(ascii.charAt(i));
        }
    }

    private void put(char c) {
        if (length == bytes.length) {
            room(1);
        }
        bytes[length++] = (byte) c;
    }

    private void room(int more) {
        int needed = Math.addExact(length, more);
        if (needed > bytes.length) {
            bytes = Arrays.copyOf(bytes, (int) Math.min(Math.max(needed, 2L * bytes.length), MAX_BYTES));
        }
    }
}
