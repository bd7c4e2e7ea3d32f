package dev.capsule.kernel;

import dev.capsule.jupyter.Content;
import dev.capsule.jupyter.Request;
import dev.capsule.log.Logs;
import dev.capsule.session.CommMessage;
import dev.capsule.session.Display;
import dev.capsule.session.ExecutionListener;
import dev.capsule.session.InputRequest;
import dev.capsule.session.Outcome;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.List;
import java.util.Optional;
import java.util.function.BiConsumer;
import java.util.function.Consumer;

/// Turns what one execution says into messages under its `execute_request`. Its lock keeps the worker's thread from
/// publishing output before the thread that started the cell has published `execute_input`.
final class CellRun implements ExecutionListener {
    private static final Logger LOG = Logs.of(CellRun.class);

    private final Exchange exchange;
    private final Request.Execute request;
    private final int executionCount;
    private final Consumer<InputRequest> stdin;
    private final BiConsumer<CellRun, Outcome> whenSettled;
    private final Consumer<String> whenShown;
    /// That is yet to be shown.
    private Optional<Display> result = Optional.empty();

    /// @param whenShown is given the plain text of a result that is part of the history
    CellRun(Exchange exchange, Request.Execute request, int executionCount,
            Consumer<String> whenShown, Consumer<InputRequest> stdin, BiConsumer<CellRun, Outcome> whenSettled) {
        this.exchange = exchange;
        // Late output needs it long after, when the code of a thousand cells would fill the memory.
        this.request = request.head();
        this.executionCount = executionCount;
        this.whenShown = whenShown;
        this.stdin = stdin;
        this.whenSettled = whenSettled;
    }

    Request.Execute request() {
        return request;
    }

    int executionCount() {
        return executionCount;
    }

    /// Hands the cell to the worker and publishes that it runs; the two overlap.
    ///
    /// @param whenGiven is told when the worker has it
    synchronized void start(String code, Consumer<CellRun> execute, Runnable whenGiven) {
        execute.accept(this);
        try {
            whenGiven.run();
            // For a silent cell nothing else is said.
            exchange.open();
            if (!request.silent()) {
                exchange.publish("execute_input", Content.executeInput(code, executionCount));
            }
        } catch (RuntimeException | Error e) {
            // The memory may not suffice. The cell runs all the same, and only its end is the end of its turn.
            LOG.log(Level.ERROR, "publishing that a cell runs", e);
        }
    }

    /// The reply goes first: who waits for it has it a little earlier, and who watches gets the result with the end.
    synchronized void end(byte[] reply) {
        try {
            exchange.reply(reply);
            showResult();
        } finally {
            exchange.close();
        }
    }

    private void showResult() {
        result.ifPresent(display -> {
            result = Optional.empty();
            exchange.publishOutput("execute_result",
                    Content.executeResult(executionCount, display::dataJson, display.metadataJson()));
            if (request.storeHistory()) {
                display.plainText().ifPresent(whenShown);
            }
        });
    }

    @Override
    public synchronized void stream(String name, byte[] text) {
        showResult();
        exchange.stream(name, text);
    }

    @Override
    public synchronized void result(Display display) {
        showResult();
        if (!request.silent()) {
            result = Optional.of(display);
        }
    }

    @Override
    public synchronized void display(Display display) {
        showResult();
        exchange.publishOutput("display_data",
                Content.display(display::dataJson, display.metadataJson(), display.displayId()));
    }

    @Override
    public synchronized void updateDisplay(Display display) {
        showResult();
        exchange.publishOutput("update_display_data",
                Content.display(display::dataJson, display.metadataJson(), display.displayId()));
    }

    @Override
    public synchronized void clearOutput(boolean waits) {
        showResult();
        exchange.publishOutput("clear_output", Content.clearOutput(waits));
    }

    @Override
    public synchronized void error(String ename, String evalue, List<String> traceback) {
        showResult();
        if (!request.silent()) {
            exchange.publishOutput("error", Content.error(ename, evalue, traceback));
        }
    }

    @Override
    public synchronized void comm(CommMessage message) {
        showResult();
        exchange.publish(message);
    }

    @Override
    public synchronized void input(InputRequest input) {
        showResult();
        if (request.allowStdin()) {
            stdin.accept(input);
        } else {
            input.refuse("StdinNotImplementedError", "input was asked for, but the client does not offer stdin");
        }
    }

    @Override
    public synchronized void settled(Outcome outcome) {
        whenSettled.accept(this, outcome);
    }
}
