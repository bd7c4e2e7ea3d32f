package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/// Cells that try to get out of their sandbox, in each that this machine offers, and without one.
class HostileIT {
    @TestFactory
    Stream<DynamicTest> hostile() throws IOException, InterruptedException {
        return new PythonScript("hostile_test").tests();
    }
}
