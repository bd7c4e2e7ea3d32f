package dev.capsule.channel;

import dev.capsule.log.Logs;
import java.lang.System.Logger.Level;
import java.net.InetSocketAddress;
import java.net.ProtocolException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/// An XPUB: sends publications to the peers that subscribed to a prefix of their topic (PUBSUB,
/// `rfc.zeromq.org/spec/29`). All peers get them in one order, that of the calls.
///
/// A peer that does not read has a bounded backlog of its own and slows nobody: text above the limit is dropped with a
/// note, messages above theirs disconnect it. Who calls [#awaitRoom] before publishing is held to the pace of the slowest
/// peer that still reads, for which nothing has to be dropped then.
public final class PublisherSocket extends BoundSocket {
    private static final System.Logger LOG = Logs.of(PublisherSocket.class);

    /// Of one peer; Jupyter's clients have one.
    private static final int MAX_SUBSCRIPTIONS = 1024;

    /// For each peer.
    ///
    /// @param messageBytes of messages that wait; with more the peer is disconnected
    /// @param textBytes of text that waits; what comes then is dropped with a note
    /// @param roomBytes of messages and text that wait; with more [#awaitRoom] waits
    /// @param stall how long a peer may take nothing, or not subscribe, before nobody waits for it
    public record Limits(long messageBytes, long textBytes, long roomBytes, Duration stall) {
        public static final Limits DEFAULT = new Limits(256L << 20, 64L << 20, 16L << 20, Duration.ofSeconds(1));
    }

    private static final class Subscriber {
        final Peer peer;
        final long connectedNanos = System.nanoTime();
        /// Whether it has ever subscribed. Guarded by the order.
        boolean welcomed;
        /// Guarded by the order.
        final Set<ByteBuffer> prefixes = new HashSet<>();
        /// Written under the lock of the room.
        volatile boolean stalled;

        Subscriber(Peer peer) {
            this.peer = peer;
        }

        boolean wants(byte[] topic) {
            for (var prefix : prefixes) {
                int length = prefix.limit();
                // Most want everything.
                if (length == 0 || (length <= topic.length && prefix.equals(ByteBuffer.wrap(topic, 0, length)))) {
                    return true;
                }
            }
            return false;
        }
    }

    private final Reactor reactor;
    private final Limits limits;
    private final Function<byte[], List<byte[]>> welcome;
    /// And those who have connected and are yet to subscribe.
    private final Map<Peer, Subscriber> subscribers = new ConcurrentHashMap<>();
    /// Held while a publication is given to all peers, and while a peer subscribes, which it tells of.
    private final Object order = new Object();

    /// When what the calling thread publishes is written.
    private final ThreadLocal<Peer.When> together = ThreadLocal.withInitial(() -> Peer.When.NOW);

    private final ReentrantLock roomLock = new ReentrantLock();
    private final Condition room = roomLock.newCondition();
    /// Threads in [#awaitRoom].
    private final AtomicInteger waiting = new AtomicInteger();

    /// Listens at once.
    ///
    /// @param welcome makes from a prefix the message for a peer that just subscribed to it, of which the peer gets
    ///        nothing published earlier (JEP 65); no frames for none. Called for every subscription of every peer, on
    ///        the reactor thread, with the order of publications held: it must not wait for another thread
    /// @throws ChannelException if the address cannot be had
    public PublisherSocket(Reactor reactor, InetSocketAddress address, Limits limits,
            Function<byte[], List<byte[]>> welcome) {
        // Subscriptions are all that a subscriber sends.
        super(address, new Traits("XPUB", Set.of("SUB", "XSUB"), 64 * 1024,
                new Backlog.Limits(limits.messageBytes, limits.textBytes)));
        this.reactor = reactor;
        this.limits = limits;
        this.welcome = welcome;
        reactor.listen(this);
    }

    /// Sends to every peer with a subscription to a prefix of the topic. Any thread; never waits for a peer.
    ///
    /// @param publication its frames and text are not to be changed afterwards
    public void publish(Publication publication) {
        var when = together.get();
        synchronized (order) {
            switch (publication) {
                case Publication.Plain plain ->
                    forWhoWants(plain.frames().getFirst(), peer -> peer.send(plain.frames(), when));
                case Publication.Text text -> {
                    var message = new TextMessage(text);
                    forWhoWants(text.stream().topic(), peer -> peer.send(text, message, when));
                }
            }
        }
    }

    /// Has every peer get all that is published meanwhile, by this thread, in one write: it wakes up once. Any thread.
    public void together(Runnable publishing) {
        if (together.get() == Peer.When.RELEASED) {
            publishing.run();
            return;
        }
        together.set(Peer.When.RELEASED);
        try {
            publishing.run();
        } finally {
            together.set(Peer.When.NOW);
            release();
        }
    }

    /// Writes what [#together] has kept so far. Any thread.
    public void release() {
        subscribers.keySet().forEach(Peer::release);
    }

    private void forWhoWants(byte[] topic, Consumer<Peer> action) {
        for (var subscriber : subscribers.values()) {
            if (subscriber.wants(topic)) {
                action.accept(subscriber.peer);
            }
        }
    }

    /// The message of a text, made when the first peer needs it. Guarded by the order.
    private static final class TextMessage implements Supplier<List<byte[]>> {
        private final Publication.Text text;
        private @Nullable List<byte[]> frames;

        TextMessage(Publication.Text text) {
            this.text = text;
        }

        @Override
        public List<byte[]> get() {
            var made = frames == null ? text.stream().frames(text.utf8()) : frames;
            frames = made;
            return made;
        }
    }

