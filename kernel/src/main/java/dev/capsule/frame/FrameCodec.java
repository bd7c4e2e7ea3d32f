package dev.capsule.frame;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/// Turns frames into bytes and the parts of a received frame into a typed one (`worker/PROTOCOL.md`, sections 2 to 4).
public final class FrameCodec {
    /// The protocol version that this kernel speaks.
    public static final int PROTOCOL = 1;

    /// The largest header that either side may send, in bytes.
    public static final int MAX_HEADER_BYTES = 4 << 20;

    /// The most that the buffers of one frame of a worker may have together, in bytes.
    public static final long MAX_BUFFERS_BYTES = 64L << 20;

    /// The most buffers that one frame may have.
    public static final int MAX_BUFFERS = 1_024;

    private static final List<String> SHAPES = List.of("signal", "open", "emit", "resolve", "reject");

    private FrameCodec() {}

    /// @return the whole frame
    /// @throws FrameException if its header is over the limit
    public static byte[] encode(Frame.ToWorker frame, Encoding encoding) {
        return switch (frame) {
            case Frame.Offer(var encodings, var headerLimit, var buffersLimit) -> bytes(Encoding.JSON, List.of(),
                    "signal", "hello", "protocol", PROTOCOL, "encodings",
                    encodings.stream().map(Encoding::wireName).toList(), "limits",
                    header("header", headerLimit, "buffers", buffersLimit));
            case Frame.ToShell request -> encode(header(request), buffers(request), encoding);
            case Frame.InSubshell(var subshell, var request) -> {
                var header = header(request);
                header.put("subshell", subshell);
                yield encode(header, buffers(request), encoding);
            }
            case Frame.EndSubshell(var subshell) -> bytes(encoding, List.of(), "signal", "end_subshell", "subshell",
                    subshell);
            case Frame.Rest() -> bytes(encoding, List.of(), "signal", "rest");
            case Frame.Keep(var id) -> bytes(encoding, List.of(), "open", "snapshot", "id", id);
            case Frame.Checkpoint(var id, var limit) -> bytes(encoding, List.of(), "open", "checkpoint", "id", id,
                    "limit", limit);
            case Frame.Restore(var id, var names, var blobs, var packages) -> bytes(encoding, List.of(), "open",
                    "restore", "id", id, "names", names, "blobs", blobs, "packages", packages);
            case Frame.Supply(var last, var part) -> bytes(encoding, List.of(part), "signal", "supply", "last", last);
            case Frame.Inputs(var texts) -> bytes(encoding,
                    texts.values().stream().map(text -> text.getBytes(StandardCharsets.UTF_8)).toList(), "signal",
                    "inputs", "counts", List.copyOf(texts.keySet()));
            case Frame.Cancel(var id) -> bytes(encoding, List.of(), "signal", "cancel", "id", id);
            case Frame.Flush(var buffering) -> bytes(encoding, List.of(), "signal", "flush", "buffering",
                    buffering == Frame.Buffering.LINE ? "line" : "block");
            case Frame.Delivered(var id) -> bytes(encoding, List.of(), "signal", "delivered", "id", id);
            case Frame.Debug(var id, var request) -> bytes(encoding, List.of(request), "open", "debug", "id", id);
            case Frame.Shutdown() -> bytes(encoding, List.of(), "signal", "shutdown");
            case Frame.Answer(var id, var value) -> bytes(encoding, List.of(), "resolve", id, "value", value);
            case Frame.Refuse(var id, var ename, var evalue) -> bytes(encoding, List.of(), "reject", id, "ename",
                    ename, "evalue", evalue);
        };
    }

    private static Map<String, @Nullable Object> header(Frame.ToShell request) {
        return switch (request) {
            case Frame.Execute execute -> header("open", "execute", "id", execute.id(), "request", execute.request(),
                    "execution_count", execute.executionCount(), "silent", execute.silent(), "store_history",
                    execute.storeHistory(), "allow_stdin", execute.allowStdin(), "user_expressions",
                    execute.userExpressions());
            case Frame.Complete(var id, var cursor, _) -> header("open", "complete", "id", id, "cursor", cursor);
            case Frame.Inspect(var id, var cursor, var detail, _) -> header("open", "inspect", "id", id, "cursor",
                    cursor, "detail", detail);
            case Frame.IsComplete(var id, _) -> header("open", "is_complete", "id", id);
            case Frame.CommRequest(var id, var kind, var msgId, _, _, _) -> header("open", "comm", "id", id, "kind",
                    kind.wireName(), "request", msgId);
        };
    }

