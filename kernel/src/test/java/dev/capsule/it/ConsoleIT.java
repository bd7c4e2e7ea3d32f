package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/// A person at `jupyter console`, in a terminal.
class ConsoleIT {
    @TestFactory
    Stream<DynamicTest> console() throws IOException, InterruptedException {
        return new PythonScript("console_test").tests();
    }
}
