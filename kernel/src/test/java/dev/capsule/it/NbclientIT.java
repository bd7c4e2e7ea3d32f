package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/// Notebooks executed by nbclient.
class NbclientIT {
    @TestFactory
    Stream<DynamicTest> notebooks() throws IOException, InterruptedException {
        return new PythonScript("nbclient_test").tests();
    }
}
