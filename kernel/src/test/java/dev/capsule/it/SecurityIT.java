package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicContainer;
import org.junit.jupiter.api.TestFactory;

/// Messages and connection files that are wrong.
class SecurityIT {
    @TestFactory
    Stream<DynamicContainer> security() throws IOException, InterruptedException {
        return new PythonScript("security_test").testsOn(Installation.Kernel.DEFAULT,
                Installation.Kernel.PLAIN_UNCONFINED);
    }
}
