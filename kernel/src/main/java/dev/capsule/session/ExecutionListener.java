package dev.capsule.session;

import java.util.List;

/// Hears what an execution says. Calls come one at a time and in order; after [#settled] only [#stream], [#display],
/// [#updateDisplay], [#clearOutput], [#error] and [#comm] may follow, from a thread or task that outlived the cell.
public interface ExecutionListener {
    /// @param name `stdout` or `stderr`
    /// @param text UTF-8
    void stream(String name, byte[] text);

    void result(Display display);

    void display(Display display);

    void updateDisplay(Display display);

    /// @param waits whether to clear only when the next output comes
    void clearOutput(boolean waits);

    /// Something that failed, which need not be the execution.
    void error(String ename, String evalue, List<String> traceback);

    /// Code says something by a comm.
    void comm(CommMessage message);

    /// The code waits for a line of input.
    void input(InputRequest request);

    void settled(Outcome outcome);
}
