package dev.capsule.jupyter;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.util.ByteArrayBuilder;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// JSON by streaming: the tree model of databind costs a starting kernel more than all the rest of a message.
final class Json {
    /// Longer than any message the sockets let in.
    private static final int MAX_STRING_CHARS = 1 << 30;

    private static final JsonFactory FACTORY = JsonFactory.builder().streamReadConstraints(StreamReadConstraints
            .builder().maxNestingDepth(1_000).maxStringLength(MAX_STRING_CHARS).maxNumberLength(1_000).build()).build();

    /// Writes the fields of one object.
    interface Fields {
        void writeTo(JsonGenerator json) throws IOException;
    }

    private Json() {}

    /// @return one JSON object in UTF-8
    static byte[] object(Fields fields) {
        try (var out = new ByteArrayBuilder(); var json = FACTORY.createGenerator(out)) {
            json.writeStartObject();
            fields.writeTo(json);
            json.writeEndObject();
            json.flush();
            return out.toByteArray();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /// Reads one JSON object into maps, lists, strings, numbers, booleans and nulls.
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
        try (var json = FACTORY.createParser(bytes)) {
            if (json.nextToken() != JsonToken.START_OBJECT) {
                throw new WireException(what + " is not a JSON object");
            }
            var fields = new LinkedHashMap<String, @Nullable Object>();
            for (String name = json.nextFieldName(); name != null; name = json.nextFieldName()) {
                var first = json.nextToken();
                if (name.equals(skipped)) {
                    json.skipChildren();
                    json.finishToken();
                    fields.put(name, null);
                } else {
                    fields.put(name, readValue(json, first));
                }
            }
            if (json.nextToken() != null) {
                throw new WireException(what + " has text after its JSON object");
            }
            return new JsonObject(what, fields);
        } catch (JsonProcessingException e) {
            throw new WireException(what + " is not valid JSON: " + e.getOriginalMessage(), e);
        } catch (IOException e) {
            throw new WireException(what + " cannot be read: " + e.getMessage(), e);
        }
    }

    private static Map<String, @Nullable Object> readObject(JsonParser json) throws IOException {
        var fields = new LinkedHashMap<String, @Nullable Object>();
        for (String name = json.nextFieldName(); name != null; name = json.nextFieldName()) {
            fields.put(name, readValue(json, json.nextToken()));
        }
        return fields;
    }

    private static List<@Nullable Object> readArray(JsonParser json) throws IOException {
        var values = new ArrayList<@Nullable Object>();
        for (var token = json.nextToken(); token != JsonToken.END_ARRAY; token = json.nextToken()) {
            values.add(readValue(json, token));
        }
        return values;
    }

    private static @Nullable Object readValue(JsonParser json, JsonToken token) throws IOException {
        return switch (token) {
            case START_OBJECT -> readObject(json);
            case START_ARRAY -> readArray(json);
            case VALUE_STRING -> json.getText();
            case VALUE_NUMBER_INT, VALUE_NUMBER_FLOAT -> json.getNumberValue();
            case VALUE_TRUE -> true;
            case VALUE_FALSE -> false;
            case VALUE_NULL -> null;
            case END_OBJECT, END_ARRAY, FIELD_NAME, NOT_AVAILABLE, VALUE_EMBEDDED_OBJECT ->
                throw new IllegalStateException("no value starts with " + token);
        };
    }
}
