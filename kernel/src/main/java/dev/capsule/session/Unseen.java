package dev.capsule.session;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.function.BiConsumer;

/// Listens to what no client has asked for: keeps the beginning of what it prints, and tells how it ended.
final class Unseen implements ExecutionListener {
    private static final int MAX_BYTES = 16 << 10;

    private final BiConsumer<String, Outcome> whenSettled;
    private final ByteArrayOutputStream printed = new ByteArrayOutputStream();

    /// @param whenSettled gets what was printed, too
    Unseen(BiConsumer<String, Outcome> whenSettled) {
        this.whenSettled = whenSettled;
    }

    @Override
    public synchronized void stream(String name, byte[] text) {
        printed.write(text, 0, Math.min(text.length, MAX_BYTES - printed.size()));
    }

    @Override
    public void result(Display display) {}

    @Override
    public void display(Display display) {}

    @Override
    public void updateDisplay(Display display) {}

    @Override
    public void clearOutput(boolean waits) {}

    @Override
    public void error(String ename, String evalue, List<String> traceback) {}

    @Override
    public void comm(CommMessage message) {}

    @Override
    public void input(InputRequest request) {
        request.refuse("StdinNotImplementedError", "nobody is there to be asked");
    }

    @Override
    public void settled(Outcome outcome) {
        String text;
        synchronized (this) {
            text = printed.toString(StandardCharsets.UTF_8);
        }
        whenSettled.accept(text, outcome);
    }
}
