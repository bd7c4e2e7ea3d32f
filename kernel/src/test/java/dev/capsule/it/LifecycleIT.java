package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicContainer;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.parallel.Isolated;

/// Starts, restarts and ends, after which no process is left.
@Isolated("two seconds are a promise")
class LifecycleIT {
    @TestFactory
    Stream<DynamicContainer> lifecycle() throws IOException, InterruptedException {
        return new PythonScript("lifecycle_test").testsOn(Installation.Kernel.DEFAULT,
                Installation.Kernel.PLAIN_UNCONFINED);
    }
}
