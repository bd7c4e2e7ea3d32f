package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicContainer;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.parallel.Isolated;

/// Much output, much code, many cells, and clients that do not read.
@Isolated("it compares times")
class FloodsIT {
    @TestFactory
    Stream<DynamicContainer> floods() throws IOException, InterruptedException {
        return new PythonScript("floods_test").testsOn(Installation.Kernel.DEFAULT,
                Installation.Kernel.PLAIN_UNCONFINED);
    }
}
