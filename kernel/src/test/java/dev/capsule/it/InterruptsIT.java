package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicContainer;
import org.junit.jupiter.api.TestFactory;

/// Interrupts of everything a cell can be busy with.
class InterruptsIT {
    @TestFactory
    Stream<DynamicContainer> interrupts() throws IOException, InterruptedException {
        return new PythonScript("interrupts_test").testsOn(Installation.Kernel.values());
    }
}
