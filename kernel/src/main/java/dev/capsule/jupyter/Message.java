package dev.capsule.jupyter;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/// A message received from a client, verified.
///
/// @param identities what a ROUTER received before the delimiter, to be copied in front of the reply
/// @param parentHeader the JSON as received
/// @param content the JSON as received; read with [Request#parse]
public record Message(List<byte[]> identities, Header header, byte[] parentHeader, byte[] metadata, byte[] content,
        List<byte[]> buffers) {
    /// Of content, metadata and parent header together. The heap of 768 MiB holds a cell's code several times until the
    /// worker has it and it is published. (Where Java has two bytes for each of so many characters, or JSON six, there may
    /// be no room left to publish it, but the cell runs.)
    static final int MAX_JSON_BYTES = 64 << 20;

    static final byte[] DELIMITER = {'<', 'I', 'D', 'S', '|', 'M', 'S', 'G', '>'};

    public Message {
        identities = List.copyOf(identities);
        buffers = List.copyOf(buffers);
    }

    /// Reads `[identities…] <IDS|MSG> signature header parent_header metadata content [buffers…]`.
    ///
    /// @param identity the identity of the peer, of which the socket already knows
    /// @throws WireException if the shape is wrong, the signature does not hold, or the header is not one
    public static Message decode(byte[] identity, List<byte[]> frames, Signer signer) {
        int delimiter = 0;
        while (delimiter < frames.size() && !Arrays.equals(frames.get(delimiter), DELIMITER)) {
            delimiter++;
        }
        if (frames.size() - delimiter < 6) {
            throw new WireException("message of %d frames lacks the delimiter or some of its five parts"
                    .formatted(frames.size()));
        }
        var identities = new ArrayList<byte[]>();
        identities.add(identity);
        identities.addAll(frames.subList(0, delimiter));
        var parts = frames.subList(delimiter + 1, frames.size());
        signer.verify(parts.get(0), parts.get(1), parts.get(2), parts.get(3), parts.get(4));
        return new Message(identities, Header.parse(parts.get(1)), parts.get(2), parts.get(3), parts.get(4),
                parts.subList(5, parts.size()));
    }

    /// @throws WireException if it is too long, or parent header or metadata are not JSON
    void check() {
        long bytes = (long) content.length + metadata.length + parentHeader.length;
        if (bytes > MAX_JSON_BYTES) {
            throw new WireException("%s with %,d bytes of content, metadata and parent header; the limit is %,d"
                    .formatted(header.msgType(), bytes, MAX_JSON_BYTES));
        }
        Json.parse("parent_header", parentHeader);
        Json.parse("metadata", metadata);
    }

    /// The same without parent, content, metadata and buffers: what an answer needs of it.
    public Message head() {
        return new Message(identities, header, Content.empty(), Content.empty(), Content.empty(), List.of());
    }

    /// The `msg_id` of the message that this one answers; empty when it names none.
    ///
    /// @throws WireException if the parent header is not JSON
    public String parentMsgId() {
        return Json.parse("parent_header", parentHeader).string("msg_id", "");
    }
}
