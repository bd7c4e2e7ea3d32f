package dev.capsule.json;

/// The text is not JSON, or over a limit. The message says where and why; it never holds more of the text than a key.
public final class JsonException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    JsonException(String message) {
        super(message);
    }
}
