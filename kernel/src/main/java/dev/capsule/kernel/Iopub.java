package dev.capsule.kernel;

import dev.capsule.channel.PublisherSocket;
import dev.capsule.channel.Publication;
import dev.capsule.channel.Reactor;
import dev.capsule.jupyter.Content;
import dev.capsule.jupyter.Content.ExecutionState;
import dev.capsule.jupyter.Wire;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/// What every client sees: publishes messages under the request that caused them. Safe for several threads.
final class Iopub {
    private static final int PIECE_BYTES = 1 << 20;

    private final Wire wire;
    private final PublisherSocket socket;

    /// Guarded by itself: what is being answered, oldest first.
    private final Set<Exchange> open = new LinkedHashSet<>();

    Iopub(Wire wire, Reactor reactor, InetSocketAddress address) {
        this.wire = wire;
        socket = new PublisherSocket(reactor, address, PublisherSocket.Limits.DEFAULT, prefix -> wire
                .encodeBroadcast("iopub_welcome", Content.empty(),
                        Content.iopubWelcome(new String(prefix, StandardCharsets.UTF_8))));
    }

    /// Has clients get in one piece what is published meanwhile, by this thread.
    void together(Runnable publishing) {
        socket.together(publishing);
    }

    /// Has clients get now what was published so far.
    void release() {
        socket.release();
    }

    /// Publishes that the kernel is busy with a request.
    void begins(Exchange exchange) {
        synchronized (open) {
            open.add(exchange);
        }
        publishStatus(exchange, ExecutionState.BUSY);
    }

    /// Publishes that the kernel is idle, after this request. Front ends and Jupyter's server take the last status that they
    /// see for the kernel's own, whosever it is; so that of another request that is still being answered follows.
    void ended(Exchange exchange) {
        synchronized (open) {
            open.remove(exchange);
            publishStatus(exchange, ExecutionState.IDLE);
            if (!open.isEmpty()) {
                publishStatus(open.iterator().next(), ExecutionState.BUSY);
            }
        }
    }

    private void publishStatus(Exchange exchange, ExecutionState state) {
        publish("status", exchange.request().header().raw(), Content.status(state));
    }

    /// @param parentHeader of the request, raw, or [Content#empty()]
    void publish(String msgType, byte[] parentHeader, byte[] content) {
        socket.publish(new Publication.Plain(wire.encodeBroadcast(msgType, parentHeader, content)));
    }

    /// The same with metadata, a JSON object, and buffers that follow the content.
    void publish(String msgType, byte[] parentHeader, byte[] metadata, byte[] content, List<byte[]> buffers) {
        socket.publish(
                new Publication.Plain(wire.encodeBroadcast(msgType, parentHeader, metadata, content, buffers)));
    }

    /// Publishes text that a slow client may get in larger pieces, or not at all, with a note that says so. Waits while
    /// a client that does read has much of it waiting.
    ///
    /// @param name `stdout` or `stderr`
    /// @param text UTF-8
    void stream(byte[] parentHeader, String name, byte[] text) {
        var stream = new CellStream(wire, parentHeader, name);
        int start = 0;
        while (start < text.length) {
            int end = Math.min(text.length, start + PIECE_BYTES);
            // Three steps at most: in text that is not UTF-8 there may be no beginning of a character.
            for (int step = 0; step < 3 && end < text.length && isInsideCharacter(text[end]); step++) {
                end--;
            }
            awaitRoom();
            socket.publish(new Publication.Text(stream,
                    end - start == text.length ? text : Arrays.copyOfRange(text, start, end)));
            start = end;
        }
    }

    private static boolean isInsideCharacter(byte utf8) {
        return (utf8 & 0xc0) == 0x80;
    }

    /// Waits while a client that does read has much output waiting. Not for the sockets' own threads.
    void awaitRoom() {
        try {
            socket.awaitRoom();
        } catch (InterruptedException e) {
            throw new IllegalStateException("a worker's thread is never interrupted", e);
        }
    }

    /// Waits until the clients that have connected get what is published from now on. Not for the sockets' own threads.
    void awaitSubscriptions() {
        try {
            socket.awaitSubscriptions();
        } catch (InterruptedException e) {
            throw new IllegalStateException("a socket's thread is never interrupted", e);
        }
    }

    /// One stream of one cell; equal for equal cells, so that its texts can be joined.
    private record CellStream(Wire wire, byte[] parentHeader, String name) implements Publication.TextStream {
        @Override
        public byte[] topic() {
            return wire.topic("stream");
        }

        @Override
        public List<byte[]> frames(byte[] utf8) {
            return wire.encodeBroadcast("stream", parentHeader, Content.stream(name, utf8));
        }

        @Override
        public byte[] droppedNote(long lines, long bytes) {
            return "\n[Capsule: %,d lines (%,d bytes) of %s were dropped here, because this client did not read them in time]\n"
                    .formatted(lines, bytes, name).getBytes(StandardCharsets.UTF_8);
        }

        @Override
        public boolean equals(Object other) {
            return other instanceof CellStream stream && name.equals(stream.name)
                    && Arrays.equals(parentHeader, stream.parentHeader);
        }

        @Override
        public int hashCode() {
            return 31 * Arrays.hashCode(parentHeader) + name.hashCode();
        }
    }
}
