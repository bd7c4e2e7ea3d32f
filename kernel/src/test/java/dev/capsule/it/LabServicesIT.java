package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/// JupyterLab's client code, `@jupyterlab/services`, against a jupyter-server.
class LabServicesIT {
    @TestFactory
    Stream<DynamicTest> labServices() throws IOException, InterruptedException {
        return new NodeScript("lab").tests(Installation.get());
    }
}
