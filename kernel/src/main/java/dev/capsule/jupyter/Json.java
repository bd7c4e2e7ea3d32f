package dev.capsule.jupyter;

import dev.capsule.json.JsonException;
import dev.capsule.json.JsonReader;
import dev.capsule.json.JsonReader.Keys;
import dev.capsule.json.JsonReader.Limits;
import dev.capsule.json.JsonWriter;
import java.util.Arrays;
import java.util.Map;

/// JSON objects.
final class Json {
    private static final Limits LIMITS = new Limits(1_000, 1_000, Keys.LAST);

    /// Writes the fields of one object.
    interface Fields {
        void writeTo(JsonWriter json);
    }

    private Json() {}

    /// @return one JSON object in UTF-8
    static byte[] object(Fields fields) {
        var json = JsonWriter.utf8();
        json.startObject();
        fields.writeTo(json);
        json.endObject();
        return json.toBytes();
    }

    /// Reads one JSON object, as [JsonReader] does.
    ///
    /// @throws WireException if the bytes are not exactly one JSON object; `what` names them in the message
    static JsonObject parse(String what, byte[] bytes) {
        return parseWithout("", what, bytes);
    }

    /// The same, but the value of one field is only looked at, and is null.
    static JsonObject parseWithout(String skipped, String what, byte[] bytes) {
        if (Arrays.equals(bytes, Content.empty())) {
            return new JsonObject(what, Map.of());
        }
        try {
            return new JsonObject(what, JsonReader.readObjectWithout(skipped, bytes, LIMITS));
        } catch (JsonException e) {
            throw new WireException(what + " is not valid JSON: " + e.getMessage(), e);
        }
    }
}
