package dev.capsule.frame;

import dev.capsule.json.JsonWriter;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/// What a worker says in the Debug Adapter Protocol: a JSON object whose bytes go to clients as they are.
///
/// @param json in UTF-8
public record DebugMessage(Map<String, @Nullable Object> fields, byte[] json) {
    /// No message may be longer.
    public static final int MAX_BYTES = 16 << 20;

    /// @throws FrameException if the bytes are not exactly one JSON object of this type within the limits
    private static DebugMessage read(byte[] json, String type) {
        if (json.length > MAX_BYTES) {
            throw new FrameException("debugger's %s of %d bytes is over the limit of %d".formatted(type, json.length,
                    MAX_BYTES));
        }
        var fields = Encoding.JSON.decode(json);
        if (!type.equals(fields.get("type"))) {
            throw new FrameException("debugger's message is not of the type " + type);
        }
        return new DebugMessage(fields, json);
    }

    static DebugMessage event(byte[] json) {
        return read(json, "event");
    }

    /// @throws FrameException if a settled `debug` does not hold exactly one response
    public static DebugMessage response(Frame.Resolve resolve) {
        return read(FrameCodec.only("debug", resolve.buffers()), "response");
    }

    public boolean success() {
        return Boolean.TRUE.equals(fields.get("success"));
    }

    /// What the body shows; empty when it shows nothing.
    public Optional<MimeBundle> bundle() {
        return fields.get("body") instanceof Map<?, ?> body && body.get("data") instanceof Map<?, ?> data
                ? Optional.of(UserExpression.bundle(data, body.get("metadata")))
                : Optional.empty();
    }

    /// The same response with nothing else in its body than what is shown.
    ///
    /// @param dataJson a JSON object, as is the other
    public byte[] showing(byte[] dataJson, byte[] metadataJson) {
        var changed = new LinkedHashMap<>(fields);
        changed.put("body",
                Map.of("data", Encoding.JSON.decode(dataJson), "metadata", Encoding.JSON.decode(metadataJson)));
        return JsonWriter.of(changed);
    }
}
