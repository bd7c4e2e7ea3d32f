package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/// Variables that outlive their kernel.
class CheckpointsIT {
    @TestFactory
    Stream<DynamicTest> checkpoints() throws IOException, InterruptedException {
        return new PythonScript("checkpoints_test").tests();
    }
}
