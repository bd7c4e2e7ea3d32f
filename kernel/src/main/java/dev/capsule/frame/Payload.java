package dev.capsule.frame;

import dev.capsule.json.JsonWriter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// One entry of an execution's payload: something that the front end is to do, as in Jupyter's `execute_reply`.
public sealed interface Payload {
    /// Show this in a pager.
    ///
    /// @param start the first line to show, from 0
    record Page(MimeBundle bundle, long start) implements Payload {}

    /// Put this text into the next cell, or in place of the one that ran.
    record SetNextInput(String text, boolean replace) implements Payload {}

    /// Anything else.
    ///
    /// @param source what it is
    record Other(String source, byte[] json) implements Payload {}

    /// @param json an array, checked by [Frame.Resolve#checkExecution]; what is not an object is left out
    static List<Payload> read(byte[] json) {
        var payload = new ArrayList<Payload>();
        if (Encoding.readValue(json) instanceof List<?> entries) {
            for (Object entry : entries) {
                if (entry instanceof Map<?, ?> fields) {
                    payload.add(read(fields));
                }
            }
        }
        return payload;
    }

    private static Payload read(Map<?, ?> fields) {
        String source = fields.get("source") instanceof String named ? named : "";
        if (source.equals("page") && fields.get("data") instanceof Map<?, ?> data) {
            return new Page(UserExpression.bundle(data, Map.of()),
                    fields.get("start") instanceof Long start ? start : 0);
        }
        if (source.equals("set_next_input") && fields.get("text") instanceof String text) {
            return new SetNextInput(text, Boolean.TRUE.equals(fields.get("replace")));
        }
        return new Other(source, JsonWriter.of(fields));
    }

    /// @return a JSON array as in Jupyter's `execute_reply`
    static byte[] write(List<Payload> payload) {
        var entries = new ArrayList<@Nullable Object>();
        for (var entry : payload) {
            entries.add(switch (entry) {
                case Page(var bundle, var start) -> {
                    var fields = new LinkedHashMap<String, @Nullable Object>();
                    fields.put("source", "page");
                    fields.put("data", Encoding.JSON.decode(bundle.dataJson()));
                    fields.put("start", start);
                    yield fields;
                }
                case SetNextInput(var text, var replace) ->
                    Map.of("source", "set_next_input", "text", text, "replace", replace);
                case Other(var _, var json) -> Encoding.readValue(json);
            });
        }
        return JsonWriter.of(entries);
    }
}
