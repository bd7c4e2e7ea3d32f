package dev.capsule.channel;

import dev.capsule.log.Logs;
import java.io.EOFException;
import java.io.IOException;
import java.lang.System.Logger.Level;
import java.net.ProtocolException;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;

/// One connection to a socket. Read by the reactor thread alone; written to by any thread, under the lock: at once as
/// far as the connection takes it, the rest from the backlog by the reactor thread.
final class Peer {
    private static final System.Logger LOG = Logs.of(Peer.class);

    /// All writes go through a buffer of this size: one system call for many small messages, and the temporary direct
    /// buffer that the JDK keeps for each thread that writes stays this small, which it would not be if large frames
    /// were handed to the channel.
    private static final int OUTPUT_BYTES = 64 * 1024;

    /// What one peer is written before it is the turn of the others.
    private static final long TURN_BYTES = 1024 * 1024;

    /// The one command before the handshake is done is READY with two or three short properties.
    private static final int MAX_HANDSHAKE_BYTES = 4096;

    /// Of an identity (REQREP, `rfc.zeromq.org/spec/28`).
    private static final int MAX_IDENTITY_BYTES = 255;

    /// When a message is written, if the connection takes it: at once, or by [#release].
    enum When {
        NOW, RELEASED
    }

    private final BoundSocket socket;
    private final SocketChannel channel;
    private final SelectionKey key;
    private final String name;
    private final long acceptedNanos = System.nanoTime();

    // Reactor thread.
    private final byte[] greeting = new byte[Greeting.BYTES];
    private int greeted;
    private final FrameDecoder decoder = new FrameDecoder(MAX_HANDSHAKE_BYTES);
    private boolean ready;
    private boolean spoke;
    /// Written on the reactor thread before other threads know of this peer.
    private byte[] identity = {};

    private final Object lock = new Object();
    // Guarded by the lock.
    private final Backlog backlog;
    private final ByteBuffer output = ByteBuffer.allocate(OUTPUT_BYTES);
    /// Whether the selector is asked to tell when the connection takes more.
    private boolean waiting;
    private boolean closed;

    /// Written under the lock; read by who waits for room, which must not wait for the lock.
    private volatile long backlogBytes;
    private volatile long progressNanos;

    /// Called on the reactor thread.
    Peer(BoundSocket socket, SocketChannel channel, Selector selector) throws IOException {
        this.socket = socket;
        this.channel = channel;
        this.name = socket.traits().type() + " client " + channel.getRemoteAddress();
        this.backlog = new Backlog(socket.traits().limits());
        this.key = channel.register(selector, SelectionKey.OP_READ, this);
    }

    /// Opens the conversation.
    void greet() {
        sendRaw(Greeting.ours());
    }

    /// Reads once, by way of `input`, and handles what arrived. Reactor thread.
    ///
    /// @throws ProtocolException if it is not ZMTP, or not what this socket talks to
    /// @throws IOException if the connection ended; in both cases it must be closed
    void read(ByteBuffer input) throws IOException {
        input.clear();
        if (channel.read(input) < 0) {
            throw new EOFException("closed by the client");
        }
        received(input.flip());
    }

    /// Makes the selector tell only of room for output.
    ///
    /// @return false when the connection is closed
    boolean stopReading() {
        synchronized (lock) {
            if (!closed) {
                key.interestOpsAnd(~SelectionKey.OP_READ);
            }
            return !closed;
        }
    }

    /// Reads and forgets what is there.
    void discardInput(ByteBuffer input) throws IOException {
        do {
            input.clear();
        } while (channel.read(input) == input.capacity());
    }

    private void received(ByteBuffer in) throws ProtocolException {
        if (greeted < Greeting.BYTES) {
            int size = Math.min(in.remaining(), Greeting.BYTES - greeted);
            in.get(greeting, greeted, size);
            greeted += size;
            Greeting.check(greeting, greeted);
        }
        Traffic next;
        while (!isClosed() && (next = decoder.next(in)) != null) {
            switch (next) {
                case Traffic.Command command -> command(command);
                case Traffic.Message message -> message(message);
            }
        }
    }

    private void message(Traffic.Message message) throws ProtocolException {
        if (!ready) {
            throw new ProtocolException("a message before READY");
        }
        socket.received(this, message.frames());
    }

    private void command(Traffic.Command command) throws ProtocolException {
        if (!ready) {
            handshake(command);
            return;
        }
        switch (command.name()) {
            // After the two bytes of a time to live comes a context, to be sent back (ZMTP 3.1, "Connection Heartbeating").
            case "PING" -> sendRaw(new Traffic.Command("PONG", context(command.data())).encode());
            case "ERROR" -> throw new ProtocolException("an ERROR command");
            default -> socket.command(this, command);
        }
    }

    private static byte[] context(byte[] ping) throws ProtocolException {
        if (ping.length < 2 || ping.length > 18) {
            throw new ProtocolException("a PING of %d bytes; it has 2 to 18".formatted(ping.length));
        }
        return Arrays.copyOfRange(ping, 2, ping.length);
    }

