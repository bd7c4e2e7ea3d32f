package dev.capsule.it;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/// Comms, with ipywidgets.
class WidgetsIT {
    @TestFactory
    Stream<DynamicTest> widgets() throws IOException, InterruptedException {
        if (Fetched.WIDGETS.get() instanceof Verdict.Missing missing) {
            return Stream.of(missing.named("pip"));
        }
        return new PythonScript("widgets_test").tests();
    }
}
