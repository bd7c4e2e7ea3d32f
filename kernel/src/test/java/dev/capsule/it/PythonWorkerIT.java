package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/// The Python worker by itself, spoken to in frames.
class PythonWorkerIT {
    @TestFactory
    Stream<DynamicTest> worker() throws IOException, InterruptedException {
        return new PythonScript("worker_test").tests();
    }
}
