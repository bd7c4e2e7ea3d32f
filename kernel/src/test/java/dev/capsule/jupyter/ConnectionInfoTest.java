package dev.capsule.jupyter;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ConnectionInfoTest {
    private static final String FILE = "{\"ip\":\"127.0.0.1\",\"transport\":\"tcp\",\"shell_port\":1,\"iopub_port\":2,"
            + "\"stdin_port\":\"3\",\"control_port\":4,\"hb_port\":5,\"signature_scheme\":\"hmac-sha256\","
            + "\"key\":\"k\",\"kernel_name\":\"ignored\"}";

    private static ConnectionInfo parse(String json) {
        return ConnectionInfo.parse("connection file x", json.getBytes(StandardCharsets.UTF_8));
    }

    @Test
    void readsPortsAsNumbersOrStringsAndIgnoresTheRest() {
        assertEquals(new ConnectionInfo("127.0.0.1", 1, 2, 3, 4, 5, "hmac-sha256", "k"), parse(FILE));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '\'', value = {
            "\"transport\":\"tcp\" | \"transport\":\"ipc\" | connection file x: transport is \"ipc\", but Capsule listens on tcp only; start the kernel with transport \"tcp\"",
            "\"shell_port\":1, | '' | connection file x has no shell_port",
            "\"shell_port\":1, | \"shell_port\":70000, | connection file x: shell_port is 70000, not from 1 to 65535",
            "\"shell_port\":1, | \"shell_port\":true, | connection file x: shell_port is not an integer",
            "\"stdin_port\":\"3\" | \"stdin_port\":\"x\" | connection file x: stdin_port is \"x\", not a port number"})
    void namesTheFieldThatIsWrong(String part, String instead, String message) {
        var refusal = assertThrows(WireException.class, () -> parse(FILE.replace(part, instead)));
        assertEquals(message, refusal.getMessage());
    }

    @Test
    void aMissingFileIsNamed() {
        var refusal = assertThrows(WireException.class, () -> ConnectionInfo.read(Path.of("/nonexistent/c.json")));
        assertEquals("connection file /nonexistent/c.json does not exist", refusal.getMessage());
    }
}
