package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicContainer;
import org.junit.jupiter.api.TestFactory;

/// Starts, restarts and ends, after which no process is left.
class LifecycleIT {
    @TestFactory
    Stream<DynamicContainer> lifecycle() throws IOException, InterruptedException {
        return new PythonScript("lifecycle_test").onEveryKernel();
    }
}
