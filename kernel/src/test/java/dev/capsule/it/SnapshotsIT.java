package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/// What remains when a cell kills its worker, or is taken back.
class SnapshotsIT {
    @TestFactory
    Stream<DynamicTest> snapshots() throws IOException, InterruptedException {
        return new PythonScript("snapshots_test").tests();
    }
}
