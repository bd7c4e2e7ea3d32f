package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/// What the kernel makes of the deaths of its workers, and what it says of their use.
class SupervisorIT {
    @TestFactory
    Stream<DynamicTest> supervisor() throws IOException, InterruptedException {
        return new PythonScript("supervisor_test").tests();
    }
}
