package dev.capsule.it;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/// JupyterLab in a browser. Pictures of what was on the screen are in `target/it/pictures`.
class JupyterLabIT {
    private static final Path CHROMIUM = Path.of("/usr/bin/chromium");
    private static final Path NOTEBOOKS = Path.of("..", "notebooks").toAbsolutePath().normalize();

    @TestFactory
    Stream<DynamicTest> jupyterLab() throws IOException, InterruptedException {
        if (!Files.isExecutable(CHROMIUM)) {
            return Stream.of(new Verdict.Missing(CHROMIUM.toString()).named("chromium"));
        }
        for (var need : Fetched.values()) {
            if (need.get() instanceof Verdict.Missing missing) {
                return Stream.of(missing.named(need.name()));
            }
        }
        var installation = Installation.get();
        var widgets = Fetched.WIDGETS.directory().resolve("venv");
        installation.install("capsule-open", widgets.resolve("bin/python").toString(), List.of("--profile", "open"));
        var environment = new HashMap<>(installation.environment());
        environment.put("CAPSULE_OPEN_KERNEL", "capsule-open");
        environment.put("CAPSULE_LAB", Fetched.JUPYTERLAB.directory().resolve("lab").toString());
        environment.put("CAPSULE_NOTEBOOKS", NOTEBOOKS.toString());
        environment.put("CAPSULE_PICTURES",
                Files.createDirectories(installation.directory().resolve("pictures")).toString());
        // Where ipywidgets has its part of JupyterLab.
        environment.merge("JUPYTER_PATH", widgets.resolve("share/jupyter").toString(),
                (kernels, own) -> kernels + ":" + own);
        return new NodeScript("jupyterlab").tests(new Installation(installation.directory(), environment));
    }
}
