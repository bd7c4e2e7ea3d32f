package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/// Cells and questions of subshells while the main shell runs a cell.
class SubshellsIT {
    @TestFactory
    Stream<DynamicTest> subshells() throws IOException, InterruptedException {
        return new PythonScript("subshells_test").tests();
    }
}
