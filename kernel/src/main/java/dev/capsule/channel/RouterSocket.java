package dev.capsule.channel;

import dev.capsule.log.Logs;
import java.lang.System.Logger.Level;
import java.net.InetSocketAddress;
import java.net.ProtocolException;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/// A ROUTER: gives each message with the identity of the peer it came from, and sends to the peer with an identity
/// (REQREP, `rfc.zeromq.org/spec/28`). For shell, control and stdin.
public final class RouterSocket extends BoundSocket {
    private static final System.Logger LOG = Logs.of(RouterSocket.class);
    private static final Traits TRAITS = new Traits("ROUTER", Set.of("DEALER", "REQ", "ROUTER"), 512L << 20,
            new Backlog.Limits(256L << 20, 0));

    /// What is done with messages.
    @FunctionalInterface
    public interface Handler {
        /// Handles a message. Called on the reactor thread; meanwhile nothing else is read on this reactor.
        ///
        /// @param socket that they came to: a peer may be here before whoever has made the socket has hold of it
        /// @param identity to [RouterSocket#send] to; the frames are without it
        void received(RouterSocket socket, byte[] identity, List<byte[]> frames);
    }

    private final Handler handler;
    private final Runnable beforeFirst;
    private final Map<ByteBuffer, Peer> peers = new ConcurrentHashMap<>();
    /// Of the last peer that came without an identity. Reactor thread.
    private int lastGenerated;

    /// Listens at once.
    ///
    /// @throws ChannelException if the address cannot be had
    public RouterSocket(Reactor reactor, InetSocketAddress address, Handler handler) {
        this(reactor, address, handler, () -> {});
    }

    /// Listens at once.
    ///
    /// @param beforeFirst runs on the reactor thread before the first message of each connection is handled
    /// @throws ChannelException if the address cannot be had
    public RouterSocket(Reactor reactor, InetSocketAddress address, Handler handler, Runnable beforeFirst) {
        super(address, TRAITS);
        this.handler = handler;
        this.beforeFirst = beforeFirst;
        reactor.listen(this);
    }

    /// Sends to the peer with this identity, in the order of the calls for one peer. Any thread; never waits. A peer
    /// that lets 256 MiB wait is disconnected.
    ///
    /// @param frames not to be changed afterwards
    /// @return false when there is no such peer
    public boolean send(byte[] identity, List<byte[]> frames) {
        var peer = peers.get(ByteBuffer.wrap(identity));
        return peer != null && peer.send(frames);
    }

    @Override
    void connected(Peer peer, byte[] announced) throws ProtocolException {
        if (announced.length > 0 && announced[0] == 0) {
            throw new ProtocolException("an identity with a leading zero, as only generated ones have");
        }
        // Leading zero and four bytes, as libzmq has it.
        byte[] identity = announced.length > 0 ? announced : ByteBuffer.allocate(5).putInt(1, ++lastGenerated).array();
        peer.identity(identity);
        // As with ROUTER_HANDOVER: who reconnects is often here before the end of the old connection is seen.
        var old = peers.put(ByteBuffer.wrap(identity), peer);
        if (old != null) {
            LOG.log(Level.DEBUG, () -> peer + " takes over the identity of " + old);
            old.close();
        }
    }

    @Override
    void received(Peer peer, List<byte[]> frames) {
        try {
            if (peer.speaksFirst()) {
                beforeFirst.run();
            }
            handler.received(this, peer.identity(), frames);
        } catch (RuntimeException | Error e) {
            // The thread serves other clients, too.
            LOG.log(Level.ERROR, () -> "handling a message of " + peer, e);
        }
    }

    @Override
    void closed(Peer peer) {
        peers.remove(ByteBuffer.wrap(peer.identity()), peer);
    }
}
