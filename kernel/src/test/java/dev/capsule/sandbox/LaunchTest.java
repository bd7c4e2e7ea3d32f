package dev.capsule.sandbox;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class LaunchTest {
    private static final Path WORKSPACE = Path.of("/home/ada/notebooks");

    @Test
    void unsandboxedKeepsTheEnvironmentButForWhatIsAboutTheKernelsOwnPython() {
        var launch = Launch.unsandboxed(List.of("/usr/bin/python3", "main.py"),
                Optional.of(Path.of("/usr/bin/setpriv")),
                Map.of("HOME", "/home/ada", "PYTHONDONTWRITEBYTECODE", "1", "PYTHONPATH", "/p"), WORKSPACE);
        assertEquals(new Launch("/usr/bin/python3",
                List.of("/usr/bin/setpriv", "--pdeathsig", "KILL", "--", "/usr/bin/python3", "main.py"),
                Map.of("HOME", "/home/ada", "PYTHONPATH", "/p"), WORKSPACE), launch);
    }

    @Test
    void withoutSetprivTheWorkerIsStartedPlainly() {
        var launch = Launch.unsandboxed(List.of("/usr/bin/python3", "main.py"), Optional.empty(), Map.of(), WORKSPACE);
        assertEquals(new Launch("/usr/bin/python3", List.of("/usr/bin/python3", "main.py"), Map.of(), WORKSPACE),
                launch);
    }
}
