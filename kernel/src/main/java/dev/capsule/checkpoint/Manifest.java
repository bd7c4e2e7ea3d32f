package dev.capsule.checkpoint;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.core.json.JsonWriteFeature;
import com.fasterxml.jackson.core.util.ByteArrayBuilder;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.DateTimeException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/// What a checkpoint holds. Much of it comes from user code, and all of it may come from a stranger's file: texts have no
/// control characters and none that turn a line around, and everything is bounded.
///
/// @param madeBy the program and its version
/// @param time when it was made
/// @param directory the absolute path of the one that the session worked in
/// @param executionCount of the last cell
/// @param blobs by their numbers, from 0; one that no variable is in is of no use
/// @param packages their versions by name
public record Manifest(String madeBy, Language language, Instant time, String directory, int executionCount,
        List<Blob> blobs, List<Variable> variables, List<Failure> failures, Map<String, String> packages) {

    /// Of the files that this version writes and reads.
    public static final int FORMAT = 1;

    /// Variables, with those that could not be saved.
    public static final int MAX_VARIABLES = 10_000;

    /// In its JSON, which is ASCII.
    static final int MAX_BYTES = 2 << 20;

    private static final int MAX_TEXT_CHARS = 4_096;
    private static final int MAX_PACKAGES = 1_000;
    private static final int MAX_DEPTH = 16;
    private static final Pattern SHA256 = Pattern.compile("[0-9a-f]{64}");
    private static final Pattern UNSOUND = Pattern.compile("[\\p{C}\\p{Zl}\\p{Zp}]");
    private static final JsonFactory JSON = JsonFactory.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .enable(JsonWriteFeature.ESCAPE_NON_ASCII)
            .streamReadConstraints(
                    StreamReadConstraints.builder().maxNestingDepth(MAX_DEPTH).maxNumberLength(19).build())
            .build();

    public record Language(String name, String version) {
        public Language {
            name = plain(name);
            version = plain(version);
        }
    }

    /// @param sha256 in lower-case hexadecimal
    public record Blob(long bytes, String sha256) {}

    /// @param name as the worker knows it: to be shown by [#shownName]
    public record Variable(String name, String type, int blob) {
        public Variable {
            type = plain(type);
        }

        public String shownName() {
            return plain(name);
        }
    }

    /// A variable that could not be saved.
    public record Failure(String name, String type, String reason) {
        public Failure {
            name = plain(name);
            type = plain(type);
            reason = plain(reason);
        }
    }

    public Manifest {
        madeBy = plain(madeBy);
        blobs = List.copyOf(blobs);
        variables = List.copyOf(variables);
        failures = List.copyOf(failures);
        var plain = new LinkedHashMap<String, String>();
        packages.forEach((name, version) -> plain.put(plain(name), plain(version)));
        packages = Map.copyOf(plain);
        check(variables.size() + failures.size() <= MAX_VARIABLES,
                () -> "it has more than %d variables".formatted(MAX_VARIABLES));
        check(packages.size() <= MAX_PACKAGES, () -> "it has more than %d packages".formatted(MAX_PACKAGES));
        check(variables.stream().map(Variable::name).distinct().count() == variables.size(),
                () -> "it has two variables of one name");
        int count = blobs.size();
        for (var variable : variables) {
            check(variable.blob >= 0 && variable.blob < count, () -> "the variable %s is in none of its %d blobs"
                    .formatted(variable.shownName(), count));
        }
        for (var blob : blobs) {
            check(blob.bytes > 0 && blob.bytes <= CheckpointFile.MAX_BYTES && SHA256.matcher(blob.sha256).matches(),
                    () -> "it has a blob of no sound size or checksum");
        }
    }

    private static void check(boolean holds, Supplier<String> otherwise) {
        if (!holds) {
            throw new CheckpointException(otherwise.get());
        }
    }

    /// The text as it can be shown to a person in any place.
    public static String plain(String text) {
        String sound = UNSOUND.matcher(text).replaceAll("?");
        return sound.length() > MAX_TEXT_CHARS ? sound.substring(0, MAX_TEXT_CHARS - 1) + "…" : sound;
    }

    public String shownDirectory() {
        return plain(directory);
    }

    /// The bytes of all blobs.
    public long bytes() {
        return blobs.stream().mapToLong(Blob::bytes).sum();
    }

    /// @throws CheckpointException if it is larger than [#MAX_BYTES]
    byte[] toJson() {
        try (var out = new ByteArrayBuilder(); var json = JSON.createGenerator(out)) {
            json.writeStartObject();
            json.writeNumberField("format", FORMAT);
            json.writeStringField("made_by", madeBy);
            json.writeObjectFieldStart("language");
            json.writeStringField("name", language.name);
            json.writeStringField("version", language.version);
            json.writeEndObject();
            json.writeStringField("time", time.toString());
            json.writeStringField("directory", directory);
            json.writeNumberField("execution_count", executionCount);
            writeLists(json);
            json.writeObjectFieldStart("packages");
            for (var each : packages.entrySet()) {
                json.writeStringField(each.getKey(), each.getValue());
            }
            json.writeEndObject();
            json.writeEndObject();
            json.flush();
            byte[] bytes = out.toByteArray();
            check(bytes.length <= MAX_BYTES,
                    () -> "the list of its variables takes %,d bytes, over the limit of %,d; put some into a dict, or"
                            .formatted(bytes.length, MAX_BYTES) + " delete them");
            return bytes;
        } catch (IOException e) {
            throw new UncheckedIOException("writing to memory", e);
        }
    }

    private void writeLists(JsonGenerator json) throws IOException {
        json.writeArrayFieldStart("blobs");
        for (var blob : blobs) {
            json.writeStartObject();
            json.writeNumberField("bytes", blob.bytes);
            json.writeStringField("sha256", blob.sha256);
            json.writeEndObject();
        }
        json.writeEndArray();
        json.writeArrayFieldStart("variables");
        for (var variable : variables) {
            json.writeStartObject();
            json.writeStringField("name", variable.name);
            json.writeStringField("type", variable.type);
            json.writeNumberField("blob", variable.blob);
            json.writeEndObject();
        }
        json.writeEndArray();
        json.writeArrayFieldStart("failures");
        for (var failure : failures) {
            json.writeStartObject();
            json.writeStringField("name", failure.name);
            json.writeStringField("type", failure.type);
            json.writeStringField("reason", failure.reason);
            json.writeEndObject();
        }
        json.writeEndArray();
    }

    /// @throws CheckpointException if it is no manifest that this version reads
    static Manifest ofJson(byte[] bytes) {
        try (var json = JSON.createParser(bytes)) {
            if (json.nextToken() != JsonToken.START_OBJECT) {
                throw new CheckpointException("its manifest is no JSON object");
            }
            var fields = new Fields(object(json));
            if (json.nextToken() != null) {
                throw new CheckpointException("its manifest is more than one JSON value");
            }
            return ofFields(fields);
        } catch (JsonProcessingException e) {
            throw new CheckpointException("its manifest is not valid JSON: " + plain(e.getOriginalMessage()), e);
        } catch (IOException e) {
            throw new UncheckedIOException("reading from memory", e);
        }
    }

    private static Manifest ofFields(Fields fields) {
        // Before anything else: what follows may look different in another version.
        long format = fields.number("format");
        if (format != FORMAT) {
            throw new CheckpointException(
                    "it has format %d, and this version of Capsule reads format %d; restore it with the one that made it"
                            .formatted(format, FORMAT));
        }
        var language = fields.object("language");
        var packages = new LinkedHashMap<String, String>();
        var versions = fields.object("packages");
        versions.values.keySet().forEach(name -> packages.put(name, versions.text(name)));
        return new Manifest(fields.text("made_by"), new Language(language.text("name"), language.text("version")),
                fields.time("time"), fields.text("directory"), fields.integer("execution_count"),
                fields.objects("blobs").stream().map(blob -> new Blob(blob.number("bytes"), blob.text("sha256")))
                        .toList(),
                fields.objects("variables").stream()
                        .map(each -> new Variable(each.text("name"), each.text("type"), each.integer("blob"))).toList(),
                fields.objects("failures").stream()
                        .map(each -> new Failure(each.text("name"), each.text("type"), each.text("reason"))).toList(),
                packages);
    }

    private static Map<String, Object> object(JsonParser json) throws IOException {
        var object = new LinkedHashMap<String, Object>();
        for (String name = json.nextFieldName(); name != null; name = json.nextFieldName()) {
            object.put(name, value(json, json.nextToken()));
        }
        return object;
    }

    private static Object value(JsonParser json, JsonToken token) throws IOException {
        return switch (token) {
            case START_OBJECT -> object(json);
            case START_ARRAY -> {
                var list = new ArrayList<Object>();
                for (var next = json.nextToken(); next != JsonToken.END_ARRAY; next = json.nextToken()) {
                    list.add(value(json, next));
                }
                yield list;
            }
            case VALUE_STRING -> json.getText();
            case VALUE_NUMBER_INT -> json.getLongValue();
            // No manifest of this version holds one; a later one's is to be told by its format.
            case VALUE_NUMBER_FLOAT, VALUE_TRUE, VALUE_FALSE, VALUE_NULL -> token;
            case END_OBJECT, END_ARRAY, FIELD_NAME, NOT_AVAILABLE, VALUE_EMBEDDED_OBJECT ->
                throw new IllegalStateException("no value starts with " + token);
        };
    }

    /// Those of one object, by name and type.
    private record Fields(Map<String, Object> values) {
        private <T> T require(String name, Class<T> type) {
            @Nullable
            Object value = values.get(name);
            if (!type.isInstance(value)) {
                throw new CheckpointException(unsound(name));
            }
            return type.cast(value);
        }

        private static String unsound(String name) {
            return "its manifest has no sound \"%s\"".formatted(name);
        }

        String text(String name) {
            return require(name, String.class);
        }

        long number(String name) {
            return require(name, Long.class);
        }

        int integer(String name) {
            long number = number(name);
            check(number >= 0 && number <= Integer.MAX_VALUE, () -> unsound(name));
            return (int) number;
        }

        Instant time(String name) {
            try {
                return Instant.parse(text(name));
            } catch (DateTimeException e) {
                throw new CheckpointException(unsound(name), e);
            }
        }

        Fields object(String name) {
            return of(require(name, Map.class));
        }

        List<Fields> objects(String name) {
            var objects = new ArrayList<Fields>();
            for (Object each : require(name, List.class)) {
                if (!(each instanceof Map<?, ?> map)) {
                    throw new CheckpointException(unsound(name));
                }
                objects.add(of(map));
            }
            return objects;
        }

        private static Fields of(Map<?, ?> map) {
            var fields = new LinkedHashMap<String, Object>();
            map.forEach((key, value) -> fields.put((String) key, value));
            return new Fields(fields);
        }
    }
}
