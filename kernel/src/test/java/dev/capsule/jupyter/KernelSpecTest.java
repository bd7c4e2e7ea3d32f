package dev.capsule.jupyter;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.capsule.jupyter.KernelSpec.InterruptMode;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

class KernelSpecTest {
    private static final String JSON = """
            {
              "argv": [
                "/opt/jdk/bin/java",
                "-f",
                "{connection_file}"
              ],
              "display_name": "Python \\"é\\"",
              "language": "python",
              "interrupt_mode": "message",
              "env": {
                "B": "${HOME}/x",
                "A": ""
              },
              "metadata": {
                "debugger": true
              }
            }
            """;

    @Test
    void writesTheWholeFileAndReadsItBack() {
        var env = new LinkedHashMap<String, String>();
        env.put("B", "${HOME}/x");
        env.put("A", "");
        var spec = new KernelSpec(List.of("/opt/jdk/bin/java", "-f", "{connection_file}"), "Python \"é\"", "python",
                InterruptMode.MESSAGE, env, true);
        assertEquals(JSON, spec.toJson());
        assertEquals(spec, KernelSpec.parse("kernel.json", JSON.getBytes(UTF_8)));
    }

    @Test
    void readsWhatOtherKernelsWrite() {
        String ipykernel = """
                {"argv": ["python3", "-m", "ipykernel_launcher", "-f", "{connection_file}"], "display_name": "Python 3",
                 "language": "python", "metadata": {"debugger": true}, "kernel_protocol_version": "5.5"}""";
        assertEquals(
                new KernelSpec(List.of("python3", "-m", "ipykernel_launcher", "-f", "{connection_file}"), "Python 3",
                        "python", InterruptMode.SIGNAL, Map.of(), true),
                KernelSpec.parse("kernel.json", ipykernel.getBytes(UTF_8)));
    }

    @Test
    void refusesWhatIsNotAKernelSpec() {
        assertEquals("kernel.json has no display_name", refusal("{\"argv\": []}"));
        assertEquals("kernel.json: interrupt_mode is \"smile\", not signal or message",
                refusal("{\"argv\": [], \"display_name\": \"\", \"language\": \"\", \"interrupt_mode\": \"smile\"}"));
        assertEquals("kernel.json: argv is not an array", refusal("""
                {"argv": "x", "display_name": "", "language": ""}"""));
    }

    private static @Nullable String refusal(String json) {
        return assertThrows(WireException.class, () -> KernelSpec.parse("kernel.json", json.getBytes(UTF_8)))
                .getMessage();
    }
}
