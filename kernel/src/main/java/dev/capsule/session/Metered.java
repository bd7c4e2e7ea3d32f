package dev.capsule.session;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.capsule.policy.LeakyBucket;
import dev.capsule.policy.Limit;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/// An execution's listener that hears no more than the execution may put out. Has the execution stopped when a limit is
/// exceeded; however it ends then, it has failed for that. Safe for several threads.
final class Metered implements ExecutionListener {
    /// What a message takes beside its content.
    private static final int MESSAGE_BYTES = 256;

    private static final Set<Limit> BOMBS = EnumSet.of(Limit.PROCESSES, Limit.TMP, Limit.WORKSPACE_GROWTH);

    private final ExecutionListener listener;
    private final Advice advice;
    private final long outputBytes;

    // Guarded by this.
    private final LeakyBucket output;
    private Runnable stop = () -> {};
    private boolean curtailed;
    private Optional<Limit> exceeded = Optional.empty();
    private Advice.Variables variables = Advice.Variables.KEPT;
    private boolean settled;

    /// @param outputBytes how much at once, and again in each [Limit#OUTPUT_PERIOD]
    Metered(ExecutionListener listener, long outputBytes, Advice advice) {
        this.listener = listener;
        this.advice = advice;
        this.outputBytes = outputBytes;
        output = new LeakyBucket(outputBytes, Limit.OUTPUT_PERIOD, System.nanoTime());
    }

    /// @param stop stops the execution; called once
    synchronized void whenExceeded(Runnable stop) {
        this.stop = stop;
    }

    /// The execution has exceeded a limit and is stopped. Only the first limit counts.
    void exceed(Limit limit) {
        Runnable act;
        synchronized (this) {
            if (exceeded.isPresent()) {
                return;
            }
            exceeded = Optional.of(limit);
            act = settled ? () -> note("what this cell puts out after its end is not shown any more", limit) : stop;
        }
        act.run();
    }

    /// The execution's worker has ended for a limit: there is nothing left to be stopped.
    synchronized void endedBy(Limit limit) {
        exceeded = exceeded.or(() -> Optional.of(limit));
    }

    /// What the execution has done to the variables is undone.
    synchronized void rolledBack() {
        variables = Advice.Variables.AS_BEFORE;
    }

    /// The limit that the execution has failed for, if any.
    synchronized Optional<Limit> exceeded() {
        return exceeded;
    }

    /// Whether what the execution has started is to be ended with it: it would go on filling the machine.
    synchronized boolean isBomb() {
        return exceeded.filter(BOMBS::contains).isPresent();
    }

    /// A process that the execution has started was ended. It need not notice; so it is said, once.
    void curtailed(Limit limit) {
        synchronized (this) {
            if (curtailed) {
                return;
            }
            curtailed = true;
        }
        note("a process of this cell was ended", limit);
    }

    private void note(String what, Limit limit) {
        note(what + ": " + advice.raise(limit));
    }

    /// Adds what the kernel has to say, which is not metered.
    void note(String text) {
        listener.stream("stderr", "[Capsule: %s]\n".formatted(text).getBytes(UTF_8));
    }

    /// @return how many of these bytes are too many
    private synchronized long excess(long bytes) {
        // Who was told that no more is shown sees none of it later, when there would be room again.
        return exceeded.equals(Optional.of(Limit.OUTPUT)) ? bytes : output.add(bytes, System.nanoTime()) - outputBytes;
    }

    /// @return whether so many bytes more may go out
    private boolean takes(long bytes) {
        if (excess(bytes) <= 0) {
            return true;
        }
        exceed(Limit.OUTPUT);
        return false;
    }

    @Override
    public void stream(String name, byte[] text) {
        long excess = excess(text.length);
        if (excess <= 0) {
            listener.stream(name, text);
            return;
        }
        int whole = (int) Math.max(0, text.length - excess);
        while (whole > 0 && (text[whole] & 0xc0) == 0x80) {
            whole--;
        }
        if (whole > 0) {
            listener.stream(name, Arrays.copyOf(text, whole));
        }
        exceed(Limit.OUTPUT);
    }

    @Override
    public void result(Display display) {
        if (takes(bytes(display))) {
            listener.result(display);
        }
    }

    @Override
    public void display(Display display) {
        if (takes(bytes(display))) {
            listener.display(display);
        }
    }

    @Override
    public void updateDisplay(Display display) {
        if (takes(bytes(display))) {
            listener.updateDisplay(display);
        }
    }

    @Override
    public void error(String ename, String evalue, List<String> traceback) {
        long bytes = traceback.stream().mapToLong(String::length).sum();
        if (takes(MESSAGE_BYTES + ename.length() + evalue.length() + bytes)) {
            listener.error(ename, evalue, traceback);
        }
    }

    private static long bytes(Display display) {
        return MESSAGE_BYTES + display.bundle().dataBytes() + display.metadataJson().length;
    }

    @Override
    public void clearOutput(boolean waits) {
        if (takes(MESSAGE_BYTES)) {
            listener.clearOutput(waits);
        }
    }

    @Override
    public void comm(CommMessage message) {
        long buffers = message.buffers().stream().mapToLong(buffer -> buffer.length).sum();
        if (takes(MESSAGE_BYTES + message.dataJson().length + message.metadataJson().length + buffers)) {
            listener.comm(message);
        }
    }

    @Override
    public void input(InputRequest request) {
        listener.input(request);
    }

    @Override
    public void settled(Outcome outcome) {
        Outcome told;
        synchronized (this) {
            settled = true;
            // It knows the execution, of which no more is kept than late output needs.
            stop = () -> {};
            told = exceeded.map(limit -> advice.failed(limit, outcome, variables)).orElse(outcome);
        }
        listener.settled(told);
    }
}
