package dev.capsule.kernel;

import dev.capsule.jupyter.Content;
import dev.capsule.session.CommMessage;
import dev.capsule.session.Display;
import dev.capsule.session.ExecutionListener;
import dev.capsule.session.InputRequest;
import dev.capsule.session.Outcome;
import java.util.List;

/// Turns what the handling of a comm's message says into messages under that message. Nothing replies to it.
final class CommRun implements ExecutionListener {
    private final Exchange exchange;
    private final Runnable whenSettled;

    CommRun(Exchange exchange, Runnable whenSettled) {
        this.exchange = exchange;
        this.whenSettled = whenSettled;
    }

    @Override
    public void stream(String name, byte[] text) {
        exchange.stream(name, text);
    }

    @Override
    public void result(Display display) {
        // It has no count to be shown under.
        display(display);
    }

    @Override
    public void display(Display display) {
        exchange.publishOutput("display_data",
                Content.display(display::dataJson, display.metadataJson(), display.displayId()));
    }

    @Override
    public void updateDisplay(Display display) {
        exchange.publishOutput("update_display_data",
                Content.display(display::dataJson, display.metadataJson(), display.displayId()));
    }

    @Override
    public void clearOutput(boolean waits) {
        exchange.publishOutput("clear_output", Content.clearOutput(waits));
    }

    @Override
    public void error(String ename, String evalue, List<String> traceback) {
        exchange.publishOutput("error", Content.error(ename, evalue, traceback));
    }

    @Override
    public void comm(CommMessage message) {
        exchange.publish(message);
    }

    @Override
    public void input(InputRequest input) {
        input.refuse("StdinNotImplementedError", "input was asked for by a comm's message, which nobody answers");
    }

    @Override
    public void settled(Outcome outcome) {
        if (outcome instanceof Outcome.Failed failed && !failed.shown()) {
            error(failed.ename(), failed.evalue(), failed.traceback());
        }
        exchange.close();
        whenSettled.run();
    }
}
