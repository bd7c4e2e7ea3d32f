package dev.capsule.session;

import dev.capsule.frame.Frame;
import java.util.List;

/// What a front end says to a comm of the worker.
///
/// @param target empty unless it opens the comm
/// @param request the front end's name for it, its `msg_id`
/// @param contentJson of Jupyter's message, as received; so is the metadata
public record CommRequest(CommMessage.Kind kind, String commId, String target, String request, byte[] contentJson,
        byte[] metadataJson, List<byte[]> buffers) {
    /// One with more buffers cannot be handed on.
    public static final int MAX_BUFFERS = Frame.CommRequest.MAX_BUFFERS;

    public CommRequest {
        buffers = List.copyOf(buffers);
    }

    Frame.ToShell frame(String id) {
        return new Frame.CommRequest(id, kind.ofFrame(), request, contentJson, metadataJson, buffers);
    }
}
