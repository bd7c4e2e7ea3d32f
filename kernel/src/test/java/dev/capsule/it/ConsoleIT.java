package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicContainer;
import org.junit.jupiter.api.TestFactory;

/// A person at `jupyter console`, in a terminal.
class ConsoleIT {
    @TestFactory
    Stream<DynamicContainer> console() throws IOException, InterruptedException {
        return new PythonScript("console_test").testsOn(Installation.Kernel.values());
    }
}
