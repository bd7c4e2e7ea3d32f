package dev.capsule.channel;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.ProtocolException;
import java.net.StandardSocketOptions;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.UnresolvedAddressException;
import java.util.List;
import java.util.Set;

/// A ZeroMQ socket that is bound to an address. Its methods that are not public run on the reactor thread, unless they
/// say otherwise.
abstract sealed class BoundSocket permits RouterSocket, PublisherSocket, EchoSocket {
    /// @param type as in the Socket-Type property (ZMTP 3.0, "The Socket Type Property")
    /// @param accepts the types it talks to
    /// @param maxMessageBytes that a peer may send as one message
    /// @param limits of each peer's backlog
    record Traits(String type, Set<String> accepts, long maxMessageBytes, Backlog.Limits limits) {}

    private final Traits traits;
    private final ServerSocketChannel server;
    private final InetSocketAddress address;

    /// Binds; connections wait until [Reactor#listen], which the subclass calls when it is complete.
    BoundSocket(InetSocketAddress address, Traits traits) {
        this.traits = traits;
        try {
            server = bind(address);
            this.address = (InetSocketAddress) server.getLocalAddress();
        } catch (IOException | UnresolvedAddressException e) {
            throw new ChannelException(("cannot listen on %s port %d (%s): another process may have this port, or the "
                    + "address is not one of this machine; start the kernel again with another connection file")
                    .formatted(address.getHostString(), address.getPort(), e), e);
        }
    }

    private static ServerSocketChannel bind(InetSocketAddress address) throws IOException {
        var server = ServerSocketChannel.open();
        try {
            server.configureBlocking(false);
            // A restarted kernel gets the same ports at once, while connections of the last one are still in TIME_WAIT.
            return server.setOption(StandardSocketOptions.SO_REUSEADDR, true).bind(address);
        } catch (IOException | UnresolvedAddressException e) {
            server.close();
            throw e;
        }
    }

    /// Where it listens; with the port that was chosen when 0 was asked for.
    public InetSocketAddress address() {
        return address;
    }

    Traits traits() {
        return traits;
    }

    ServerSocketChannel server() {
        return server;
    }

    /// The peer has connected, and said nothing yet.
    void accepted(Peer peer) {}

    /// The peer has introduced itself.
    ///
    /// @param identity empty when it announced none
    /// @throws ProtocolException to refuse it
    abstract void connected(Peer peer, byte[] identity) throws ProtocolException;

    abstract void received(Peer peer, List<byte[]> frames) throws ProtocolException;

    /// A command that is for the socket and not for the connection. What is not known is ignored: later versions may
    /// have more.
    void command(Peer peer, Traffic.Command command) throws ProtocolException {}

    /// Less waits for the peer than before. Any thread, with the peer's lock held.
    void drained(Peer peer) {}

    /// The connection is closed. Any thread, with or without the peer's lock.
    abstract void closed(Peer peer);
}
