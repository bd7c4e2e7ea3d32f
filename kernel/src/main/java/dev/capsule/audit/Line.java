package dev.capsule.audit;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.json.JsonWriteFeature;
import java.io.IOException;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Instant;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeFormatterBuilder;
import java.util.HexFormat;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;

/// One event as a line of JSON. It is all ASCII, as much of it comes from cells: shown in a terminal it can neither move
/// the cursor nor turn the text around.
final class Line {
    /// A text that is longer is cut. So no line is longer than [#MAX_BYTES].
    static final int MAX_TEXT_CHARS = 500;
    static final int MAX_MIME_TYPES = 16;
    static final int MAX_MIME_TYPE_CHARS = 64;
    static final int MAX_BYTES = 1 << 14;

    private static final String OTHERS = "others";
    private static final DateTimeFormatter TIME = new DateTimeFormatterBuilder().appendInstant(3)
            .toFormatter(Locale.ROOT);
    private static final JsonFactory JSON = JsonFactory.builder().enable(JsonWriteFeature.ESCAPE_NON_ASCII).build();

    private Line() {}

    /// @param kernel its process id
    /// @param session tells kernels with the same process id apart
    static byte[] of(Instant time, long kernel, String session, Event event) {
        var text = new StringWriter();
        try (var json = JSON.createGenerator(text)) {
            json.writeStartObject();
            json.writeStringField("time", TIME.format(time));
            json.writeNumberField("kernel", kernel);
            json.writeStringField("session", session);
            write(json, event);
            json.writeEndObject();
        } catch (IOException e) {
            throw new UncheckedIOException("writing to memory", e);
        }
        return text.append('\n').toString().getBytes(US_ASCII);
    }

    private static void write(JsonGenerator json, Event event) throws IOException {
        switch (event) {
            case Event.KernelStarted(var version, var profile, var tier, var workspace) -> {
                json.writeStringField("event", "kernel_started");
                text(json, "version", version);
                text(json, "profile", profile);
                text(json, "tier", tier);
                text(json, "workspace", workspace);
            }
            case Event.Overridden(var option, var value) -> {
                json.writeStringField("event", "override");
                text(json, "option", option);
                text(json, "value", value);
            }
            case Event.WorkerSpawned(int number, var tier, var profile, var arguments, int uid) -> {
                json.writeStringField("event", "worker_spawned");
                json.writeNumberField("worker", number);
                text(json, "tier", tier);
                text(json, "profile", profile);
                json.writeStringField("arguments_sha256",
                        sha256(arguments.stream().map(argument -> argument + "\0").collect(Collectors.joining())));
                json.writeNumberField("uid", uid);
            }
            case Event.WorkerEnded(int number, var cause) -> {
                json.writeStringField("event", "worker_ended");
                json.writeNumberField("worker", number);
                text(json, "cause", cause);
            }
            case Event.Revived(int number, var cause, var snapshot) -> {
                json.writeStringField("event", "revived");
                json.writeNumberField("worker", number);
                text(json, "cause", cause);
                text(json, "snapshot", snapshot);
            }
            case Event.Checkpoint(var request, var succeeded) -> {
                json.writeStringField("event", "checkpoint");
                text(json, "request", request);
                json.writeBooleanField("succeeded", succeeded);
            }
            case Event.Killed(int number, var reason) -> {
                json.writeStringField("event", "killed");
                json.writeNumberField("worker", number);
                text(json, "reason", reason);
            }
            case Event.ProtocolViolation(int number, var message) -> {
                json.writeStringField("event", "protocol_violation");
                json.writeNumberField("worker", number);
                text(json, "message", message);
            }
            case Event.LimitHit(var limit, var value, int executionCount) -> {
                json.writeStringField("event", "limit_hit");
                text(json, "limit", limit);
                text(json, "value", value);
                json.writeNumberField("execution_count", executionCount);
            }
            case Event.Cell(int executionCount, var code) -> {
                json.writeStringField("event", "cell");
                json.writeNumberField("execution_count", executionCount);
                json.writeStringField("code_sha256", sha256(code));
                json.writeNumberField("bytes", code.getBytes(UTF_8).length);
            }
            case Event.OutputWithheld(int executionCount, var counts) -> {
                json.writeStringField("event", "output_withheld");
                json.writeNumberField("execution_count", executionCount);
                counts(json, counts);
            }
        }
    }

    private static void counts(JsonGenerator json, Map<String, Integer> counts) throws IOException {
        json.writeObjectFieldStart("counts");
        long others = 0;
        int written = 0;
        for (var count : new TreeMap<>(counts).entrySet()) {
            if (written < MAX_MIME_TYPES && count.getKey().length() <= MAX_MIME_TYPE_CHARS) {
                json.writeNumberField(count.getKey(), count.getValue());
                written++;
            } else {
                others += count.getValue();
            }
        }
        if (others > 0) {
            json.writeNumberField(OTHERS, others);
        }
        json.writeEndObject();
    }

    private static void text(JsonGenerator json, String name, String value) throws IOException {
        json.writeStringField(name,
                value.length() <= MAX_TEXT_CHARS ? value : value.substring(0, MAX_TEXT_CHARS) + "...");
    }

    private static String sha256(String text) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(text.getBytes(UTF_8)));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java has SHA-256", e);
        }
    }
}
