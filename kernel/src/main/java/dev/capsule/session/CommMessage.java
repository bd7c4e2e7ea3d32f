package dev.capsule.session;

import dev.capsule.frame.Frame;
import java.util.List;

/// What a comm of the worker says to the front ends (Jupyter messaging, "Custom Messages").
///
/// @param target empty unless it opens the comm
/// @param dataJson a JSON value; the metadata is an object
public record CommMessage(Kind kind, String commId, String target, byte[] dataJson, byte[] metadataJson,
        List<byte[]> buffers) {
    public enum Kind {
        OPEN, MSG, CLOSE;

        Frame.CommKind ofFrame() {
            return switch (this) {
                case OPEN -> Frame.CommKind.OPEN;
                case MSG -> Frame.CommKind.MSG;
                case CLOSE -> Frame.CommKind.CLOSE;
            };
        }
    }

    public CommMessage {
        buffers = List.copyOf(buffers);
    }

    static CommMessage of(Frame.Comm comm) {
        var kind = switch (comm.kind()) {
            case OPEN -> Kind.OPEN;
            case MSG -> Kind.MSG;
            case CLOSE -> Kind.CLOSE;
        };
        return new CommMessage(kind, comm.commId(), comm.target(), comm.data(), comm.metadata(), comm.buffers());
    }
}
