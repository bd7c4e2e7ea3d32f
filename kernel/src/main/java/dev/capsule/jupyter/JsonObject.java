package dev.capsule.jupyter;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/// The fields of a parsed JSON object, read by name and type.
///
/// @param what names the object in errors
record JsonObject(String what, Map<String, @Nullable Object> fields) {

    /// @throws WireException if the field is absent, not a string, or has half of a character; so do all readers
    ///     without a default
    String string(String name) {
        return whole(name, require(name, String.class, "a string"));
    }

    String string(String name, String absent) {
        return fields.get(name) == null ? absent : string(name);
    }

    Optional<String> optionalString(String name) {
        return fields.get(name) == null ? Optional.empty() : Optional.of(string(name));
    }

    boolean bool(String name, boolean absent) {
        return fields.get(name) == null ? absent : require(name, Boolean.class, "a boolean");
    }

    /// @throws WireException if the field is absent or not a number that fits an `int`
    int integer(String name) {
        var number = require(name, Number.class, "an integer");
        if (number.longValue() != number.intValue() || number.doubleValue() != number.intValue()) {
            throw new WireException("%s: %s is %s, not an integer of 32 bits".formatted(what, name, number));
        }
        return number.intValue();
    }

    int integer(String name, int absent) {
        return fields.get(name) == null ? absent : integer(name);
    }

    /// @return the field as an object; one without fields when it is absent or something else
    JsonObject object(String name) {
        var object = new LinkedHashMap<String, @Nullable Object>();
        if (fields.get(name) instanceof Map<?, ?> map) {
            map.forEach((key, value) -> object.put(String.valueOf(key), value));
        }
        return new JsonObject(what + "." + name, object);
    }

    /// @return the field as strings by name; empty when absent
    Map<String, String> strings(String name) {
        if (fields.get(name) == null) {
            return Map.of();
        }
        var strings = new LinkedHashMap<String, String>();
        for (Map.Entry<?, ?> entry : ((Map<?, ?>) require(name, Map.class, "an object")).entrySet()) {
            if (!(entry.getKey() instanceof String key) || !(entry.getValue() instanceof String value)) {
                throw new WireException("%s: %s has a value that is not a string".formatted(what, name));
            }
            strings.put(whole(name, key), whole(name, value));
        }
        return strings;
    }

    /// @return the field as a list of strings; empty when absent
    List<String> stringList(String name) {
        if (fields.get(name) == null) {
            return List.of();
        }
        var strings = new ArrayList<String>();
        for (Object value : require(name, List.class, "an array")) {
            if (!(value instanceof String string)) {
                throw new WireException("%s: %s has an element that is not a string".formatted(what, name));
            }
            strings.add(whole(name, string));
        }
        return strings;
    }

    /// JSON can escape half of a surrogate pair, for which UTF-8 has no bytes: others would get a question mark.
    private String whole(String name, String string) {
        for (int i = 0; i < string.length(); i++) {
            int codePoint = string.codePointAt(i);
            if (codePoint >= Character.MIN_SURROGATE && codePoint <= Character.MAX_SURROGATE) {
                throw new WireException("%s: %s has half of a surrogate pair, \\u%04x, at character %,d".formatted(what,
                        name, codePoint, string.codePointCount(0, i)));
            }
            i += Character.charCount(codePoint) - 1;
        }
        return string;
    }

    private <T> T require(String name, Class<T> type, String expected) {
        Object value = fields.get(name);
        if (!type.isInstance(value)) {
            throw new WireException(value == null
                    ? "%s has no %s".formatted(what, name)
                    : "%s: %s is not %s".formatted(what, name, expected));
        }
        return type.cast(value);
    }
}
