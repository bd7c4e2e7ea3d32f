package dev.capsule.kernel;

import dev.capsule.channel.EchoSocket;
import dev.capsule.channel.Reactor;
import dev.capsule.channel.RouterSocket;
import dev.capsule.jupyter.ConnectionInfo;
import dev.capsule.jupyter.Content;
import dev.capsule.jupyter.Content.ExecutionState;
import dev.capsule.jupyter.Message;
import dev.capsule.jupyter.Request;
import dev.capsule.jupyter.Signer;
import dev.capsule.jupyter.Wire;
import dev.capsule.jupyter.WireException;
import dev.capsule.log.Logs;
import dev.capsule.session.Session;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Supplier;

/// The front: five sockets, and one session behind them. Shell has a thread of its own, so that control, stdin,
/// heartbeat and iopub, which share another, are served whatever a cell's request costs.
public final class Kernel {
    private static final Logger LOG = Logs.of(Kernel.class);

    /// How long the last messages may take to reach the clients.
    private static final Duration LINGER = Duration.ofSeconds(1);

    private final Signer signer;
    private final Session session;
    private final History history;
    private final Wire wire;
    private final Reactor shellReactor;
    private final Reactor controlReactor;
    private final Iopub iopub;
    private final Stdin stdin;
    private final Common common;
    private final Shells shells;
    private final RouterSocket stdinSocket;
    private final AtomicBoolean ending = new AtomicBoolean();
    private final CountDownLatch ended = new CountDownLatch(1);

    /// Who the kernel is, for its clients.
    ///
    /// @param version of Capsule
    /// @param languageVersion to be told until a worker has told its own
    /// @param confinement how its cells are kept in, in a few words; may have to be waited for
    /// @param warnings to be shown with the first cell; may have to be waited for
    /// @param features as `kernel_info_reply` names them
    public record Identity(String version, String languageVersion, Supplier<String> confinement,
            Supplier<List<String>> warnings, List<String> features) {
        public Identity {
            features = List.copyOf(features);
        }
    }

    /// Binds the sockets and begins to answer.
    ///
    /// @param clock runs what is due later
    /// @throws WireException if the signature scheme is unknown
    /// @throws dev.capsule.channel.ChannelException if a port cannot be had
    public Kernel(ConnectionInfo connection, Session session, History history, Identity identity, String username,
            ScheduledExecutorService clock) {
        this.session = session;
        this.history = history;
        signer = new Signer(connection.signatureScheme(), connection.key());
        wire = new Wire(signer, username);
        shellReactor = new Reactor("shell", LINGER);
        controlReactor = new Reactor("control", LINGER);
        stdin = new Stdin(controlReactor, wire, signer);
        iopub = new Iopub(wire, controlReactor, address(connection, connection.iopubPort()));
        session.whenSaid(iopub::together);
        common = new Common(connection, session, identity, this::shutdownRequested);
        shells = new Shells(wire, iopub,
                (subshell, aside) -> new Shell(subshell, aside, wire, iopub, session, history, stdin, common,
                        subshell.isEmpty() ? identity.warnings() : List::of, clock));
        iopub.publish("status", Content.empty(), Content.status(ExecutionState.STARTING));
        new EchoSocket(controlReactor, address(connection, connection.heartbeatPort()));
        stdinSocket = new RouterSocket(controlReactor, address(connection, connection.stdinPort()),
                (_, client, frames) -> stdin.received(client, frames));
        new RouterSocket(controlReactor, address(connection, connection.controlPort()),
                this::controlReceived);
        // Last: it needs all others. JupyterLab and Jupyter's server ask for `kernel_info` as soon as they have connected,
        // and JupyterLab never learns what the kernel is when it misses that the kernel was idle afterwards.
        new RouterSocket(shellReactor, address(connection, connection.shellPort()),
                this::shellReceived, iopub::awaitSubscriptions);
        LOG.log(Level.INFO, () -> "listening on " + connection.ip() + ", shell " + connection.shellPort());
    }

    private static InetSocketAddress address(ConnectionInfo connection, int port) {
        return new InetSocketAddress(connection.ip(), port);
    }

    private void shellReceived(RouterSocket socket, byte[] identity, List<byte[]> frames) {
        try {
            shells.submit(Message.decode(identity, frames, signer), socket, stdinSocket);
        } catch (WireException e) {
            LOG.log(Level.WARNING, () -> "dropped a message on shell: " + e.getMessage());
        }
    }

    private void controlReceived(RouterSocket socket, byte[] identity, List<byte[]> frames) {
        try {
            var message = Message.decode(identity, frames, signer);
            iopub.together(() -> answerControl(message, new Exchange(message, socket, wire, iopub)));
        } catch (WireException e) {
            LOG.log(Level.WARNING, () -> "dropped a message on control: " + e.getMessage());
        }
    }

    private void answerControl(Message message, Exchange exchange) {
        try {
            var request = Request.parse(message);
            if (!(request instanceof Request.Interrupt)) {
                // Whoever interrupts does not wait for that to be said first.
                exchange.open();
            }
            if (request instanceof Request.AboutSubshells about) {
                shells.answer(exchange, about);
            } else {
                common.answer(exchange, request);
            }
        } catch (WireException e) {
            LOG.log(Level.WARNING, () -> "refused a request: " + e.getMessage());
            exchange.reply(Content.failure("BadRequest", e.getMessage()));
            exchange.close();
        }
    }

    /// Interrupts the running cell.
    public void interrupt() {
        session.interrupt();
    }

    /// Begins the end: the worker and all it started, then the sockets, when the last messages are sent. Returns at once;
    /// may be called more than once, on any thread.
    public void shutdown() {
        session.hurry();
        shutdown(() -> {});
    }

    /// A client wants the end: there may be something to be kept.
    private void shutdownRequested() {
        shutdown(session::shutdownRequested);
    }

    private void shutdown(Runnable before) {
        if (ending.compareAndSet(false, true)) {
            Thread.ofPlatform().name("shutdown").start(() -> {
                LOG.log(Level.INFO, "shutting down");
                before.run();
                session.close();
                shellReactor.close();
                controlReactor.close();
                history.close();
                ended.countDown();
            });
        }
    }

    /// Returns when the kernel has ended.
    public void awaitEnd() throws InterruptedException {
        ended.await();
    }
}
