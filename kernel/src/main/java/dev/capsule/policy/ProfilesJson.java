package dev.capsule.policy;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// Reads the JSON of a file of profiles. Not a part of [Profiles], so that a kernel whose user has none does not load Jackson.
final class ProfilesJson {
    private static final int MAX_DEPTH = 8;

    private static final JsonFactory JSON = JsonFactory.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .streamReadConstraints(StreamReadConstraints.builder().maxNestingDepth(MAX_DEPTH).build()).build();

    private ProfilesJson() {}

    /// @param what names the source in errors
    /// @return its members, of strings, numbers, booleans, nulls, lists and maps
    /// @throws PolicyException if it is not one JSON object
    static Map<String, @Nullable Object> read(String what, byte[] bytes) {
        try (var json = JSON.createParser(bytes)) {
            if (json.nextToken() != JsonToken.START_OBJECT) {
                throw new PolicyException(what + " is not a JSON object of profiles by name");
            }
            var fields = readObject(json);
            if (json.nextToken() != null) {
                throw new PolicyException(what + " has text after its JSON object");
            }
            return fields;
        } catch (JsonProcessingException e) {
            // What is nested too deep has no place.
            String place = e.getLocation() == null
                    ? ""
                    : "line %d, column %d: ".formatted(e.getLocation().getLineNr(), e.getLocation().getColumnNr());
            throw new PolicyException("%s is not valid JSON: %s%s".formatted(what, place, e.getOriginalMessage()), e);
        } catch (IOException e) {
            throw new PolicyException(what + " cannot be read: " + e.getMessage(), e);
        }
    }

    private static Map<String, @Nullable Object> readObject(JsonParser json) throws IOException {
        var fields = new LinkedHashMap<String, @Nullable Object>();
        for (String name = json.nextFieldName(); name != null; name = json.nextFieldName()) {
            fields.put(name, readValue(json, json.nextToken()));
        }
        return fields;
    }

    private static @Nullable Object readValue(JsonParser json, JsonToken token) throws IOException {
        return switch (token) {
            case START_OBJECT -> readObject(json);
            case START_ARRAY -> {
                var values = new ArrayList<@Nullable Object>();
                for (var next = json.nextToken(); next != JsonToken.END_ARRAY; next = json.nextToken()) {
                    values.add(readValue(json, next));
                }
                yield values;
            }
            case VALUE_STRING -> json.getText();
            // As a double where it is too large for a long: no key takes it, and the error shows it.
            case VALUE_NUMBER_INT -> json.getNumberType() == JsonParser.NumberType.BIG_INTEGER
                    ? (Object) json.getBigIntegerValue()
                    : (Object) json.getLongValue();
            case VALUE_NUMBER_FLOAT -> json.getDoubleValue();
            case VALUE_TRUE -> true;
            case VALUE_FALSE -> false;
            case VALUE_NULL -> null;
            case END_OBJECT, END_ARRAY, FIELD_NAME, NOT_AVAILABLE, VALUE_EMBEDDED_OBJECT ->
                throw new IllegalStateException("no value starts with " + token);
        };
    }
}
