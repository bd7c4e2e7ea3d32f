package dev.capsule.jupyter;

import java.util.Map;
import java.util.Optional;

/// What a client may ask on shell or control (Jupyter messaging, "Messages on the shell and control channels").
public sealed interface Request {
    /// Of all the user expressions of one request, with their names.
    int MAX_EXPRESSIONS_CHARS = 1 << 19;

    /// @param userExpressions evaluated after success, by name
    /// @param transaction of the message's metadata, under `capsule`
    record Execute(String code, boolean silent, boolean storeHistory, Map<String, String> userExpressions,
            boolean allowStdin, boolean stopOnError, Optional<String> transaction) implements Request {
        public Execute {
            userExpressions = Map.copyOf(userExpressions);
        }

        /// The same without code and expressions: how it is to be run.
        public Execute head() {
            return new Execute("", silent, storeHistory, Map.of(), allowStdin, stopOnError, transaction);
        }
    }

    /// @param cursorPos in Unicode code points (Jupyter messaging 5.2)
    record Complete(String code, int cursorPos) implements Request {}

    /// @param cursorPos in Unicode code points (Jupyter messaging 5.2)
    /// @param detailLevel 0, or 1 for the source too
    record Inspect(String code, int cursorPos, int detailLevel) implements Request {}

    record IsComplete(String code) implements Request {}

    /// @param output whether outputs are wanted too
    record History(boolean output, HistoryQuery query) implements Request {}

    /// @param targetName empty for the comms of every target
    record CommInfo(Optional<String> targetName) implements Request {}

    record CommOpen(String commId, String targetName) implements Request {}

    record CommMsg(String commId) implements Request {}

    record CommClose(String commId) implements Request {}

    record KernelInfo() implements Request {}

    record Connect() implements Request {}

    /// What kernel and machine use; of ipykernel, for jupyter-resource-usage.
    record Usage() implements Request {}

    /// A request of the Debug Adapter Protocol (Jupyter messaging, "Debug request").
    ///
    /// @param seq the client's number of it
    /// @param sourcePath in its arguments
    /// @param json the whole
    record Debug(String command, int seq, Optional<String> sourcePath, byte[] json) implements Request {}

    record Interrupt() implements Request {}

    /// @param restart whether the client is going to start the kernel again
    record Shutdown(boolean restart) implements Request {}

    /// What is asked about subshells (JEP 91), on control only.
    sealed interface AboutSubshells extends Request {}

    record CreateSubshell() implements AboutSubshells {}

    record DeleteSubshell(String subshellId) implements AboutSubshells {}

    record ListSubshells() implements AboutSubshells {}

    /// A message type that this kernel does not know; it is tolerated ("Versioning").
    record Unknown(String msgType) implements Request {}

    /// Which entries a `history_request` is after (Jupyter messaging, "History").
    sealed interface HistoryQuery {
        /// The last `n` entries of all sessions.
        record Tail(int n) implements HistoryQuery {}

        /// Lines `start` to `stop` (exclusive; absent: to the end) of one session: 0 is this one, negative counts back.
        record Range(int session, int start, Optional<Integer> stop) implements HistoryQuery {}

        /// The last `n` entries (absent: all) that match the glob `pattern`.
        ///
        /// @param unique whether equal inputs are listed once
        record Search(String pattern, Optional<Integer> n, boolean unique) implements HistoryQuery {}
    }

    /// @throws WireException if the message is too long, or its content is not what the message type asks for
    static Request parse(Message message) {
        message.check();
        // What a comm says is between the front end and the worker.
        var content = Json.parseWithout(message.header().msgType().startsWith("comm_") ? "data" : "",
                message.header().msgType(), message.content());
        return switch (message.header().msgType()) {
            case "execute_request" -> execute(content, Json.parse("metadata", message.metadata()));
            case "complete_request" -> {
                String code = content.string("code");
                yield new Complete(code, content.integer("cursor_pos", code.codePointCount(0, code.length())));
            }
            case "inspect_request" -> {
                String code = content.string("code");
                yield new Inspect(code, content.integer("cursor_pos", code.codePointCount(0, code.length())),
                        content.integer("detail_level", 0));
            }
            case "is_complete_request" -> new IsComplete(content.string("code"));
            case "history_request" -> new History(content.bool("output", false), historyQuery(content));
            case "comm_info_request" -> new CommInfo(content.optionalString("target_name"));
            case "comm_open" -> new CommOpen(content.string("comm_id"), content.string("target_name", ""));
            case "comm_msg" -> new CommMsg(content.string("comm_id"));
            case "comm_close" -> new CommClose(content.string("comm_id"));
            case "kernel_info_request" -> new KernelInfo();
            case "connect_request" -> new Connect();
            case "usage_request" -> new Usage();
            case "debug_request" -> new Debug(content.string("command"), content.integer("seq"),
                    content.object("arguments").object("source").optionalString("path"), message.content());
            case "interrupt_request" -> new Interrupt();
            case "shutdown_request" -> new Shutdown(content.bool("restart", false));
            case "create_subshell_request" -> new CreateSubshell();
            case "delete_subshell_request" -> new DeleteSubshell(content.string("subshell_id"));
            case "list_subshell_request" -> new ListSubshells();
            default -> new Unknown(message.header().msgType());
        };
    }

    private static Execute execute(JsonObject content, JsonObject metadata) {
        boolean silent = content.bool("silent", false);
        var expressions = content.strings("user_expressions");
        long chars = expressions.entrySet().stream()
                .mapToLong(each -> each.getKey().length() + each.getValue().length()).sum();
        if (chars > MAX_EXPRESSIONS_CHARS) {
            throw new WireException("execute_request: user_expressions of %,d characters; the limit is %,d"
                    .formatted(chars, MAX_EXPRESSIONS_CHARS));
        }
        return new Execute(content.string("code"), silent, !silent && content.bool("store_history", true),
                expressions, content.bool("allow_stdin", false),
                content.bool("stop_on_error", true), metadata.object("capsule").optionalString("transaction"));
    }

    private static HistoryQuery historyQuery(JsonObject content) {
        String type = content.string("hist_access_type", "tail");
        return switch (type) {
            case "tail" -> new HistoryQuery.Tail(content.integer("n", 10));
            case "range" -> new HistoryQuery.Range(content.integer("session", 0), content.integer("start", 0),
                    optionalInteger(content, "stop"));
            case "search" -> new HistoryQuery.Search(content.string("pattern", "*"), optionalInteger(content, "n"),
                    content.bool("unique", false));
            default -> throw new WireException(
                    "history_request: hist_access_type is \"" + type + "\", not range, tail or search");
        };
    }

    private static Optional<Integer> optionalInteger(JsonObject content, String name) {
        return content.fields().get(name) == null ? Optional.empty() : Optional.of(content.integer(name));
    }

    /// The answer to an `input_request` (Jupyter messaging, "Messages on the stdin channel").
    ///
    /// @throws WireException if the message is too long, or its content is not that of an `input_reply`
    static String inputReply(Message message) {
        message.check();
        return Json.parse("input_reply", message.content()).string("value");
    }
}
