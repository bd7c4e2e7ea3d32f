package dev.capsule.jupyter;

import dev.capsule.json.JsonWriter;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;

/// Makes the JSON contents of outgoing messages, one method per message type (Jupyter messaging 5.5). Parameters named
/// `…Json` are ready JSON in UTF-8 and are copied as they are.
public final class Content {
    private static final byte[] EMPTY = ascii("{}");
    private static final byte[] STARTING = ascii("{\"execution_state\":\"starting\"}");
    private static final byte[] BUSY = ascii("{\"execution_state\":\"busy\"}");
    private static final byte[] IDLE = ascii("{\"execution_state\":\"idle\"}");
    private static final byte[] DATA = ascii("{\"data\":");
    private static final byte[] FOUND = ascii("{\"status\":\"ok\",\"found\":true,\"data\":");
    private static final byte[] METADATA = ascii(",\"metadata\":");
    private static final byte[] TRANSIENT = ascii(",\"transient\":");
    private static final byte[] PAYLOAD = ascii(",\"payload\":");
    private static final byte[] END = ascii("}");

    /// `{}`: an empty content, metadata or parent header. Not to be changed.
    public static byte[] empty() {
        return EMPTY;
    }

    /// `status: ok` and nothing more.
    public static byte[] ok() {
        return ascii("{\"status\":\"ok\"}");
    }

    /// The reply to a queued `execute_request` after an earlier one failed. Without `execution_count`, as ipykernel's:
    /// JupyterLab would show it beside a cell that was not run.
    public static byte[] aborted() {
        return ascii("{\"status\":\"aborted\"}");
    }

    /// A JSON object of values by MIME type.
    @FunctionalInterface
    public interface Data {
        /// @return it between what stands before and after it, in one array: it may be a large image
        byte[] between(byte[] before, byte[] after);
    }

    /// What a kernel is doing, in `status` messages.
    public enum ExecutionState {
        STARTING, BUSY, IDLE
    }

    /// An entry of the history; `output` is empty for inputs without one.
    public record HistoryEntry(int session, int line, String input, Optional<String> output) {}

    /// What `usage_reply` says, as jupyter-resource-usage expects it. Percents of processor time are of one processor, but
    /// `hostCpuPercent` of all; memory is in bytes.
    ///
    /// @param hostCpuPercent empty where there is no earlier reading
    /// @param hostMemory by names such as `available`
    /// @param worker under a key of our own; empty when there is none
    public record Usage(String hostname, long pid, double kernelCpu, long kernelMemory, int cpuCount,
            OptionalDouble hostCpuPercent, Map<String, Long> hostMemory, double hostMemoryPercent,
            Optional<WorkerUsage> worker) {
        public Usage {
            hostMemory = Map.copyOf(hostMemory);
        }
    }

    public record WorkerUsage(double cpuPercent, double cpuSeconds, long memory, long memoryLimit, int processes,
            int processLimit) {}

    /// What `kernel_info_reply` says of the language.
    public record LanguageInfo(String name, String version, String mimetype, String fileExtension,
            String pygmentsLexer, String codemirrorMode, String nbconvertExporter) {}

    private Content() {}

    private static byte[] ascii(String json) {
        return json.getBytes(StandardCharsets.US_ASCII);
    }

    /// Not to be changed.
    public static byte[] status(ExecutionState state) {
        return switch (state) {
            case STARTING -> STARTING;
            case BUSY -> BUSY;
            case IDLE -> IDLE;
        };
    }

    /// @param text UTF-8
    public static byte[] stream(String name, byte[] text) {
        return Json.object(json -> {
            json.field("name", name);
            if (isAscii(text)) {
                json.asciiField("text", text);
            } else {
                // Malformed input becomes U+FFFD here; bytes copied blindly would make the whole message unreadable.
                json.field("text", new String(text, StandardCharsets.UTF_8));
            }
        });
    }

    private static boolean isAscii(byte[] text) {
        int all = 0;
        for (byte b : text) {
            all |= b;
        }
        return all >= 0;
    }

    public static byte[] executeInput(String code, int executionCount) {
        return Json.object(json -> {
            json.field("code", code);
            json.field("execution_count", executionCount);
        });
    }

    public static byte[] executeResult(int executionCount, Data data, byte[] metadataJson) {
        return data.between(ascii("{\"execution_count\":" + executionCount + ",\"data\":"),
                joined(METADATA, metadataJson, END));
    }

