package dev.capsule.channel;

import java.io.EOFException;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.util.List;

/// A client of one of our sockets, which waits for what it reads. For one thread.
public final class Dealer implements AutoCloseable {
    private static final int BUFFER_BYTES = 64 << 10;
    private static final long MAX_MESSAGE_BYTES = 64L << 20;

    private final SocketChannel connection;
    private final ByteBuffer out = ByteBuffer.allocate(BUFFER_BYTES);
    private final ByteBuffer in = ByteBuffer.allocate(BUFFER_BYTES).flip();
    private final FrameEncoder encoder = new FrameEncoder();
    private final FrameDecoder decoder = new FrameDecoder(MAX_MESSAGE_BYTES);

    /// Connects.
    ///
    /// @param socketType as ZMTP's READY has it, such as `DEALER`
    /// @throws IOException if nobody listens, or it is no ZMTP
    public Dealer(InetSocketAddress address, String socketType) throws IOException {
        connection = SocketChannel.open(address);
        try {
            encoder.raw(Greeting.ours());
            flush();
            byte[] theirs = new byte[Greeting.BYTES];
            for (int i = 0; i < theirs.length; i++) {
                fill();
                theirs[i] = in.get();
            }
            Greeting.check(theirs, theirs.length);
            encoder.raw(Traffic.Command.ready(socketType).encode());
            flush();
        } catch (IOException | RuntimeException e) {
            connection.close();
            throw e;
        }
    }

    /// Sends a message; from a `SUB`, one that begins with a byte 1 is a subscription.
    public void send(List<byte[]> frames) throws IOException {
        encoder.message(frames);
        flush();
    }

    /// @return the next message, of one frame at least
    /// @throws EOFException if the connection is closed
    public List<byte[]> receive() throws IOException {
        while (true) {
            if (decoder.next(in) instanceof Traffic.Message(var frames)) {
                return frames;
            }
            fill();
        }
    }

    private void flush() throws IOException {
        boolean done = false;
        while (!done) {
            done = encoder.writeTo(out);
            out.flip();
            while (out.hasRemaining()) {
                connection.write(out);
            }
            out.clear();
        }
    }

    private void fill() throws IOException {
        if (!in.hasRemaining()) {
            in.clear();
            int count = connection.read(in);
            in.flip();
            if (count < 0) {
                throw new EOFException("the kernel has closed the connection");
            }
        }
    }

    @Override
    public void close() throws IOException {
        connection.close();
    }
}
