package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicContainer;
import org.junit.jupiter.api.TestFactory;

/// Notebooks executed by nbclient.
class NbclientIT {
    @TestFactory
    Stream<DynamicContainer> notebooks() throws IOException, InterruptedException {
        return new PythonScript("nbclient_test").testsOn(Installation.Kernel.values());
    }
}
