package dev.capsule.frame;

import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// Writes JSON as Python's json does: in ASCII, without spaces. Each cell has a header, and a generator of Jackson's costs
/// more to make than that to write.
final class JsonText {
    private static final int INITIAL_BYTES = 256;
    private static final byte[] HEX_DIGITS = "0123456789abcdef".getBytes(StandardCharsets.US_ASCII);

    private byte[] bytes = new byte[INITIAL_BYTES];
    private int length;

    private JsonText() {}

    /// @param value of strings, numbers, booleans, nulls, lists, and maps of strings to such values
    static byte[] of(@Nullable Object value) {
        var text = new JsonText();
        text.write(value);
        return Arrays.copyOf(text.bytes, text.length);
    }

    private void write(@Nullable Object value) {
        switch (value) {
            case null -> ascii("null");
            case String string -> string(string);
            case Boolean bool -> ascii(bool.toString());
            case Integer number -> ascii(number.toString());
            case Long number -> ascii(number.toString());
            case BigInteger number -> ascii(number.toString());
            case Double number when Double.isFinite(number) -> ascii(number.toString());
            // JSON has none of these.
            case Double number -> string(number.toString());
            case List<?> list -> {
                char before = '[';
                for (Object element : list) {
                    ascii(before);
                    write(element);
                    before = ',';
                }
                ascii(list.isEmpty() ? "[]" : "]");
            }
            case Map<?, ?> map -> {
                char before = '{';
                for (var entry : map.entrySet()) {
                    ascii(before);
                    string((String) entry.getKey());
                    ascii(':');
                    write(entry.getValue());
                    before = ',';
                }
                ascii(map.isEmpty() ? "{}" : "}");
            }
            default -> throw new IllegalArgumentException("no header holds a " + value.getClass());
        }
    }

    private void string(String string) {
        ascii('"');
        for (int i = 0; i < string.length(); i++) {
            char c = string.charAt(i);
            switch (c) {
                case '"' -> ascii("\\\"");
                case '\\' -> ascii("\\\\");
                case '\n' -> ascii("\\n");
                case '\r' -> ascii("\\r");
                case '\t' -> ascii("\\t");
                case '\b' -> ascii("\\b");
                case '\f' -> ascii("\\f");
                default -> {
                    if (c >= ' ' && c <= '~') {
                        ascii(c);
                    } else {
                        escape(c);
                    }
                }
            }
        }
        ascii('"');
    }

    private void escape(char c) {
        ascii("\\u");
        for (int shift = 12; shift >= 0; shift -= 4) {
            ascii((char) HEX_DIGITS[c >> shift & 0xf]);
        }
    }

    private void ascii(String text) {
        for (int i = 0; i < text.length(); i++) {
            ascii(text.charAt(i));
        }
    }

    private void ascii(char c) {
        if (length == bytes.length) {
            bytes = Arrays.copyOf(bytes, Math.multiplyExact(2, length));
        }
        bytes[length++] = (byte) c;
    }
}
