package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/// The public suite of kernel tests, `jupyter_kernel_test`.
class PublicSuiteIT {
    @TestFactory
    Stream<DynamicTest> publicSuite() throws IOException, InterruptedException {
        return new PythonScript("kernel_test").tests();
    }
}