    private static byte[] joined(byte[]... parts) {
        int length = 0;
        for (byte[] part : parts) {
            length = Math.addExact(length, part.length);
        }
        byte[] whole = new byte[length];
        int at = 0;
        for (byte[] part : parts) {
            System.arraycopy(part, 0, whole, at, part.length);
            at += part.length;
        }
        return whole;
    }

    /// For `display_data` and `update_display_data`.
    public static byte[] display(Data data, byte[] metadataJson, Optional<String> displayId) {
        byte[] about = displayId.map(id -> Json.object(json -> json.field("display_id", id))).orElse(EMPTY);
        return data.between(DATA, joined(METADATA, metadataJson, TRANSIENT, about, END));
    }

    public static byte[] clearOutput(boolean wait) {
        return ascii("{\"wait\":" + wait + "}");
    }

    public static byte[] error(String ename, String evalue, List<String> traceback) {
        return Json.object(json -> error(json, ename, evalue, traceback));
    }

    public static byte[] executeOk(int executionCount, byte[] userExpressionsJson, byte[] payloadJson) {
        return joined(ascii("{\"status\":\"ok\",\"execution_count\":" + executionCount + ",\"user_expressions\":"),
                userExpressionsJson, PAYLOAD, payloadJson, END);
    }

    public static byte[] executeError(int executionCount, String ename, String evalue, List<String> traceback) {
        return Json.object(json -> {
            json.field("status", "error");
            json.field("execution_count", executionCount);
            error(json, ename, evalue, traceback);
            json.startObject("user_expressions");
            json.endObject();
            json.startArray("payload");
            json.endArray();
        });
    }

    /// The reply to any other request that failed.
    public static byte[] failure(String ename, String evalue) {
        return Json.object(json -> {
            json.field("status", "error");
            error(json, ename, evalue, List.of());
        });
    }

    /// The reply to a `debug_request` that the debugger has not answered: its response has no status.
    public static byte[] debugFailure(int requestSeq, String command, String why) {
        return Json.object(json -> {
            json.field("type", "response");
            json.field("seq", requestSeq);
            json.field("request_seq", requestSeq);
            json.field("success", false);
            json.field("command", command);
            json.field("message", why);
            json.startObject("body");
            json.endObject();
        });
    }

    /// @param types what each match is, which JupyterLab shows beside it; empty when that is not known
    public static byte[] complete(List<String> matches, int cursorStart, int cursorEnd, List<String> types) {
        return Json.object(json -> {
            json.field("status", "ok");
            strings(json, "matches", matches);
            json.field("cursor_start", cursorStart);
            json.field("cursor_end", cursorEnd);
            json.startObject("metadata");
            if (types.size() == matches.size()) {
                json.startArray("_jupyter_types_experimental");
                for (int i = 0; i < types.size(); i++) {
                    json.startObject();
                    json.field("start", cursorStart);
                    json.field("end", cursorEnd);
                    json.field("text", matches.get(i));
                    json.field("type", types.get(i));
                    json.endObject();
                }
                json.endArray();
            }
            json.endObject();
        });
    }

    /// For what was found.
    public static byte[] inspect(Data data, byte[] metadataJson) {
        return data.between(FOUND, joined(METADATA, metadataJson, END));
    }

    /// For nothing.
    public static byte[] inspect() {
        return ascii("{\"status\":\"ok\",\"found\":false,\"data\":{},\"metadata\":{}}");
    }

    /// @param status `complete`, `incomplete`, `invalid` or `unknown`
    /// @param indent only with `incomplete`
    public static byte[] isComplete(String status, Optional<String> indent) {
        return Json.object(json -> {
            json.field("status", status);
            if (indent.isPresent()) {
                json.field("indent", indent.get());
            }
        });
    }

    /// @param output whether the entries are `[session, line, [input, output]]`
    public static byte[] history(List<HistoryEntry> entries, boolean output) {
        return Json.object(json -> {
            json.field("status", "ok");
            json.startArray("history");
            for (var entry : entries) {
                json.startArray();
                json.value(entry.session());
                json.value(entry.line());
                if (output) {
                    json.startArray();
                    json.value(entry.input());
                    json.value(entry.output().orElse(null));
                    json.endArray();
                } else {
                    json.value(entry.input());
                }
                json.endArray();
            }
            json.endArray();
        });
    }

    /// @param comms the targets of comms by their ids
    public static byte[] commInfo(Map<String, String> comms) {
        return Json.object(json -> {
            json.field("status", "ok");
            json.startObject("comms");
            for (var comm : comms.entrySet()) {
                json.startObject(comm.getKey());
                json.field("target_name", comm.getValue());
                json.endObject();
            }
            json.endObject();
        });
    }

