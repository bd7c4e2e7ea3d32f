package dev.capsule.sandbox;

import java.io.IOException;

/// A worker could not be fenced in as it was asked for, and so must not be started. The message says what the system
/// refused.
public final class SandboxException extends IOException {
    private static final long serialVersionUID = 1L;

    SandboxException(String message) {
        super(message);
    }

    SandboxException(String message, Throwable cause) {
        super(message, cause);
    }
}
