package dev.capsule.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

class MainTest {
    /// Where the machine's language has digits of its own, a worker's `/etc/passwd` and the map of its users were written in
    /// these, and nobody could read them.
    @Test
    void numbersAreWrittenInAsciiDigits() throws Exception {
        String said = java("-Duser.language=ar", "-Duser.country=EG", "-cp", System.getProperty("java.class.path"),
                Main.class.getName(), "profile", "show", "default");
        assertTrue(said.contains("processes and threads: 256, each"), said);
    }

    /// The JVM of a kernel says nothing about what it does not understand, and goes on without it.
    @Test
    void theJvmUnderstandsItsCommands() throws Exception {
        var file = Path.of(Main.class.getResource("/" + Program.COMMANDS).toURI());
        String said = java("-XX:CompileCommandFile=" + file, "-version");
        var commands = Files.readAllLines(file).stream().filter(line -> !line.startsWith("#")).toList();
        assertFalse(commands.isEmpty());
        for (String command : commands) {
            var words = List.of(command.split(" ", -1));
            assertTrue(said.contains("CompileCommand: %s %s ".formatted(words.getFirst(),
                    words.get(1).replace('.', '/').replace("::", "."))), () -> command + ": " + said);
            if (!command.contains("*")) {
                var method = List.of(words.get(1).split("::", -1));
                assertTrue(Stream.of(Class.forName(method.getFirst()).getDeclaredMethods())
                        .anyMatch(each -> each.getName().equals(method.getLast())), command);
            }
        }
    }

    private static String java(String... arguments) throws Exception {
        var command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString()));
        command.addAll(List.of(arguments));
        var process = new ProcessBuilder(command).redirectErrorStream(true).start();
        var said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, process.waitFor(), said);
        return said;
    }
}