    private void handshake(Traffic.Command command) throws ProtocolException {
        if (!command.name().equals("READY")) {
            throw new ProtocolException("another command than READY first");
        }
        var metadata = command.metadata();
        var type = new String(metadata.getOrDefault("socket-type", new byte[0]), StandardCharsets.US_ASCII);
        if (!socket.traits().accepts().contains(type)) {
            throw new ProtocolException("not a socket of a type among " + socket.traits().accepts());
        }
        byte[] identity = metadata.getOrDefault("identity", new byte[0]);
        if (identity.length > MAX_IDENTITY_BYTES) {
            throw new ProtocolException("an identity of %d bytes; the limit is %d".formatted(identity.length,
                    MAX_IDENTITY_BYTES));
        }
        ready = true;
        decoder.maxBytes(socket.traits().maxMessageBytes());
        if (sendRaw(Traffic.Command.ready(socket.traits().type()).encode())) {
            socket.connected(this, identity);
        }
    }

    /// Whether it is connected and has not introduced itself. Reactor thread.
    boolean isShakingHands() {
        return !ready && !isClosed();
    }

    /// When it connected, by [System#nanoTime].
    long acceptedNanos() {
        return acceptedNanos;
    }

    /// Whether this is asked for the first time. Reactor thread.
    boolean speaksFirst() {
        boolean first = !spoke;
        spoke = true;
        return first;
    }

    byte[] identity() {
        return identity;
    }

    /// Sets what the socket calls this peer.
    void identity(byte[] given) {
        identity = given;
    }

    /// Sends a message, now or when the peer has read what is before it.
    ///
    /// @return false when the connection is closed: it was before, or too much waits, or it just broke
    boolean send(List<byte[]> frames) {
        return enqueue(() -> backlog.add(frames), When.NOW);
    }

    /// The same at the given time.
    void send(List<byte[]> frames, When when) {
        enqueue(() -> backlog.add(frames), when);
    }

    /// Sends a text, as the backlog may change it.
    ///
    /// @param frames the message of the text
    void send(Publication.Text text, Supplier<List<byte[]>> frames, When when) {
        enqueue(() -> {
            backlog.add(text, frames);
            return true;
        }, when);
    }

    private boolean sendRaw(byte[] wire) {
        return enqueue(() -> backlog.addRaw(wire), When.NOW);
    }

    private boolean enqueue(BooleanSupplier add, When when) {
        synchronized (lock) {
            if (closed) {
                return false;
            }
            boolean idle = isIdle();
            if (!add.getAsBoolean()) {
                LOG.log(Level.WARNING, () -> "disconnecting " + this + ": it does not read; with the "
                        + backlog.bytes() + " bytes that wait for it, one message more is over the limit of "
                        + socket.traits().limits().messageBytes());
                close();
            } else if (idle && when == When.NOW) {
                flush();
            } else {
                backlogBytes = backlog.bytes();
            }
            return !closed;
        }
    }

    /// Writes what waits for nothing but this.
    void release() {
        synchronized (lock) {
            if (!waiting && !isIdle()) {
                flush();
            }
        }
    }

    private boolean isIdle() {
        return backlog.isEmpty() && output.position() == 0;
    }

    /// Writes until the connection takes no more, nothing is left, or it is the turn of the others.
    void flush() {
        synchronized (lock) {
            if (closed) {
                return;
            }
            try {
                write();
            } catch (IOException e) {
                // Resets are how clients end.
                LOG.log(Level.DEBUG, () -> "connection of " + this + " broke: " + e);
                close();
            }
        }
    }

    private void write() throws IOException {
        long written = 0;
        do {
            backlog.moveTo(output);
            output.flip();
            written += channel.write(output);
            output.compact();
        } while (output.position() == 0 && !backlog.isEmpty() && written < TURN_BYTES);
        if (written > 0 || !waiting) {
            progressNanos = System.nanoTime();
        }
        if (waiting == isIdle()) {
            waiting = !waiting;
            if (waiting) {
                key.interestOpsOr(SelectionKey.OP_WRITE);
                key.selector().wakeup();
            } else {
                key.interestOpsAnd(~SelectionKey.OP_WRITE);
            }
        }
        long before = backlogBytes;
        backlogBytes = backlog.bytes();
        if (backlogBytes < before) {
            socket.drained(this);
        }
    }

    /// Whether something waits until the connection takes more.
    boolean isWaiting() {
        synchronized (lock) {
            return waiting && !closed;
        }
    }

    boolean isClosed() {
        synchronized (lock) {
            return closed;
        }
    }

    /// All that waits for this peer, as the backlog counts it.
    long backlogBytes() {
        return backlogBytes;
    }

    /// When, by [System#nanoTime], the connection last took something, or something first had to wait for it.
    long progressNanos() {
        return progressNanos;
    }

    /// Closes the connection and forgets what waits. Any thread.
    void close() {
        synchronized (lock) {
            if (closed) {
                return;
            }
            closed = true;
            backlog.clear();
            backlogBytes = 0;
        }
        try {
            channel.close();
        } catch (IOException e) {
            LOG.log(Level.DEBUG, () -> "closing " + this + ": " + e);
        }
        socket.closed(this);
        // The descriptor is let go of in the selector's next turn.
        key.selector().wakeup();
    }

    @Override
    public String toString() {
        return name;
    }
}
