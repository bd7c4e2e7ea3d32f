package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/// Kernels that are killed at any moment.
class KilledIT {
    @TestFactory
    Stream<DynamicTest> killed() throws IOException, InterruptedException {
        return new PythonScript("killed_test").tests();
    }
}
