package dev.capsule.json;

import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// Reads one JSON value in UTF-8 (RFC 8259), and nothing that merely resembles one. Every cell has three; and the first
/// parser of Jackson's has Java work out large powers of five (`BigDecimal`), for a tenth of a kernel's start.
///
/// Values are maps in the order of their keys, lists, strings, `Long`s, `BigInteger`s where these do not suffice, `Double`s
/// for what has a fraction or an exponent, `Boolean`s and nulls.
public final class JsonReader {
    /// What else must hold.
    ///
    /// @param depth of objects and arrays in each other
    /// @param numberBytes of one number
    public record Limits(int depth, int numberBytes, Keys keys) {}

    /// What becomes of a key that comes again in its object.
    public enum Keys {
        /// It is refused.
        DISTINCT,
        /// Its last value counts.
        LAST
    }

    /// More digits may be too many for a `long`.
    private static final int LONG_DIGITS = 18;

    private final byte[] text;
    private final Limits limits;
    private int at;

    private JsonReader(byte[] text, Limits limits) {
        this.text = text;
        this.limits = limits;
    }

    /// @throws JsonException if the text is not exactly one value within the limits; so do the others
    public static @Nullable Object read(byte[] utf8, Limits limits) {
        var reader = new JsonReader(checked(utf8), limits);
        var value = reader.value(0);
        reader.end();
        return value;
    }

    /// Reads an object.
    public static Map<String, @Nullable Object> readObject(byte[] utf8, Limits limits) {
        return readObjectWithout("", utf8, limits);
    }

    /// The same, but the value of one key is only looked at, and is null.
    public static Map<String, @Nullable Object> readObjectWithout(String skipped, byte[] utf8, Limits limits) {
        var reader = new JsonReader(checked(utf8), limits);
        if (reader.next() != '{') {
            throw new JsonException("it is not an object");
        }
        var object = reader.object(1, skipped);
        reader.end();
        return object;
    }

    /// Looks at all of a value, and keeps nothing of it.
    ///
    /// @return its first byte, such as `{` for an object
    public static char check(byte[] utf8, Limits limits) {
        var reader = new JsonReader(checked(utf8), limits);
        char first = (char) reader.next();
        reader.skip(0);
        reader.end();
        return first;
    }

