package dev.capsule.channel;

import java.net.InetSocketAddress;
import java.util.List;
import java.util.Set;

/// The heartbeat: sends every message back to where it came from, at once. Announced as REP, but without its strict turns
/// of request and reply, so that a client which asks twice before it reads gets two answers.
public final class EchoSocket extends BoundSocket {
    private static final Traits TRAITS = new Traits("REP", Set.of("REQ", "DEALER"), 1L << 20,
            new Backlog.Limits(16L << 20, 0));

    /// Listens at once.
    ///
    /// @throws ChannelException if the address cannot be had
    public EchoSocket(Reactor reactor, InetSocketAddress address) {
        super(address, TRAITS);
        reactor.listen(this);
    }

    @Override
    void connected(Peer peer, byte[] identity) {
        // All peers are alike.
    }

    @Override
    void received(Peer peer, List<byte[]> frames) {
        peer.send(frames);
    }

    @Override
    void closed(Peer peer) {
        // Nothing is kept of a peer.
    }
}