    private static List<byte[]> buffers(Frame.ToShell request) {
        return switch (request) {
            case Frame.Execute execute -> code(execute.code());
            case Frame.Complete(_, _, var code) -> code(code);
            case Frame.Inspect(_, _, _, var code) -> code(code);
            case Frame.IsComplete(_, var code) -> code(code);
            case Frame.CommRequest(_, _, _, var content, var metadata, var buffers) ->
                Stream.concat(Stream.of(content, metadata), buffers.stream()).toList();
        };
    }

    /// @return the whole frame
    public static byte[] encode(Frame.ToSupervisor frame) {
        return switch (frame) {
            case Frame.Begin() -> bytes(Encoding.JSON, List.of(), "signal", "begin");
            case Frame.Kill(var pid, var number) -> bytes(Encoding.JSON, List.of(), "signal", "kill", "pid", pid,
                    "number", number);
        };
    }

    private static List<byte[]> code(String code) {
        return List.of(code.getBytes(StandardCharsets.UTF_8));
    }

    private static byte[] bytes(Encoding encoding, List<byte[]> buffers, Object... fields) {
        return encode(header(fields), buffers, encoding);
    }

    private static Map<String, @Nullable Object> header(Object... fields) {
        var header = new LinkedHashMap<String, @Nullable Object>();
        for (int i = 0; i < fields.length; i += 2) {
            header.put((String) fields[i], fields[i + 1]);
        }
        return header;
    }

    /// Encodes any header: the key `buffers` is added when there are some.
    static byte[] encode(Map<String, @Nullable Object> header, List<byte[]> buffers, Encoding encoding) {
        long bytes = 0;
        if (!buffers.isEmpty()) {
            var lengths = new ArrayList<Integer>(buffers.size());
            for (byte[] buffer : buffers) {
                lengths.add(buffer.length);
                bytes += buffer.length;
            }
            header.put("buffers", lengths);
        }
        byte[] headerBytes = encoding.encode(header);
        if (headerBytes.length > MAX_HEADER_BYTES) {
            throw new FrameException("a frame header of %,d bytes is over the limit of %,d".formatted(
                    headerBytes.length, MAX_HEADER_BYTES));
        }
        int total = Math.toIntExact(Integer.BYTES + headerBytes.length + bytes);
        var frame = ByteBuffer.allocate(Integer.BYTES + total).putInt(total).putInt(headerBytes.length)
                .put(headerBytes);
        buffers.forEach(frame::put);
        return frame.array();
    }

    /// The header and buffers of a received frame.
    record Parts(Map<String, @Nullable Object> header, List<byte[]> buffers) {}

    /// Splits the body of a frame (all after `total`).
    ///
    /// @throws FrameException if the lengths do not add up or the header is not one
    static Parts split(ByteBuffer body, Encoding encoding) {
        int headerLength = body.getInt();
        if (headerLength < 0 || headerLength > body.remaining()) {
            throw new FrameException("frame header of %s bytes is longer than its frame of %d"
                    .formatted(Integer.toUnsignedString(headerLength), body.capacity()));
        }
        byte[] headerBytes = new byte[headerLength];
        body.get(headerBytes);
        var header = encoding.decode(headerBytes);
        var fields = new Fields(header);
        List<Long> lengths = fields.has("buffers") ? fields.list("buffers", Long.class, "lengths") : List.of();
        if (lengths.size() > MAX_BUFFERS) {
            throw new FrameException("frame has %d buffers, over the limit of %d".formatted(lengths.size(),
                    MAX_BUFFERS));
        }
        var buffers = new ArrayList<byte[]>(lengths.size());
        for (long length : lengths) {
            if (length < 0 || length > body.remaining()) {
                throw new FrameException("frame buffer of %d bytes does not fit into the %d bytes that are left"
                        .formatted(length, body.remaining()));
            }
            byte[] buffer = new byte[(int) length];
            body.get(buffer);
            buffers.add(buffer);
        }
        if (body.hasRemaining()) {
            throw new FrameException("frame has %d bytes after its last buffer".formatted(body.remaining()));
        }
        header.remove("buffers");
        return new Parts(header, buffers);
    }

    /// @throws FrameException if the frame is none that a worker may send
    static Frame.FromWorker decode(Parts parts) {
        var fields = new Fields(parts.header());
        int shapes = 0;
        for (String shape : SHAPES) {
            shapes += fields.has(shape) ? 1 : 0;
        }
        if (shapes != 1) {
            throw new FrameException("frame header has not exactly one of signal, open, emit, resolve, reject");
        }
        if (fields.has("signal")) {
            return signal(fields, parts.buffers());
        } else if (fields.has("open")) {
            return open(fields);
        } else if (fields.has("emit")) {
            return emit(fields, parts.buffers());
        } else if (fields.has("resolve")) {
            return new Frame.Resolve(id(fields, "resolve"), fields, parts.buffers());
        }
        return new Frame.Reject(id(fields, "reject"), fields.string("ename"), fields.string("evalue"),
                fields.strings("traceback"), fields.bool("shown", false));
    }

