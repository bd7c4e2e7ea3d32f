package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/// Some 400 cells on ipykernel and on Capsule with IPython: what clients get of them is the same.
class IpythonIT {
    @TestFactory
    Stream<DynamicTest> cells() throws IOException, InterruptedException {
        return new PythonScript("ipython_test").tests();
    }
}
