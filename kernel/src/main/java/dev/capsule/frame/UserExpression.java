package dev.capsule.frame;

import dev.capsule.json.JsonWriter;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// The value of one of an execution's user expressions, as in Jupyter's `execute_reply`.
public sealed interface UserExpression {
    record Value(MimeBundle bundle) implements UserExpression {}

    record Failed(String ename, String evalue, List<String> traceback) implements UserExpression {
        public Failed {
            traceback = List.copyOf(traceback);
        }
    }

    /// @param json an object, checked by [Frame.Resolve#checkExecution]; what is not as Jupyter has it is left out
    static Map<String, UserExpression> read(byte[] json) {
        var expressions = new LinkedHashMap<String, UserExpression>();
        Encoding.JSON.decode(json).forEach((name, said) -> {
            if (said instanceof Map<?, ?> fields) {
                if (fields.get("data") instanceof Map<?, ?> data) {
                    expressions.put(name, new Value(bundle(data, fields.get("metadata"))));
                } else {
                    var traceback = new ArrayList<String>();
                    if (fields.get("traceback") instanceof List<?> lines) {
                        lines.forEach(line -> traceback.add(String.valueOf(line)));
                    }
                    expressions.put(name, new Failed(String.valueOf(fields.get("ename")),
                            String.valueOf(fields.get("evalue")), traceback));
                }
            }
        });
        return expressions;
    }

    static MimeBundle bundle(Map<?, ?> data, @Nullable Object metadata) {
        var mimes = new ArrayList<String>();
        var forms = new ArrayList<MimeBundle.Form>();
        var values = new ArrayList<byte[]>();
        data.forEach((mime, value) -> {
            mimes.add((String) mime);
            forms.add(value instanceof String ? MimeBundle.Form.TEXT : MimeBundle.Form.JSON);
            values.add(value instanceof String text
                    ? text.getBytes(StandardCharsets.UTF_8)
                    : JsonWriter.of(value));
        });
        return new MimeBundle(mimes, forms, values,
                JsonWriter.of(metadata instanceof Map<?, ?> ? metadata : Map.of()));
    }

    /// @return a JSON object as in Jupyter's `execute_reply`
    static byte[] write(Map<String, UserExpression> expressions) {
        var all = new LinkedHashMap<String, @Nullable Object>();
        expressions.forEach((name, expression) -> all.put(name, switch (expression) {
            case Value(var bundle) ->
                Map.of("status", "ok", "data", Encoding.JSON.decode(bundle.dataJson()), "metadata",
                        Encoding.JSON.decode(bundle.metadata()));
            case Failed(var ename, var evalue, var traceback) ->
                Map.of("status", "error", "ename", ename, "evalue", evalue, "traceback", traceback);
        }));
        return JsonWriter.of(all);
    }
}
