package dev.capsule.jupyter;

import java.util.Optional;

/// The header of a received message (Jupyter messaging, "Message header").
///
/// @param raw the JSON as received, to be copied into the `parent_header` of whatever answers it
/// @param subshellId present only in requests for a subshell (JEP 91)
public record Header(byte[] raw, String msgId, String msgType, String session, Optional<String> subshellId) {

    /// It is part of all that answers the message.
    static final int MAX_BYTES = 1 << 16;

    /// @throws WireException if it is too long or not JSON, or `msg_id` or `msg_type` is missing
    static Header parse(byte[] raw) {
        if (raw.length > MAX_BYTES) {
            throw new WireException("header of %,d bytes; the limit is %,d".formatted(raw.length, MAX_BYTES));
        }
        var header = Json.parse("header", raw);
        // Of a thousand requests the header is kept, and what is alike in all only once.
        return new Header(raw, header.string("msg_id"), header.string("msg_type").intern(),
                header.string("session", "").intern(),
                header.optionalString("subshell_id"));
    }
}
