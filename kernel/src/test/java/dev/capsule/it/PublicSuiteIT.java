package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicContainer;
import org.junit.jupiter.api.TestFactory;

/// The public suite of kernel tests, `jupyter_kernel_test`.
class PublicSuiteIT {
    @TestFactory
    Stream<DynamicContainer> publicSuite() throws IOException, InterruptedException {
        return new PythonScript("kernel_test").testsOn(Installation.Kernel.values());
    }
}
