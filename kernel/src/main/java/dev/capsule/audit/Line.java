package dev.capsule.audit;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.capsule.json.JsonWriter;
import dev.capsule.json.Timestamp;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Instant;
import java.util.Arrays;
import java.util.HexFormat;
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

    private Line() {}

    /// @param kernel its process id
    /// @param session tells kernels with the same process id apart
    static byte[] of(Instant time, long kernel, String session, Event event) {
        var json = JsonWriter.ascii();
        json.startObject();
        json.field("time", Timestamp.of(time));
        json.field("kernel", kernel);
        json.field("session", session);
        write(json, event);
        json.endObject();
        byte[] line = json.toBytes();
        line = Arrays.copyOf(line, line.length + 1);
        line[line.length - 1] = '\n';
        return line;
    }

    private static void write(JsonWriter json, Event event) {
        switch (event) {
            case Event.KernelStarted(var version, var profile, var tier, var workspace) -> {
                json.field("event", "kernel_started");
                text(json, "version", version);
                text(json, "profile", profile);
                text(json, "tier", tier);
                text(json, "workspace", workspace);
            }
            case Event.Overridden(var option, var value) -> {
                json.field("event", "override");
                text(json, "option", option);
                text(json, "value", value);
            }
            case Event.WorkerSpawned(int number, var tier, var profile, var arguments, int uid) -> {
                json.field("event", "worker_spawned");
                json.field("worker", number);
                text(json, "tier", tier);
                text(json, "profile", profile);
                json.field("arguments_sha256",
                        sha256(arguments.stream().map(argument -> argument + "\0").collect(Collectors.joining())));
                json.field("uid", uid);
            }
            case Event.WorkerEnded(int number, var cause) -> {
                json.field("event", "worker_ended");
                json.field("worker", number);
                text(json, "cause", cause);
            }
            case Event.Revived(int number, var cause, var snapshot) -> {
                json.field("event", "revived");
                json.field("worker", number);
                text(json, "cause", cause);
                text(json, "snapshot", snapshot);
            }
            case Event.Checkpoint(var request, var succeeded) -> {
                json.field("event", "checkpoint");
                text(json, "request", request);
                json.field("succeeded", succeeded);
            }
            case Event.Killed(int number, var reason) -> {
                json.field("event", "killed");
                json.field("worker", number);
                text(json, "reason", reason);
            }
            case Event.ProtocolViolation(int number, var message) -> {
                json.field("event", "protocol_violation");
                json.field("worker", number);
                text(json, "message", message);
            }
            case Event.LimitHit(var limit, var value, int executionCount) -> {
                json.field("event", "limit_hit");
                text(json, "limit", limit);
                text(json, "value", value);
                json.field("execution_count", executionCount);
            }
            case Event.Cell(int executionCount, var code) -> {
                json.field("event", "cell");
                json.field("execution_count", executionCount);
                json.field("code_sha256", sha256(code));
                json.field("bytes", code.getBytes(UTF_8).length);
            }
            case Event.OutputWithheld(int executionCount, var counts) -> {
                json.field("event", "output_withheld");
                json.field("execution_count", executionCount);
                counts(json, counts);
            }
        }
    }

    private static void counts(JsonWriter json, Map<String, Integer> counts) {
        json.startObject("counts");
        long others = 0;
        int written = 0;
        for (var count : new TreeMap<>(counts).entrySet()) {
            if (written < MAX_MIME_TYPES && count.getKey().length() <= MAX_MIME_TYPE_CHARS) {
                json.field(count.getKey(), count.getValue());
                written++;
            } else {
                others += count.getValue();
            }
        }
        if (others > 0) {
            json.field(OTHERS, others);
        }
        json.endObject();
    }

    private static void text(JsonWriter json, String name, String value) {
        json.field(name,
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
