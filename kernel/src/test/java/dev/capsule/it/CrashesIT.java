package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicContainer;
import org.junit.jupiter.api.TestFactory;

/// Workers that die or talk nonsense.
class CrashesIT {
    @TestFactory
    Stream<DynamicContainer> crashes() throws IOException, InterruptedException {
        return new PythonScript("crashes_test").testsOn(Installation.Kernel.values());
    }
}
