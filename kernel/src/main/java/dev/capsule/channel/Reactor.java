package dev.capsule.channel;

import dev.capsule.log.Logs;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.System.Logger.Level;
import java.net.ProtocolException;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.CancelledKeyException;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.ClosedSelectorException;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/// The thread that reads for its sockets, calls their handlers, and writes what did not fit at once. A connection that
/// breaks, or says what is not ZMTP, is closed and logged, and the others go on.
public final class Reactor implements AutoCloseable {
    private static final System.Logger LOG = Logs.of(Reactor.class);
    private static final int INPUT_BYTES = 64 * 1024;

    /// Connections and listening sockets; a client of a kernel has one to five. Keeps clients from using up the
    /// descriptors of the process, which may be 1,024 and of which the workers need some.
    private static final int MAX_CHANNELS = 256;

    /// Refused clients come again and again: one line in so much time tells of them.
    private static final Duration COMPLAINTS_APART = Duration.ofMinutes(1);

    /// How long a listening socket for which there was no descriptor waits, unless something else happens before.
    private static final Duration RETRY = Duration.ofSeconds(1);

    /// How much longer than the linger time [#close] waits for a handler that does not return.
    private static final Duration GRACE = Duration.ofSeconds(1);

    /// Linux's selectors. Unless they are named, the JDK looks first whether the jar has others, which takes a starting
    /// kernel 6 ms.
    private static final String SELECTORS = "sun.nio.ch.EPollSelectorProvider";

    static {
        try {
            System.setProperty("java.nio.channels.spi.SelectorProvider", Class.forName(SELECTORS).getName());
        } catch (ClassNotFoundException e) {
            LOG.log(Level.DEBUG, () -> "the JDK looks for selectors itself: " + e);
        }
    }

    private final Selector selector;
    private final Duration linger;
    private final Thread thread;
    private volatile boolean closing;

    // Reactor thread.
    private final ByteBuffer input = ByteBuffer.allocateDirect(INPUT_BYTES);
    private final Queue<Runnable> tasks = new ConcurrentLinkedQueue<>();
    /// Listening sockets that do not accept for now.
    private final List<SelectionKey> exhausted = new ArrayList<>();
    /// When a refusal is next told of, by [System#nanoTime].
    private long complaintNanos = System.nanoTime();

    /// Starts the thread.
    ///
    /// @param linger how long [#close] may go on writing what waits for slow peers
    public Reactor(String threadName, Duration linger) {
        this.linger = linger;
        try {
            selector = Selector.open();
        } catch (IOException e) {
            throw new ChannelException("cannot open a selector (%s); are there descriptors left (ulimit -n)?"
                    .formatted(e), e);
        }
        thread = Thread.ofPlatform().name(threadName).daemon().start(this::run);
    }

    /// Any thread; from now on the socket's methods are called.
    void listen(BoundSocket socket) {
        try {
            socket.server().register(selector, SelectionKey.OP_ACCEPT, socket);
        } catch (ClosedChannelException | ClosedSelectorException e) {
            throw new IllegalStateException("the reactor is closed", e);
        }
        selector.wakeup();
    }

    /// Runs a task on the reactor's thread, after the messages that have arrived until now. Any thread.
    public void execute(Runnable task) {
        tasks.add(task);
        selector.wakeup();
    }

    /// Waits until the reactor has handled all connections and messages that were there when this was called. Any thread
    /// but the reactor's.
    ///
    /// @return false when that takes longer than the limit
    boolean catchUp(Duration limit) throws InterruptedException {
        var done = new CountDownLatch(1);
        execute(() -> {
            try {
                while (!closing && selector.selectNow() > 0) {
                    handleSelected();
                }
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            } finally {
                done.countDown();
            }
        });
        return done.await(limit.toNanos(), TimeUnit.NANOSECONDS);
    }

    private static void run(Runnable task) {
        try {
            task.run();
        } catch (RuntimeException | Error e) {
            LOG.log(Level.ERROR, () -> "running a task", e);
        }
    }

    boolean isCurrentThread() {
        return thread.equals(Thread.currentThread());
    }

    private void run() {
        try {
            while (!closing) {
                selector.select(exhausted.isEmpty() ? 0 : RETRY.toMillis());
                acceptAgain();
                handleSelected();
                for (var task = tasks.poll(); task != null; task = tasks.poll()) {
                    // What has arrived since the last look, and before the task was given, comes before it.
                    selector.selectNow();
                    handleSelected();
                    run(task);
                }
                // If a handler left the thread interrupted, select() would no longer wait.
                Thread.interrupted();
            }
            finish();
        } catch (ClosedSelectorException e) {
            LOG.log(Level.DEBUG, () -> "closed while a handler ran");
        } catch (IOException | RuntimeException | Error e) {
            LOG.log(Level.ERROR, () -> "the reactor ends", e);
        } finally {
            closeAll();
        }
    }

    /// Perhaps there are descriptors again.
    private void acceptAgain() {
        for (var server : exhausted) {
            if (server.isValid()) {
                server.interestOps(SelectionKey.OP_ACCEPT);
            }
        }
        exhausted.clear();
    }

    // Not select(Consumer), which holds the selector's lock meanwhile: close() could not get past a handler.
    private void handleSelected() {
        var selected = List.copyOf(selector.selectedKeys());
        selector.selectedKeys().clear();
        selected.forEach(this::ready);
    }

