package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/// What people use, in the sandbox.
class LibrariesIT {
    @TestFactory
    Stream<DynamicTest> libraries() throws IOException, InterruptedException {
        return new PythonScript("libraries_test").tests();
    }
}
