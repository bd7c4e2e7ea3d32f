package dev.capsule.frame;

import java.util.Objects;

/// The peer broke the frame protocol: end the worker. The message gives what came, the value and the limit.
public final class FrameException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    public FrameException(String message) {
        super(message);
    }

    public FrameException(String message, Throwable cause) {
        super(message, cause);
    }

    @Override
    public String getMessage() {
        return Objects.requireNonNull(super.getMessage());
    }
}
