package dev.capsule.policy;

/// The user's profiles cannot be used as they are. The message names the file, the key, the value and what is allowed.
public final class PolicyException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    PolicyException(String message) {
        super(message);
    }

    PolicyException(String message, Throwable cause) {
        super(message, cause);
    }
}