    private void ready(SelectionKey key) {
        try {
            if (key.attachment() instanceof Peer peer) {
                serve(peer, key.readyOps());
            } else if (key.attachment() instanceof BoundSocket socket) {
                accept(socket, key);
            }
        } catch (CancelledKeyException e) {
            LOG.log(Level.DEBUG, () -> "closed by another thread just now");
        } catch (RuntimeException | Error e) {
            try {
                LOG.log(Level.ERROR, () -> "serving a client", e);
            } catch (RuntimeException | Error unloggable) {
                // Logging opens files when it is first used, which fails when there is no descriptor left. The other
                // clients matter more.
            }
        }
    }

    private void serve(Peer peer, int operations) {
        try {
            if ((operations & SelectionKey.OP_WRITE) != 0) {
                peer.flush();
            }
            if ((operations & SelectionKey.OP_READ) != 0) {
                peer.read(input);
            }
        } catch (ProtocolException e) {
            peer.close();
            LOG.log(Level.WARNING, () -> "disconnected " + peer + ": " + e.getMessage());
        } catch (IOException e) {
            peer.close();
            LOG.log(Level.DEBUG, () -> peer + " is gone: " + e);
        } catch (RuntimeException | Error e) {
            // Or too little memory for its message.
            peer.close();
            LOG.log(Level.ERROR, () -> "disconnected " + peer, e);
        }
    }

    private void accept(BoundSocket socket, SelectionKey key) {
        try {
            var channel = socket.server().accept();
            if (channel == null) {
                return;
            }
            if (selector.keys().size() < MAX_CHANNELS || makeWay()) {
                connect(socket, channel);
            } else {
                channel.close();
                complain(socket);
            }
        } catch (IOException e) {
            // Most likely there is no descriptor left. The selector would report the client again and again.
            key.interestOps(0);
            exhausted.add(key);
            LOG.log(Level.WARNING, () -> "cannot accept a client for now: " + e);
        }
    }

    /// Closes the connection that has been without a finished handshake longest. Anybody can open some and say nothing,
    /// and who has finished one is more likely a client.
    ///
    /// @return false when there is none
    private boolean makeWay() {
        var longest = selector.keys().stream()
                .map(SelectionKey::attachment)
                .filter(Peer.class::isInstance).map(Peer.class::cast)
                .filter(Peer::isShakingHands)
                .min((one, other) -> Long.signum(one.acceptedNanos() - other.acceptedNanos()));
        longest.ifPresent(peer -> {
            LOG.log(Level.DEBUG, () -> peer + " makes way for another: it has not finished its handshake");
            peer.close();
        });
        return longest.isPresent();
    }

    private void complain(BoundSocket socket) {
        long now = System.nanoTime();
        if (now - complaintNanos >= 0) {
            complaintNanos = now + COMPLAINTS_APART.toNanos();
            LOG.log(Level.WARNING, () -> ("refusing clients on port %s: thread %s serves %s connections and listening "
                    + "sockets, which is the limit; close clients that are not needed any more, or find out whose they "
                    + "are (ss -tnp)").formatted(socket.address().getPort(), thread.getName(), MAX_CHANNELS));
        }
    }

    private void connect(BoundSocket socket, SocketChannel channel) throws IOException {
        try {
            channel.configureBlocking(false);
            channel.setOption(StandardSocketOptions.TCP_NODELAY, true);
            var peer = new Peer(socket, channel, selector);
            socket.accepted(peer);
            peer.greet();
        } catch (IOException e) {
            LOG.log(Level.DEBUG, () -> "a client was gone at once: " + e);
            channel.close();
        } catch (RuntimeException | Error e) {
            channel.close();
            throw e;
        }
    }

    /// Writes what waits, for as long as it may take.
    private void finish() throws IOException {
        long end = System.nanoTime() + linger.toNanos();
        var peers = new ArrayList<Peer>();
        for (var key : selector.keys()) {
            if (!(key.attachment() instanceof Peer peer)) {
                key.channel().close();
            } else if (peer.stopReading()) {
                peers.add(peer);
            }
        }
        long left;
        while (peers.stream().anyMatch(Peer::isWaiting) && (left = end - System.nanoTime()) > 0) {
            selector.select(Math.max(1, Duration.ofNanos(left).toMillis()));
            handleSelected();
        }
        for (var peer : peers) {
            try {
                // With input unread, closing would reset the connection, which may destroy what was just written.
                peer.discardInput(input);
            } catch (IOException e) {
                LOG.log(Level.DEBUG, () -> peer + " is gone: " + e);
            }
        }
    }

    private void closeAll() {
        try {
            for (var key : selector.keys()) {
                if (key.attachment() instanceof Peer peer) {
                    peer.close();
                }
                key.channel().close();
            }
            selector.close();
        } catch (ClosedSelectorException e) {
            // The other of reactor thread and closing thread was here first.
        } catch (IOException e) {
            LOG.log(Level.DEBUG, () -> "closing: " + e);
        }
    }

    /// Stops reading, writes what waits for at most the linger time, closes all sockets and ends the thread. Not to be
    /// called by a handler. A thread that is interrupted meanwhile does not wait.
    @Override
    public void close() {
        if (isCurrentThread()) {
            throw new IllegalStateException("a handler cannot close its reactor");
        }
        closing = true;
        selector.wakeup();
        try {
            if (thread.join(linger.plus(GRACE))) {
                return;
            }
            LOG.log(Level.WARNING, () -> "closing while a handler still runs on " + thread.getName());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        closeAll();
    }
}