    /// Waits while too much waits for a peer that still reads. To be called before each publication that user code can
    /// cause in any number. A peer that took nothing for a second is waited for no more until it has caught up. Any
    /// thread but the reactor's, which is the one that makes room.
    public void awaitRoom() throws InterruptedException {
        if (reactor.isCurrentThread()) {
            throw new IllegalStateException("the thread that makes room cannot wait for it");
        }
        if (nobodyIsSlow()) {
            return;
        }
        release();
        roomLock.lock();
        try {
            waiting.incrementAndGet();
            long nanos;
            while ((nanos = nanosToWait()) > 0) {
                room.awaitNanos(nanos);
            }
        } finally {
            waiting.decrementAndGet();
            roomLock.unlock();
        }
    }

    /// Waits until the peers that have connected have subscribed, so that they get what is published from now on. A peer
    /// that has not a second after it connected is waited for no more. Any thread but the reactor's.
    public void awaitSubscriptions() throws InterruptedException {
        if (reactor.isCurrentThread()) {
            throw new IllegalStateException("the thread that reads subscriptions cannot wait for them");
        }
        reactor.catchUp(limits.stall);
        synchronized (order) {
            long nanos;
            while ((nanos = nanosToSubscribe()) > 0) {
                TimeUnit.NANOSECONDS.timedWait(order, nanos);
            }
        }
    }

    // 0 when nobody is waited for. With the order held.
    private long nanosToSubscribe() {
        return subscribers.values().stream().filter(subscriber -> !subscriber.welcomed)
                .mapToLong(subscriber -> limits.stall.toNanos() - (System.nanoTime() - subscriber.connectedNanos))
                .max().orElse(0);
    }

    private boolean nobodyIsSlow() {
        for (var subscriber : subscribers.values()) {
            if (subscriber.peer.backlogBytes() > limits.roomBytes && !subscriber.stalled) {
                return false;
            }
        }
        return true;
    }

    // 0 when there is room, or else the time until the next peer counts as stalled unless it takes something.
    private long nanosToWait() {
        long wait = 0;
        for (var subscriber : subscribers.values()) {
            if (subscriber.peer.backlogBytes() > limits.roomBytes && !subscriber.stalled) {
                long left = limits.stall.toNanos() - (System.nanoTime() - subscriber.peer.progressNanos());
                if (left <= 0) {
                    subscriber.stalled = true;
                } else {
                    wait = wait == 0 ? left : Math.min(wait, left);
                }
            }
        }
        return wait;
    }

    @Override
    void accepted(Peer peer) {
        subscribers.put(peer, new Subscriber(peer));
    }

    @Override
    void connected(Peer peer, byte[] identity) {
        // It is known already.
    }

    @Override
    void received(Peer peer, List<byte[]> frames) throws ProtocolException {
        byte[] message = frames.getFirst();
        if (frames.size() == 1 && message.length > 0 && (message[0] == 1 || message[0] == 0)) {
            byte[] prefix = Arrays.copyOfRange(message, 1, message.length);
            if (message[0] == 1) {
                subscribe(peer, prefix);
            } else {
                cancel(peer, prefix);
            }
        }
        // Other messages are those of an XSUB's user, and nobody here wants them.
    }

    @Override
    void command(Peer peer, Traffic.Command command) throws ProtocolException {
        switch (command.name()) {
            case "SUBSCRIBE" -> subscribe(peer, command.data());
            case "CANCEL" -> cancel(peer, command.data());
            default -> {
                // Not known, as in BoundSocket.
            }
        }
    }

    private void subscribe(Peer peer, byte[] prefix) throws ProtocolException {
        synchronized (order) {
            var subscriber = subscribers.get(peer);
            if (subscriber == null) {
                return;
            }
            subscriber.prefixes.add(ByteBuffer.wrap(prefix));
            subscriber.welcomed = true;
            order.notifyAll();
            if (subscriber.prefixes.size() > MAX_SUBSCRIPTIONS) {
                throw new ProtocolException("more than %d subscriptions".formatted(MAX_SUBSCRIPTIONS));
            }
            try {
                var frames = welcome.apply(prefix);
                if (!frames.isEmpty()) {
                    peer.send(frames);
                }
            } catch (RuntimeException | Error e) {
                LOG.log(Level.ERROR, () -> "welcoming " + peer, e);
            }
        }
    }

    private void cancel(Peer peer, byte[] prefix) {
        synchronized (order) {
            var subscriber = subscribers.get(peer);
            if (subscriber != null) {
                subscriber.prefixes.remove(ByteBuffer.wrap(prefix));
            }
        }
    }

    @Override
    void drained(Peer peer) {
        var subscriber = subscribers.get(peer);
        // `waiting` is read after the peer's bytes were written, and written before they are read: either the waiting
        // thread sees that there is room, or it is seen here.
        if (subscriber != null && peer.backlogBytes() <= limits.roomBytes
                && (waiting.get() > 0 || subscriber.stalled)) {
            roomLock.lock();
            try {
                subscriber.stalled = false;
                room.signalAll();
            } finally {
                roomLock.unlock();
            }
        }
    }

    @Override
    void closed(Peer peer) {
        subscribers.remove(peer);
        roomLock.lock();
        try {
            room.signalAll();
        } finally {
            roomLock.unlock();
        }
    }

    /// What waits for all peers together, as their limits count it.
    long backlogBytes() {
        return subscribers.values().stream().mapToLong(subscriber -> subscriber.peer.backlogBytes()).sum();
    }
}
