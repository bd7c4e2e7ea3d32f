package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicContainer;
import org.junit.jupiter.api.TestFactory;

/// The benchmark says what it is asked to. What its figures are is not judged here.
class BenchIT {
    @TestFactory
    Stream<DynamicContainer> bench() throws IOException, InterruptedException {
        return new PythonScript("bench_test").testsOn(Installation.Kernel.PLAIN);
    }
}