    private static byte[] checked(byte[] utf8) {
        int all = 0;
        for (byte b : utf8) {
            all |= b;
        }
        if (all < 0) {
            try {
                StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(utf8));
            } catch (CharacterCodingException e) {
                throw new JsonException("it is not UTF-8");
            }
        }
        return utf8;
    }

    private @Nullable Object value(int depth) {
        return switch (next()) {
            case '{' -> object(deeper(depth), "");
            case '[' -> array(deeper(depth));
            case '"' -> string();
            case 't' -> literal("true", true);
            case 'f' -> literal("false", false);
            case 'n' -> literal("null", null);
            default -> number();
        };
    }

    private void skip(int depth) {
        switch (next()) {
            case '{' -> skipObject(deeper(depth));
            case '[' -> skipArray(deeper(depth));
            case '"' -> {
                int _ = skipString();
            }
            case 't' -> literal("true", true);
            case 'f' -> literal("false", false);
            case 'n' -> literal("null", null);
            default -> skipNumber();
        }
    }

    private Map<String, @Nullable Object> object(int depth, String skipped) {
        var object = new LinkedHashMap<String, @Nullable Object>();
        at++;
        for (boolean more = next() != '}'; more; more = goesOn('}')) {
            String key = key();
            int before = object.size();
            if (key.equals(skipped) && !skipped.isEmpty()) {
                skip(depth);
                object.put(key, null);
            } else {
                object.put(key, value(depth));
            }
            requireNew(key, object.size() > before);
        }
        at++;
        return object;
    }

    private void skipObject(int depth) {
        Set<String> keys = new HashSet<>();
        at++;
        for (boolean more = next() != '}'; more; more = goesOn('}')) {
            String key = key();
            requireNew(key, keys.add(key));
            skip(depth);
        }
        at++;
    }

    private void requireNew(String key, boolean isNew) {
        if (!isNew && limits.keys == Keys.DISTINCT) {
            throw new JsonException("it has the key \"" + key + "\" twice");
        }
    }

    private String key() {
        if (next() != '"') {
            throw unexpected("a key");
        }
        String key = string();
        if (next() != ':') {
            throw unexpected("a colon");
        }
        at++;
        return key;
    }

    private List<@Nullable Object> array(int depth) {
        var array = new ArrayList<@Nullable Object>();
        at++;
        for (boolean more = next() != ']'; more; more = goesOn(']')) {
            array.add(value(depth));
        }
        at++;
        return array;
    }

    private void skipArray(int depth) {
        at++;
        for (boolean more = next() != ']'; more; more = goesOn(']')) {
            skip(depth);
        }
        at++;
    }

    /// Whether another element follows, rather than the end.
    private boolean goesOn(char end) {
        int next = next();
        if (next == ',') {
            at++;
            return true;
        }
        if (next != end) {
            throw unexpected("a comma or the end");
        }
        return false;
    }

    private int deeper(int depth) {
        if (depth == limits.depth) {
            throw new JsonException("it is nested deeper than " + limits.depth);
        }
        return depth + 1;
    }

    private String string() {
        int start = at + 1;
        int plainEnd = skipString();
        return at == plainEnd + 1
                ? new String(text, start, plainEnd - start, StandardCharsets.UTF_8)
                : unescaped(start, plainEnd);
    }

    /// @param end of what has no escapes
    private String unescaped(int start, int end) {
        var string = new StringBuilder(at - start);
        int from = start;
        int to = end;
        while (text[to] != '"') {
            string.append(new String(text, from, to - from, StandardCharsets.UTF_8));
            byte escaped = text[to + 1];
            to += 2;
            switch (escaped) {
                case 'b' -> string.append('\b');
                case 'f' -> string.append('\f');
                case 'n' -> string.append('\n');
                case 'r' -> string.append('\r');
                case 't' -> string.append('\t');
                case 'u' -> {
                    string.append((char) Integer.parseInt(new String(text, to, 4, StandardCharsets.US_ASCII), 16));
                    to += 4;
                }
                default -> string.append((char) escaped);
            }
            from = to;
            while (text[to] != '"' && text[to] != '\\') {
                to++;
            }
        }
        return string.append(new String(text, from, to - from, StandardCharsets.UTF_8)).toString();
    }

    /// @return where its first escape is, or its end when it has none
    private int skipString() {
        int plainEnd = -1;
        for (at++; peek() != '"'; at++) {
            if (text[at] == '\\') {
                plainEnd = plainEnd < 0 ? at : plainEnd;
                at++;
                skipEscape();
            } else if (text[at] >= 0 && text[at] < ' ') {
                throw unexpected("an escape for it");
            }
        }
        at++;
        return plainEnd < 0 ? at - 1 : plainEnd;
    }

    private void skipEscape() {
        switch (peek()) {
            case '"', '\\', '/', 'b', 'f', 'n', 'r', 't' -> {
            }
            case 'u' -> {
                for (int digit = 0; digit < 4; digit++) {
                    at++;
                    if (Character.digit(peek(), 16) < 0) {
                        throw unexpected("a hexadecimal digit");
                    }
                }
            }
            default -> throw unexpected("an escape");
        }
    }

    private Object number() {
        int start = at;
        boolean whole = skipNumber();
        String number = new String(text, start, at - start, StandardCharsets.US_ASCII);
        if (!whole) {
            return Double.valueOf(number);
        }
        if (number.length() <= LONG_DIGITS) {
            return Long.valueOf(number);
        }
        var integer = new BigInteger(number);
        return integer.bitLength() < Long.SIZE ? (Object) integer.longValue() : integer;
    }

    /// @return whether it has neither a fraction nor an exponent
    private boolean skipNumber() {
        int start = at;
        if (peek() == '-') {
            at++;
        }
        if (peek() == '0') {
            at++;
        } else {
            skipDigits("a value");
        }
        boolean whole = true;
        if (at < text.length && text[at] == '.') {
            at++;
            skipDigits("a digit");
            whole = false;
        }
        if (at < text.length && (text[at] == 'e' || text[at] == 'E')) {
            at++;
            if (peek() == '+' || peek() == '-') {
                at++;
            }
            skipDigits("a digit");
            whole = false;
        }
        if (at - start > limits.numberBytes) {
            throw new JsonException("it has a number of more than " + limits.numberBytes + " characters");
        }
        return whole;
    }

    private void skipDigits(String expected) {
        int start = at;
        while (at < text.length && text[at] >= '0' && text[at] <= '9') {
            at++;
        }
        if (at == start) {
            byte _ = peek();
            throw unexpected(expected);
        }
    }

    private @Nullable Object literal(String word, @Nullable Object value) {
        for (int i = 0; i < word.length(); i++) {
            if (peek() != word.charAt(i)) {
                throw unexpected("\"" + word + "\"");
            }
            at++;
        }
        return value;
    }

    /// The next byte that is no space.
    private byte next() {
        while (true) {
            byte next = peek();
            if (next != ' ' && next != '\n' && next != '\r' && next != '\t') {
                return next;
            }
            at++;
        }
    }

    private byte peek() {
        if (at >= text.length) {
            throw new JsonException("it ends in the midst of a value");
        }
        return text[at];
    }

    private void end() {
        while (at < text.length) {
            if (text[at] != ' ' && text[at] != '\n' && text[at] != '\r' && text[at] != '\t') {
                throw new JsonException("it goes on after its value, at byte " + at);
            }
            at++;
        }
    }

    private JsonException unexpected(String expected) {
        return new JsonException("byte %d is 0x%02x, where %s was expected".formatted(at, text[at], expected));
    }
}
