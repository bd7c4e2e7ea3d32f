package dev.capsule.jupyter;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Locale;

/// Where a kernel listens and how its messages are signed: Jupyter's connection file (jupyter_client docs,
/// "Connection files").
///
/// @param signatureScheme `hmac-` and the name of a digest, such as `hmac-sha256`
/// @param key the shared secret; empty means that messages are not signed
public record ConnectionInfo(String ip, int shellPort, int iopubPort, int stdinPort, int controlPort,
        int heartbeatPort, String signatureScheme, String key) {

    /// Reads a connection file.
    ///
    /// @throws WireException if the file is missing, not JSON, lacks a field, or asks for a transport other than tcp
    public static ConnectionInfo read(Path file) {
        try {
            return parse("connection file " + file, Files.readAllBytes(file));
        } catch (NoSuchFileException e) {
            throw new WireException("connection file " + file + " does not exist", e);
        } catch (IOException e) {
            throw new WireException("connection file " + file + " cannot be read: " + e, e);
        }
    }

    static ConnectionInfo parse(String what, byte[] json) {
        var file = Json.parse(what, json);
        String transport = file.string("transport", "tcp");
        if (!transport.equals("tcp")) {
            throw new WireException(what + ": transport is \"" + transport
                    + "\", but Capsule listens on tcp only; start the kernel with transport \"tcp\"");
        }
        return new ConnectionInfo(file.string("ip", "127.0.0.1"), port(file, "shell_port"), port(file, "iopub_port"),
                port(file, "stdin_port"), port(file, "control_port"), port(file, "hb_port"),
                file.string("signature_scheme", "hmac-sha256").toLowerCase(Locale.ROOT), file.string("key", ""));
    }

    /// JEP 106 lets a port be a number or a string of digits.
    private static int port(JsonObject file, String name) {
        int port;
        if (file.fields().get(name) instanceof String digits) {
            try {
                port = Integer.parseInt(digits);
            } catch (NumberFormatException e) {
                throw new WireException("%s: %s is \"%s\", not a port number".formatted(file.what(), name, digits), e);
            }
        } else {
            port = file.integer(name);
        }
        if (port < 1 || port > 65_535) {
            throw new WireException("%s: %s is %d, not from 1 to 65535".formatted(file.what(), name, port));
        }
        return port;
    }
}
