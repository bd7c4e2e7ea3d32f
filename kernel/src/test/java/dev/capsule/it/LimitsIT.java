package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.parallel.Isolated;

/// Whatever a cell uses up, the cell fails and the kernel lives.
@Isolated("it takes all that the machine has")
class LimitsIT {
    @TestFactory
    Stream<DynamicTest> limits() throws IOException, InterruptedException {
        return new PythonScript("limits_test").tests();
    }
}
