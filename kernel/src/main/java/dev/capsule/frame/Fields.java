package dev.capsule.frame;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/// The fields of a frame's header, read by name and type. Every reader throws [FrameException] if the field is not of
/// its type, and, unless it is optional, if it is absent.
public final class Fields {
    private final Map<String, @Nullable Object> header;

    Fields(Map<String, @Nullable Object> header) {
        this.header = header;
    }

    boolean has(String name) {
        return header.containsKey(name);
    }

    public String string(String name) {
        return require(name, String.class, "a string");
    }

    public Optional<String> optionalString(String name) {
        return header.get(name) == null ? Optional.empty() : Optional.of(string(name));
    }

    public boolean bool(String name) {
        return require(name, Boolean.class, "a boolean");
    }

    boolean bool(String name, boolean absent) {
        return header.get(name) == null ? absent : bool(name);
    }

    /// A whole number from 0 to 2³¹ − 1.
    public int integer(String name) {
        return integer(name, require(name, Long.class, "a whole number"));
    }

    private static int integer(String name, long number) {
        if (number < 0 || number > Integer.MAX_VALUE) {
            throw new FrameException("frame header: %s is %d, not from 0 to %d".formatted(name, number,
                    Integer.MAX_VALUE));
        }
        return (int) number;
    }

    /// Each as [#integer].
    public List<Integer> integers(String name) {
        return list(name, Long.class, "whole numbers").stream().map(number -> integer(name, number)).toList();
    }

    /// @return empty where there are none
    public List<String> optionalStrings(String name) {
        return has(name) ? strings(name) : List.of();
    }

    public List<String> strings(String name) {
        return list(name, String.class, "strings");
    }

    <T> List<T> list(String name, Class<T> type, String expected) {
        var elements = new ArrayList<T>();
        for (Object element : require(name, List.class, "a list")) {
            if (!type.isInstance(element)) {
                throw new FrameException("frame header: %s is not a list of %s".formatted(name, expected));
            }
            elements.add(type.cast(element));
        }
        return elements;
    }

    Fields object(String name) {
        Map<?, ?> map = require(name, Map.class, "a map");
        var fields = new LinkedHashMap<String, @Nullable Object>();
        map.forEach((key, value) -> fields.put((String) key, value));
        return new Fields(fields);
    }

    Map<String, String> stringMap(String name) {
        var strings = new LinkedHashMap<String, String>();
        object(name).header.forEach((key, value) -> {
            if (!(value instanceof String string)) {
                throw new FrameException("frame header: %s is not a map of strings".formatted(name));
            }
            strings.put(key, string);
        });
        return strings;
    }

    private <T> T require(String name, Class<T> type, String expected) {
        Object value = header.get(name);
        if (!type.isInstance(value)) {
            throw new FrameException(value == null
                    ? "frame header has no %s".formatted(name)
                    : "frame header: %s is not %s".formatted(name, expected));
        }
        return type.cast(value);
    }

    /// Reads `mimes` and `forms` of the header and the values and metadata in the buffers.
    public MimeBundle bundle(List<byte[]> buffers) {
        var forms = strings("forms").stream().map(Fields::form).toList();
        if (buffers.isEmpty()) {
            throw new FrameException("frame with MIME types has no buffers");
        }
        return new MimeBundle(strings("mimes"), forms, buffers.subList(0, buffers.size() - 1), buffers.getLast());
    }

    private static MimeBundle.Form form(String name) {
        return switch (name) {
            case "text" -> MimeBundle.Form.TEXT;
            case "base64" -> MimeBundle.Form.BASE64;
            case "json" -> MimeBundle.Form.JSON;
            default -> throw new FrameException("form \"" + name + "\" is not text, base64 or json");
        };
    }
}
