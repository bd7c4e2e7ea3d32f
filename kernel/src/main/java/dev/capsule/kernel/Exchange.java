package dev.capsule.kernel;

import dev.capsule.channel.RouterSocket;
import dev.capsule.jupyter.Content;
import dev.capsule.jupyter.Message;
import dev.capsule.jupyter.Wire;
import dev.capsule.log.Logs;
import dev.capsule.session.CommMessage;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.ArrayList;
import java.util.Optional;

/// One request and what answers it: the kernel is `busy` with it from [#open] to [#close], which comes after the last
/// message that is about it (Jupyter messaging, "Request-Reply").
final class Exchange implements AutoCloseable {
    private static final Logger LOG = Logs.of(Exchange.class);

    private final Message request;
    private final RouterSocket socket;
    private final Wire wire;
    private final Iopub iopub;
    private boolean opened;

    Exchange(Message request, RouterSocket socket, Wire wire, Iopub iopub) {
        // Late output needs it long after, when a comm's buffers would fill the memory.
        this.request = request.head();
        this.socket = socket;
        this.wire = wire;
        this.iopub = iopub;
    }

    /// Whatever is said of the request opens it, too; a second time does nothing.
    Exchange open() {
        if (!opened) {
            opened = true;
            iopub.begins(this);
        }
        return this;
    }

    Message request() {
        return request;
    }

    void publish(String msgType, byte[] content) {
        open();
        iopub.publish(msgType, request.header().raw(), content);
    }

    /// Publishes something that user code made: it waits while clients have much to read.
    void publishOutput(String msgType, byte[] content) {
        iopub.awaitRoom();
        publish(msgType, content);
    }

    /// Publishes what user code says by a comm, and waits as for an output.
    void publish(CommMessage comm) {
        open();
        iopub.awaitRoom();
        switch (comm.kind()) {
            case OPEN -> publish("comm_open", Content.commOpen(comm.commId(), comm.target(), comm.dataJson()), comm);
            case MSG -> publish("comm_msg", Content.comm(comm.commId(), comm.dataJson()), comm);
            case CLOSE -> publish("comm_close", Content.comm(comm.commId(), comm.dataJson()), comm);
        }
    }

    private void publish(String msgType, byte[] content, CommMessage comm) {
        iopub.publish(msgType, request.header().raw(), comm.metadataJson(), content, comm.buffers());
    }

    /// @param text UTF-8
    void stream(String name, byte[] text) {
        open();
        iopub.stream(request.header().raw(), name, text);
    }

    void reply(byte[] content) {
        open();
        send(socket, wire, request, request.header().msgType().replace("_request", "_reply"), content);
    }

    /// Sends to the client that a request came from.
    ///
    /// @return the message's id; empty when the client is not connected to this socket
    static Optional<String> send(RouterSocket socket, Wire wire, Message request, String msgType,
            byte[] content) {
        var message = wire.encode(msgType, request.header().raw(), content);
        var frames = new ArrayList<>(request.identities().subList(1, request.identities().size()));
        frames.addAll(message.frames());
        if (socket.send(request.identities().getFirst(), frames)) {
            return Optional.of(message.msgId());
        }
        LOG.log(Level.DEBUG,
                () -> msgType + " has nobody to go to: the client of " + request.header().msgId() + " left");
        return Optional.empty();
    }

    @Override
    public void close() {
        iopub.ended(this);
    }
}
