package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/// What front ends rely on beyond the public suite.
class ProtocolIT {
    @TestFactory
    Stream<DynamicTest> protocol() throws IOException, InterruptedException {
        return new PythonScript("protocol_test").tests();
    }
}
