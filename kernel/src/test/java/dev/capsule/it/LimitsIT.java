package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/// Whatever a cell uses up, the cell fails and the kernel lives.
class LimitsIT {
    @TestFactory
    Stream<DynamicTest> limits() throws IOException, InterruptedException {
        return new PythonScript("limits_test").tests();
    }
}