    private static Frame.FromWorker signal(Fields fields, List<byte[]> buffers) {
        return switch (fields.string("signal")) {
            case "hello" -> {
                // Before anything else: what follows may look different in another version.
                if (fields.integer("protocol") != PROTOCOL) {
                    throw new FrameException(
                            "worker speaks frame protocol %d, this kernel speaks %d; install both from the same Capsule"
                                    .formatted(fields.integer("protocol"), PROTOCOL));
                }
                var language = fields.object("language");
                yield new Frame.Hello(PROTOCOL, Encoding.named(fields.string("encoding")), fields.integer("pid"),
                        language.string("name"), language.string("version"), fields.string("implementation"),
                        fields.has("offers") ? fields.strings("offers") : List.of());
            }
            case "ready" -> new Frame.Ready();
            case "snapshot" -> new Frame.Snapshot(fields.integer("pid"), id(fields, "after"));
            case "no_snapshot" -> new Frame.NoSnapshot(id(fields, "after"), fields.string("reason"));
            case "debug_event" -> new Frame.DebugEvent(DebugMessage.event(only("debug_event", buffers)));
            case "revived" -> new Frame.Revived(fields.integer("pid"),
                    fields.has("comms") ? fields.stringMap("comms") : Map.of(),
                    fields.has("cut") ? fields.integer("cut") : 0);
            case "died" -> new Frame.Died(fields.integer("pid"), fields.integer("status"));
            default -> throw new FrameException("unknown signal \"" + fields.string("signal") + "\"");
        };
    }

    private static Frame.FromWorker open(Fields fields) {
        if (!fields.string("open").equals("input")) {
            throw new FrameException("unknown open \"" + fields.string("open") + "\"");
        }
        return new Frame.Input(id(fields, "id"), id(fields, "execution"), fields.string("prompt"),
                fields.bool("password"));
    }

    private static Frame.FromWorker emit(Fields fields, List<byte[]> buffers) {
        String id = id(fields, "id");
        boolean ack = fields.bool("ack", false);
        return switch (fields.string("emit")) {
            case "result" -> new Frame.Result(id, fields.bundle(buffers), ack);
            case "display" -> new Frame.Display(id, fields.bundle(buffers), fields.optionalString("display_id"), ack);
            case "update_display" ->
                new Frame.UpdateDisplay(id, fields.bundle(buffers), fields.string("display_id"), ack);
            case "error" -> new Frame.ShownError(id, fields.string("ename"), fields.string("evalue"),
                    fields.strings("traceback"), ack);
            case "stream" -> new Frame.LateStream(id, stream(fields.string("name")), only("stream", buffers));
            case "part" -> new Frame.Part(id, fields.integer("blob"), only("part", buffers));
            case "fetch" -> new Frame.Fetch(id, fields.integer("blob"));
            case "comm" -> {
                if (buffers.size() < 2) {
                    throw new FrameException(
                            "comm frame has %d buffers, not data and metadata".formatted(buffers.size()));
                }
                yield new Frame.Comm(id, commKind(fields.string("kind")), fields.string("comm_id"),
                        fields.optionalString("target_name").orElse(""), buffers.get(0), buffers.get(1),
                        buffers.subList(2, buffers.size()), ack);
            }
            case "clear_output" -> new Frame.ClearOutput(id, fields.bool("wait"), ack);
            default -> throw new FrameException("unknown emit \"" + fields.string("emit") + "\"");
        };
    }

    private static String id(Fields fields, String name) {
        String id = fields.string(name);
        if (id.length() > Frame.MAX_ID_CHARS) {
            throw new FrameException("frame id of %d characters is over the limit of %d".formatted(id.length(),
                    Frame.MAX_ID_CHARS));
        }
        return id;
    }

    private static Frame.Stream stream(String name) {
        for (var stream : Frame.Stream.values()) {
            if (stream.wireName().equals(name)) {
                return stream;
            }
        }
        throw new FrameException("stream \"" + name + "\" is neither stdout nor stderr");
    }

    private static Frame.CommKind commKind(String name) {
        for (var kind : Frame.CommKind.values()) {
            if (kind.wireName().equals(name)) {
                return kind;
            }
        }
        throw new FrameException("kind \"" + name + "\" of a comm frame is not open, msg or close");
    }

    static byte[] only(String kind, List<byte[]> buffers) {
        if (buffers.size() != 1) {
            throw new FrameException("%s frame has %d buffers, not 1".formatted(kind, buffers.size()));
        }
        return buffers.getFirst();
    }
}
