package dev.capsule.session;

import dev.capsule.frame.DebugMessage;
import dev.capsule.frame.Frame;
import dev.capsule.promise.Settlement;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;

/// A session's debugger, which runs in its worker. What of it outlives a worker is here: the breakpoints, and that the
/// clients have to be told when it is gone. Guarded by the session.
final class Debugging {
    /// Long enough for an expression that a person evaluates at a breakpoint.
    private static final Duration DEADLINE = Duration.ofMinutes(1);

    /// More cells with breakpoints are not remembered: the oldest are forgotten.
    private static final int MAX_SOURCES = 1_000;

    private static final byte[] TERMINATED = "{\"type\":\"event\",\"event\":\"terminated\",\"seq\":0,\"body\":{}}"
            .getBytes(StandardCharsets.US_ASCII);

    private static final byte[] EMPTY = {'{', '}'};

    private final Session session;
    private final Outlet outlet;
    private volatile Consumer<byte[]> events = _ -> {};
    private boolean started;
    /// The last `setBreakpoints` of each source.
    private final Map<String, byte[]> breakpoints = Bounded.map(MAX_SOURCES);

    Debugging(Session session, Outlet outlet) {
        this.session = session;
        this.outlet = outlet;
    }

    /// @param listener is given JSON objects, on any thread; may wait
    void listen(Consumer<byte[]> listener) {
        events = listener;
    }

    /// Called without the session's lock.
    void tell(byte[] event) {
        events.accept(event);
    }

    void ask(Attendant attendant, DebugRequest request, Consumer<Answers.Debugged> answer) {
        attendant.ask(DEADLINE, id -> new Frame.Debug(id, request.json()), settlement -> {
            Answers.Debugged said = new Answers.Debugged.Failed("the debugger's answer is malformed");
            try {
                said = answer(request, settlement);
            } finally {
                answer.accept(said);
            }
        });
    }

    private Answers.Debugged answer(DebugRequest request, Settlement<Frame.Resolve> settlement) {
        return switch (settlement) {
            case Settlement.Resolved<Frame.Resolve>(var resolve) -> {
                var response = DebugMessage.response(resolve);
                if (response.success()) {
                    synchronized (session) {
                        note(request);
                    }
                }
                yield new Answers.Debugged.Response(released(request, response));
            }
            case Settlement.Rejected<Frame.Resolve>(var failure) ->
                new Answers.Debugged.Failed(failure.ename() + ": " + failure.evalue());
            case Settlement.Canceled<Frame.Resolve>(var reason) -> new Answers.Debugged.Failed(reason);
            case Settlement.TimedOut<Frame.Resolve>() -> new Answers.Debugged.Failed(
                    "the debugger has not answered within %d s".formatted(DEADLINE.toSeconds()));
        };
    }

    private void note(DebugRequest request) {
        switch (request.command()) {
            case "initialize" -> started = true;
            case "terminate" -> started = false;
            case "disconnect" -> {
                started = false;
                breakpoints.clear();
            }
            case "setBreakpoints" -> request.source().ifPresent(source -> {
                breakpoints.remove(source);
                breakpoints.put(source, request.json());
            });
            default -> {
                // Changes nothing that is to outlive a worker.
            }
        }
    }

    /// A value is shown as an output would be.
    private byte[] released(DebugRequest request, DebugMessage response) {
        if (!request.command().equals("richInspectVariables")) {
            return response.json();
        }
        return response.bundle().map(bundle -> {
            var display = outlet.display(bundle, Optional.empty());
            return response.showing(display.bundle().dataJson(), display.metadataJson());
        }).orElseGet(() -> response.showing(EMPTY, EMPTY));
    }

    /// The process in which it ran is gone.
    void lost() {
        if (started) {
            started = false;
            Thread.ofVirtual().name("debug").start(() -> tell(TERMINATED));
        }
    }

    /// Another process serves.
    void moved(Attendant attendant) {
        lost();
        breakpoints.forEach((source, request) -> ask(attendant,
                new DebugRequest("setBreakpoints", Optional.of(source), request), _ -> {}));
    }
}
