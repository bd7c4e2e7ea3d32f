package dev.capsule.jupyter;

import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicLong;

/// Makes outgoing messages: header, signature and frames (Jupyter messaging, "The wire protocol"). One for the life of a
/// kernel, since clients see a restart by the new session. Safe for use by several threads.
public final class Wire {
    static final String PROTOCOL_VERSION = "5.5";

    private static final byte[] NO_METADATA = Content.empty();

    private final Signer signer;
    private final String session = UUID.randomUUID().toString();
    private final String headerEnd;
    private final AtomicLong count = new AtomicLong();

    /// @param username as Jupyter's header has it
    public Wire(Signer signer, String username) {
        this.signer = signer;
        var strings = Json.object(json -> {
            json.writeStringField("session", session);
            json.writeStringField("username", username);
            json.writeStringField("version", PROTOCOL_VERSION);
        });
        headerEnd = "," + new String(strings, StandardCharsets.UTF_8).substring(1);
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
        return encode(msgType, parentHeader, NO_METADATA, content, List.of());
    }

    private Encoded encode(String msgType, byte[] parentHeader, byte[] metadata, byte[] content,
            List<byte[]> buffers) {
        String msgId = session + "_" + count.incrementAndGet();
        // The parts are our own and need no escaping.
        byte[] header = ("{\"msg_id\":\"" + msgId + "\",\"msg_type\":\"" + msgType + "\",\"date\":\"" + now() + "\""
                + headerEnd).getBytes(StandardCharsets.UTF_8);
        byte[] signature = signer.sign(header, parentHeader, metadata, content);
        var frames = new ArrayList<byte[]>(6 + buffers.size());
        frames.addAll(List.of(Message.DELIMITER, signature, header, parentHeader, metadata, content));
        frames.addAll(buffers);
        return new Encoded(msgId, frames);
    }

    /// The topic of messages of a type on iopub.
    public byte[] topic(String msgType) {
        return ("kernel." + session + "." + msgType).getBytes(StandardCharsets.US_ASCII);
    }

    /// A message on iopub: its topic comes first, by convention `kernel.<session>.<type>`.
    public List<byte[]> encodeBroadcast(String msgType, byte[] parentHeader, byte[] content) {
        return encodeBroadcast(msgType, parentHeader, NO_METADATA, content, List.of());
    }

    /// @param metadata a JSON object
    /// @param buffers bytes that follow the content as they are
    public List<byte[]> encodeBroadcast(String msgType, byte[] parentHeader, byte[] metadata, byte[] content,
            List<byte[]> buffers) {
        var frames = new ArrayList<byte[]>(7 + buffers.size());
        frames.add(topic(msgType));
        frames.addAll(encode(msgType, parentHeader, metadata, content, buffers).frames());
        return frames;
    }

    /// ISO 8601 in UTC with microseconds, without the cost that a formatter adds to the start of a kernel.
    private static String now() {
        var now = Instant.now();
        long days = Math.floorDiv(now.getEpochSecond(), 86_400L);
        int second = (int) Math.floorMod(now.getEpochSecond(), 86_400L);
        var date = LocalDate.ofEpochDay(days);
        var text = new StringBuilder(27);
        text.append(date.getYear());
        twoDigits(text.append('-'), date.getMonthValue());
        twoDigits(text.append('-'), date.getDayOfMonth());
        twoDigits(text.append('T'), second / 3_600);
        twoDigits(text.append(':'), second / 60 % 60);
        twoDigits(text.append(':'), second % 60);
        int micros = now.getNano() / 1_000;
        twoDigits(text.append('.'), micros / 10_000);
        twoDigits(text, micros / 100 % 100);
        twoDigits(text, micros % 100);
        return text.append('Z').toString();
    }

    private static void twoDigits(StringBuilder text, int value) {
        text.append((char) ('0' + value / 10)).append((char) ('0' + value % 10));
    }
}
