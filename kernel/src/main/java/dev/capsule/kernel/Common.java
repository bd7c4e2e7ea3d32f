package dev.capsule.kernel;

import dev.capsule.jupyter.ConnectionInfo;
import dev.capsule.jupyter.Content;
import dev.capsule.jupyter.Request;
import dev.capsule.log.Logs;
import dev.capsule.session.Answers;
import dev.capsule.session.DebugRequest;
import dev.capsule.session.Session;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.Optional;

/// Answers the requests that need no worker, alike on shell and control.
final class Common {
    private static final Logger LOG = Logs.of(Common.class);

    private final ConnectionInfo connection;
    private final Session session;
    private final Kernel.Identity identity;
    private final Runnable shutdown;
    private final Gauge gauge;
    /// The last request to the debugger: its events belong to that.
    private volatile Optional<Exchange> debugged = Optional.empty();

    /// @param shutdown begins the kernel's end and returns at once
    Common(ConnectionInfo connection, Session session, Kernel.Identity identity, Runnable shutdown) {
        this.connection = connection;
        this.session = session;
        this.identity = identity;
        this.shutdown = shutdown;
        gauge = new Gauge(session);
        session.whenDebugged(this::tell);
    }

    /// Answers and closes the exchange, perhaps after this has returned.
    void answer(Exchange exchange, Request request) {
        if (request instanceof Request.Usage) {
            // Takes some milliseconds, in which others are to be answered.
            Thread.ofVirtual().name("usage").start(() -> answerNow(exchange, request));
        } else if (request instanceof Request.Debug debug) {
            debug(exchange, debug);
        } else {
            answerNow(exchange, request);
        }
    }

    private void debug(Exchange exchange, Request.Debug request) {
        debugged = Optional.of(exchange);
        session.debug(new DebugRequest(request.command(), request.sourcePath(), request.json()), answer -> {
            exchange.reply(switch (answer) {
                case Answers.Debugged.Response(var json) -> json;
                case Answers.Debugged.Failed(var why) -> Content.debugFailure(request.seq(), request.command(), why);
            });
            exchange.close();
        });
    }

    private void tell(byte[] event) {
        debugged.ifPresent(exchange -> exchange.publishOutput("debug_event", event));
    }

    private void answerNow(Exchange exchange, Request request) {
        try (exchange) {
            switch (request) {
                case Request.KernelInfo() -> exchange.reply(kernelInfo());
                case Request.Connect() -> exchange.reply(Content.connect(connection));
                case Request.CommInfo(var target) -> exchange.reply(Content.commInfo(session.comms(target)));
                case Request.Usage() -> exchange.reply(Content.usage(gauge.read()));
                case Request.Debug _ -> throw new IllegalStateException("the debugger's answer is waited for");
                case Request.Interrupt() -> {
                    session.interrupt();
                    exchange.reply(Content.ok());
                }
                case Request.Shutdown(var restart) -> {
                    byte[] reply = Content.shutdown(restart);
                    exchange.reply(reply);
                    // Other clients of this kernel learn of its end by this, as from ipykernel.
                    exchange.publish("shutdown_reply", reply);
                    shutdown.run();
                }
                case Request.Unknown(var msgType) -> LOG.log(Level.WARNING, () -> "unknown message type " + msgType);
                case Request.AboutSubshells _ ->
                    exchange.reply(Content.failure("BadRequest", "subshells are asked about on control"));
                case Request.Execute _,Request.Complete _,Request.Inspect _,Request.IsComplete _,Request.History _,Request.CommOpen _,Request.CommMsg _,Request.CommClose _ ->
                    LOG.log(Level.WARNING,
                            () -> exchange.request().header().msgType() + " is answered on shell only");
            }
        }
    }

    private byte[] kernelInfo() {
        String languageVersion = session.languageVersion().orElse(identity.languageVersion());
        return Content.kernelInfo(identity.version(), "Capsule " + identity.version() + " | Python " + languageVersion
                + " | " + identity.confinement().get(),
                new Content.LanguageInfo("python", languageVersion, "text/x-python", ".py", "ipython3", "python",
                        "python"),
                identity.features());
    }
}
