package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/// Starts, restarts and ends, after which no process is left.
class LifecycleIT {
    @TestFactory
    Stream<DynamicTest> lifecycle() throws IOException, InterruptedException {
        return new PythonScript("lifecycle_test").tests();
    }
}
