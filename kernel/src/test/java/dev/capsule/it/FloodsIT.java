package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicContainer;
import org.junit.jupiter.api.TestFactory;

/// Much output, much code, many cells, and clients that do not read.
class FloodsIT {
    @TestFactory
    Stream<DynamicContainer> floods() throws IOException, InterruptedException {
        return new PythonScript("floods_test").onEveryKernel();
    }
}
