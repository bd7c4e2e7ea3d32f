package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/// The debugger, with both engines, and in a sandbox without sockets.
class DebuggerIT {
    @TestFactory
    Stream<DynamicTest> debugger() throws IOException, InterruptedException {
        return new PythonScript("debugger_test").tests();
    }
}
