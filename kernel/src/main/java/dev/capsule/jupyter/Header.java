package dev.capsule.jupyter;

import java.util.Optional;

/// The header of a received message (Jupyter messaging, "Message header").
///
/// @param raw the JSON as received, to be copied into the `parent_header` of whatever answers it
/// @param subshellId present only in requests for a subshell (JEP 91)
public record Header(byte[] raw, String msgId, String msgType, String session, Optional<String> subshellId) {

    /// @throws WireException if it is not JSON, or `msg_id` or `msg_type` is missing
    static Header parse(byte[] raw) {
        var header = Json.parse("header", raw);
        return new Header(raw, header.string("msg_id"), header.string("msg_type"), header.string("session", ""),
                header.optionalString("subshell_id"));
    }
}
