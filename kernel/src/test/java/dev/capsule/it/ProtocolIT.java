package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicContainer;
import org.junit.jupiter.api.TestFactory;

/// What front ends rely on beyond the public suite.
class ProtocolIT {
    @TestFactory
    Stream<DynamicContainer> protocol() throws IOException, InterruptedException {
        return new PythonScript("protocol_test").testsOn(Installation.Kernel.values());
    }
}
