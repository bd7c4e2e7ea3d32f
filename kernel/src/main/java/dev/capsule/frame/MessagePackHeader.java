package dev.capsule.frame;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.msgpack.core.MessagePack;
import org.msgpack.core.MessagePacker;
import org.msgpack.core.MessageUnpacker;

/// The header of a frame in MessagePack. Apart from [Encoding], with which the library would be loaded where no worker asks
/// for it.
final class MessagePackHeader {
    private MessagePackHeader() {}

    static byte[] encode(Map<String, ? extends @Nullable Object> header) {
        try (var packer = MessagePack.newDefaultBufferPacker()) {
            pack(packer, header);
            return packer.toByteArray();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static Map<String, @Nullable Object> decode(byte[] header) {
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

    private static String firstLine(Exception e) {
        String message = String.valueOf(e.getMessage());
        return message.lines().findFirst().orElse(message);
    }

    private static Map<String, @Nullable Object> withStringKeys(Map<?, ?> map) {
        var header = new LinkedHashMap<String, @Nullable Object>();
        map.forEach((key, value) -> header.put((String) key, value));
        return header;
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
        if (depth > Encoding.MAX_DEPTH) {
            throw new FrameException("frame header is nested deeper than " + Encoding.MAX_DEPTH);
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
