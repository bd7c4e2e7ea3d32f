package dev.capsule.jupyter;

import dev.capsule.json.JsonWriter;
import dev.capsule.json.Timestamp;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Stream;

/// Makes outgoing messages: header, signature and frames (Jupyter messaging, "The wire protocol"). One for the life of a
/// kernel, since clients see a restart by the new session. Safe for use by several threads.
public final class Wire {
    static final String PROTOCOL_VERSION = "5.5";

    /// More than the protocol has.
    private static final int MAX_TYPES = 100;
    private static final byte[] NO_METADATA = Content.empty();

    private final Signer signer;
    private final String session = UUID.randomUUID().toString();
    private final byte[] headerStart;
    private final byte[] headerEnd;
    private final AtomicLong count = new AtomicLong();
    private final Map<String, MessageType> types = new ConcurrentHashMap<>();

    /// @param username as Jupyter's header has it
    public Wire(Signer signer, String username) {
        this.signer = signer;
        byte[] strings = Json.object(json -> {
            json.field("session", session);
            json.field("username", username);
            json.field("version", PROTOCOL_VERSION);
        });
        headerStart = ascii("{\"msg_id\":\"" + session + "_");
        headerEnd = strings;
        headerEnd[0] = ',';
    }

    /// What all messages of a type have in common.
    ///
    /// @param middle of the header: from the message's number to its date
    private record MessageType(byte[] topic, byte[] middle) {}

    private MessageType type(String msgType) {
        var known = types.get(msgType);
        if (known != null) {
            return known;
        }
        String name = new String(JsonWriter.of(msgType), StandardCharsets.US_ASCII);
        var made = new MessageType(ascii("kernel." + session + "." + msgType),
                ascii("\",\"msg_type\":" + name + ",\"date\":\""));
        // A refusal has the name that the client gave its request.
        if (types.size() < MAX_TYPES) {
            types.put(msgType, made);
        }
        return made;
    }

    private static byte[] ascii(String text) {
        return text.getBytes(StandardCharsets.US_ASCII);
    }

    /// An outgoing message, and the id by which an answer will name it.
    ///
    /// @param frames from the delimiter on
    public record Encoded(String msgId, List<byte[]> frames) {
        public Encoded {
            frames = List.copyOf(frames);
        }
    }

    /// @param parentHeader the raw header of the request that this answers, or [Content#empty()]
    public Encoded encode(String msgType, byte[] parentHeader, byte[] content) {
        long number = count.incrementAndGet();
        byte[] header = header(type(msgType), number);
        return new Encoded(session + "_" + number, List.of(Message.DELIMITER,
                signer.sign(header, parentHeader, NO_METADATA, content), header, parentHeader, NO_METADATA, content));
    }

    /// The parts are our own and need no escaping.
    private byte[] header(MessageType type, long number) {
        byte[] digits = ascii(Long.toString(number));
        byte[] header = new byte[headerStart.length + digits.length + type.middle.length + Timestamp.BYTES + 1
                + headerEnd.length];
        int at = append(header, 0, headerStart);
        at = append(header, at, digits);
        at = append(header, at, type.middle);
        at = Timestamp.append(header, at, Instant.now());
        header[at] = '"';
        append(header, at + 1, headerEnd);
        return header;
    }

    private static int append(byte[] target, int at, byte[] bytes) {
        System.arraycopy(bytes, 0, target, at, bytes.length);
        return at + bytes.length;
    }

    /// The topic of messages of a type on iopub.
    public byte[] topic(String msgType) {
        return type(msgType).topic;
    }

    /// A message on iopub: its topic comes first, by convention `kernel.<session>.<type>`.
    public List<byte[]> encodeBroadcast(String msgType, byte[] parentHeader, byte[] content) {
        return encodeBroadcast(msgType, parentHeader, NO_METADATA, content, List.of());
    }

    /// @param metadata a JSON object
    /// @param buffers bytes that follow the content as they are
    public List<byte[]> encodeBroadcast(String msgType, byte[] parentHeader, byte[] metadata, byte[] content,
            List<byte[]> buffers) {
        var type = type(msgType);
        byte[] header = header(type, count.incrementAndGet());
        byte[] signature = signer.sign(header, parentHeader, metadata, content);
        var message = List.of(type.topic, Message.DELIMITER, signature, header, parentHeader, metadata, content);
        return buffers.isEmpty() ? message : Stream.concat(message.stream(), buffers.stream()).toList();
    }
}
