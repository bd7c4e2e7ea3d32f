package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/// The notebooks of the project, executed by nbconvert.
class NotebooksIT {
    @TestFactory
    Stream<DynamicTest> notebooks() throws IOException, InterruptedException {
        return new PythonScript("notebooks_test").tests();
    }
}
