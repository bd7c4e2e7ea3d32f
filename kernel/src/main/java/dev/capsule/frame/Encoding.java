package dev.capsule.frame;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.msgpack.core.MessagePack;
import org.msgpack.core.MessagePacker;
import org.msgpack.core.MessageUnpacker;

/// How the header of a frame is written: a map of strings, whole numbers, booleans, nulls, lists and maps
/// (`worker/PROTOCOL.md`, sections 2 and 5).
public enum Encoding {
    JSON("json") {
        @Override
        byte[] encode(Map<String, ? extends @Nullable Object> header) {
            return JsonText.of(header);
        }

        @Override
        Map<String, @Nullable Object> decode(byte[] header) {
            try (var json = READER.createParser(checkUtf8(header))) {
                if (json.nextToken() == JsonToken.START_OBJECT) {
                    var map = readMap(json);
                    if (json.nextToken() == null) {
                        return map;
                    }
                }
                throw new FrameException("frame header is not one JSON object");
            } catch (IOException e) {
                throw new FrameException("frame header is not valid JSON: " + firstLine(e), e);
            }
        }
    },

    MESSAGE_PACK("msgpack") {
        @Override
        byte[] encode(Map<String, ? extends @Nullable Object> header) {
            try (var packer = MessagePack.newDefaultBufferPacker()) {
                pack(packer, header);
                return packer.toByteArray();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        @Override
        Map<String, @Nullable Object> decode(byte[] header) {
            try (var unpacker = MessagePack.newDefaultUnpacker(header)) {
                if (unpack(unpacker, 1) instanceof Map<?, ?> map && !unpacker.hasNext()) {
                    return withStringKeys(map);
                }
                throw new FrameException("frame header is not one MessagePack map");
            } catch (IOException | RuntimeException e) {
                // msgpack-core reports bad bytes by several unchecked exceptions of its own.
                throw e instanceof FrameException refusal
                        ? refusal
                        : new FrameException("frame header is not valid MessagePack: " + firstLine(e), e);
            }
        }
    };

    static final int MAX_DEPTH = 64;
    private static final int MAX_NUMBER_CHARS = 32;

    private static final JsonFactory FACTORY = JsonFactory.builder()
            .streamReadConstraints(StreamReadConstraints.builder().maxNestingDepth(MAX_DEPTH)
                    .maxNumberLength(MAX_NUMBER_CHARS).maxStringLength(Integer.MAX_VALUE).build())
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build();

    /// For whom notices a key that comes twice itself, which is cheaper.
    private static final JsonFactory READER = FACTORY.rebuild().disable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .build();

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

    /// @param start of what the value is to be; any value where it is [JsonToken#NOT_AVAILABLE]
    /// @throws FrameException if the bytes are not exactly one such JSON value in UTF-8
    static void checkJson(String what, byte[] value, JsonToken start) {
        if (value.length == 2 && value[0] == '{' && value[1] == '}' && start == JsonToken.START_OBJECT) {
            return;
        }
        try (var json = FACTORY.createParser(checkUtf8(value))) {
            var first = json.nextToken();
            if (first == null || (start != JsonToken.NOT_AVAILABLE && first != start)) {
                throw new FrameException(what + " does not begin with " + start);
            }
            // A number or string is checked only when it is looked at; skipping looks at everything.
            json.skipChildren();
            json.finishToken();
            if (json.nextToken() != null) {
                throw new FrameException(what + " is more than one JSON value");
            }
        } catch (IOException e) {
            throw new FrameException(what + " is not valid JSON: " + firstLine(e), e);
        }
    }

    /// @param utf8 of which what is malformed becomes U+FFFD
    static byte[] jsonString(byte[] utf8) {
        if (!isPlain(utf8)) {
            return JsonText.of(new String(utf8, StandardCharsets.UTF_8));
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

    /// Jackson takes overlong forms and encoded surrogates, which other readers of the same bytes may not.
    private static byte[] checkUtf8(byte[] text) throws CharacterCodingException {
        int all = 0;
        for (byte b : text) {
            all |= b;
        }
        if (all < 0) {
            StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(text));
        }
        return text;
    }

    /// @param value one JSON value that [#checkJson] has passed
    static @Nullable Object readValue(byte[] value) {
        try (var json = FACTORY.createParser(value)) {
            json.nextToken();
            return readJson(json);
        } catch (IOException e) {
            throw new FrameException("not valid JSON: " + firstLine(e), e);
        }
    }

    private static String firstLine(Exception e) {
        String message = String.valueOf(e.getMessage());
        return message.lines().findFirst().orElse(message);
    }

    private static Map<String, @Nullable Object> withStringKeys(Map<?, ?> map) {
        var header = new LinkedHashMap<String, @Nullable Object>();
        map.forEach((key, value) -> header.put((String) key, value));
        return header;
    }

    private static Map<String, @Nullable Object> readMap(JsonParser json) throws IOException {
        var map = new LinkedHashMap<String, @Nullable Object>();
        for (String name = json.nextFieldName(); name != null; name = json.nextFieldName()) {
            json.nextToken();
            int before = map.size();
            map.put(name, readJson(json));
            if (map.size() == before) {
                throw new FrameException("frame header has the key \"" + name + "\" twice");
            }
        }
        return map;
    }

    private static @Nullable Object readJson(JsonParser json) throws IOException {
        return switch (json.currentToken()) {
            case START_OBJECT -> readMap(json);
            case START_ARRAY -> {
                var list = new ArrayList<@Nullable Object>();
                while (json.nextToken() != JsonToken.END_ARRAY) {
                    list.add(readJson(json));
                }
                yield list;
            }
            case VALUE_STRING -> json.getText();
            case VALUE_NUMBER_INT -> {
                var number = json.getNumberValue();
                yield number instanceof BigInteger ? number : Long.valueOf(number.longValue());
            }
            case VALUE_NUMBER_FLOAT -> json.getDoubleValue();
            case VALUE_TRUE -> true;
            case VALUE_FALSE -> false;
            case VALUE_NULL -> null;
            case END_OBJECT, END_ARRAY, FIELD_NAME, NOT_AVAILABLE, VALUE_EMBEDDED_OBJECT ->
                throw new IllegalStateException("no value starts with " + json.currentToken());
        };
    }

    private static void pack(MessagePacker packer, @Nullable Object value) throws IOException {
        switch (value) {
            case null -> packer.packNil();
            case String string -> packer.packString(string);
            case Boolean bool -> packer.packBoolean(bool);
            case Integer number -> packer.packInt(number);
            case Long number -> packer.packLong(number);
            case List<?> list -> {
                packer.packArrayHeader(list.size());
                for (Object element : list) {
                    pack(packer, element);
                }
            }
            case Map<?, ?> map -> {
                packer.packMapHeader(map.size());
                for (var entry : map.entrySet()) {
                    packer.packString((String) entry.getKey());
                    pack(packer, entry.getValue());
                }
            }
            default -> throw new IllegalArgumentException("no header holds a " + value.getClass());
        }
    }

    private static @Nullable Object unpack(MessageUnpacker unpacker, int depth) throws IOException {
        if (depth > MAX_DEPTH) {
            throw new FrameException("frame header is nested deeper than " + MAX_DEPTH);
        }
        return switch (unpacker.getNextFormat().getValueType()) {
            case NIL -> {
                unpacker.unpackNil();
                yield null;
            }
            case BOOLEAN -> unpacker.unpackBoolean();
            case INTEGER -> unpacker.unpackLong();
            case FLOAT -> unpacker.unpackDouble();
            case STRING -> unpacker.unpackString();
            case ARRAY -> {
                // Grown as elements come: the announced size is not to be believed.
                var list = new ArrayList<@Nullable Object>();
                for (int left = unpacker.unpackArrayHeader(); left > 0; left--) {
                    list.add(unpack(unpacker, depth + 1));
                }
                yield list;
            }
            case MAP -> {
                var map = new LinkedHashMap<String, @Nullable Object>();
                for (int left = unpacker.unpackMapHeader(); left > 0; left--) {
                    String key = unpacker.unpackString();
                    if (map.containsKey(key)) {
                        throw new FrameException("frame header has the key \"" + key + "\" twice");
                    }
                    map.put(key, unpack(unpacker, depth + 1));
                }
                yield map;
            }
            case BINARY, EXTENSION -> throw new FrameException("frame header has a value that no JSON could hold");
        };
    }
}
