package dev.capsule.channel;

/// A socket cannot be opened: the kernel cannot start. The message names the address and says what to do.
public final class ChannelException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    public ChannelException(String message, Throwable cause) {
        super(message, cause);
    }
}