    /// For `comm_open`.
    public static byte[] commOpen(String commId, String targetName, byte[] dataJson) {
        return Json.object(json -> {
            json.field("comm_id", commId);
            json.field("target_name", targetName);
            json.rawField("data", dataJson);
        });
    }

    /// For `comm_msg` and `comm_close`; both have data, be it empty.
    public static byte[] comm(String commId, byte[] dataJson) {
        return Json.object(json -> {
            json.field("comm_id", commId);
            json.rawField("data", dataJson);
        });
    }

    public static byte[] kernelInfo(String version, String banner, LanguageInfo language,
            List<String> supportedFeatures) {
        return Json.object(json -> {
            json.field("status", "ok");
            json.field("protocol_version", Wire.PROTOCOL_VERSION);
            json.field("implementation", "capsule");
            json.field("implementation_version", version);
            json.startObject("language_info");
            json.field("name", language.name());
            json.field("version", language.version());
            json.field("mimetype", language.mimetype());
            json.field("file_extension", language.fileExtension());
            json.field("pygments_lexer", language.pygmentsLexer());
            json.field("codemirror_mode", language.codemirrorMode());
            json.field("nbconvert_exporter", language.nbconvertExporter());
            json.endObject();
            json.field("banner", banner);
            json.startArray("help_links");
            json.endArray();
            strings(json, "supported_features", supportedFeatures);
        });
    }

    public static byte[] connect(ConnectionInfo connection) {
        return Json.object(json -> {
            json.field("status", "ok");
            json.field("shell_port", connection.shellPort());
            json.field("iopub_port", connection.iopubPort());
            json.field("stdin_port", connection.stdinPort());
            json.field("control_port", connection.controlPort());
            json.field("hb_port", connection.heartbeatPort());
        });
    }

    public static byte[] shutdown(boolean restart) {
        return ascii("{\"status\":\"ok\",\"restart\":" + restart + "}");
    }

    public static byte[] createSubshell(String subshellId) {
        return Json.object(json -> {
            json.field("status", "ok");
            json.field("subshell_id", subshellId);
        });
    }

    public static byte[] listSubshells(List<String> subshellIds) {
        return Json.object(json -> {
            json.field("status", "ok");
            strings(json, "subshell_id", subshellIds);
        });
    }

    public static byte[] usage(Usage usage) {
        return Json.object(json -> {
            json.field("status", "ok");
            json.field("hostname", usage.hostname());
            json.field("pid", usage.pid());
            json.field("kernel_cpu", usage.kernelCpu());
            json.field("kernel_memory", usage.kernelMemory());
            json.field("cpu_count", usage.cpuCount());
            if (usage.hostCpuPercent().isPresent()) {
                json.field("host_cpu_percent", usage.hostCpuPercent().getAsDouble());
            }
            json.startObject("host_virtual_memory");
            for (var entry : usage.hostMemory().entrySet()) {
                json.field(entry.getKey(), entry.getValue());
            }
            json.field("percent", usage.hostMemoryPercent());
            json.endObject();
            json.startObject("capsule");
            if (usage.worker().isPresent()) {
                worker(json, usage.worker().get());
            }
            json.endObject();
        });
    }

    private static void worker(JsonWriter json, WorkerUsage worker) {
        json.startObject("worker");
        json.field("cpu_percent", worker.cpuPercent());
        json.field("cpu_seconds", worker.cpuSeconds());
        json.field("memory", worker.memory());
        json.field("memory_limit", worker.memoryLimit());
        json.field("processes", worker.processes());
        json.field("process_limit", worker.processLimit());
        json.endObject();
    }

    public static byte[] inputRequest(String prompt, boolean password) {
        return Json.object(json -> {
            json.field("prompt", prompt);
            json.field("password", password);
        });
    }

    /// @param subscription the topic prefix that the client subscribed to
    public static byte[] iopubWelcome(String subscription) {
        return Json.object(json -> json.field("subscription", subscription));
    }

    private static void error(JsonWriter json, String ename, String evalue, List<String> traceback) {
        json.field("ename", ename);
        json.field("evalue", evalue);
        strings(json, "traceback", traceback);
    }

    private static void strings(JsonWriter json, String name, List<String> values) {
        json.startArray(name);
        for (var value : values) {
            json.value(value);
        }
        json.endArray();
    }
}
