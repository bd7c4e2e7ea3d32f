package dev.capsule.cli;

import dev.capsule.channel.Dealer;
import dev.capsule.jupyter.ConnectionInfo;
import dev.capsule.jupyter.Content;
import dev.capsule.jupyter.Signer;
import dev.capsule.jupyter.Wire;
import dev.capsule.sandbox.Launch;
import dev.capsule.sandbox.Processes;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;

/// A kernel that is run through once when it is installed, so that the JVM can write down what it has loaded and compiled
/// until then: later starts take half the time (JEP 483, 514 and 515). What is written suits this very JDK, jar and flags;
/// with others the JVM goes on without it.
final class Rehearsal {
    /// A few of each kind: what is run often would have the JVM compile when there is no time for it.
    private static final List<String> CELLS = List.of("1 + 1", "print('a')", "import os\nos.getpid()", "1 / 0",
            "import sys; print('b', file=sys.stderr)", "await __import__('asyncio').sleep(0)", "x = 'text' * 100\nx",
            "for number in range(20): print(number)", "%snapshots",
            "class Picture:\n def _repr_png_(self): return bytes(99_999)\nPicture()");
    private static final String LOOP = "print('here it loops')\nwhile True: pass";
    private static final String LOOPS = "here it loops\\n";

    /// Ends the name of what the JVM writes first, and removes when it gets as far as that.
    private static final String RECORDING = ".config";

    /// Some seconds, but on a busy machine many times that.
    private static final Duration PATIENCE = Duration.ofMinutes(3);

    private Rehearsal() {}

    /// Has the JVM of an installed kernel write its cache, unless there is one.
    ///
    /// @param environment of the process; nothing of the rehearsal is left in the directories that it names
    /// @return why there is none, if there is none
    static Optional<String> hold(Processes processes, Argv argv, Map<String, String> environment) {
        Path cache = argv.cache();
        if (isWritten(cache)) {
            return Optional.empty();
        }
        Path draft = cache.resolveSibling(cache.getFileName() + ".draft-" + ProcessHandle.current().pid());
        try {
            Path directory = Files.createTempDirectory("capsule-rehearsal-");
            try {
                var ended = processes.run(launch(argv, draft, directory, environment), PATIENCE);
                if (ended.exitValue() != 0 || !isWritten(draft)) {
                    return Optional.of("a kernel that was to write it ended with %d%s".formatted(ended.exitValue(),
                            ended.output().isBlank() ? "" : ": " + ended.output().strip()));
                }
                Files.move(draft, cache, StandardCopyOption.ATOMIC_MOVE);
                return Optional.empty();
            } finally {
                Releases.delete(directory);
                Files.deleteIfExists(draft);
                // Of a JVM that was ended while it wrote.
                Files.deleteIfExists(draft.resolveSibling(draft.getFileName() + RECORDING));
            }
        } catch (IOException e) {
            return Optional.of(e.toString());
        }
    }

    /// The JVM makes the file before it knows what is to be in it.
    private static boolean isWritten(Path cache) {
        return cache.toFile().length() > 0;
    }

    private static Launch launch(Argv argv, Path draft, Path directory, Map<String, String> environment)
            throws IOException {
        var connection = Files.write(directory.resolve("connection.json"), connection());
        var workspace = Files.createDirectory(directory.resolve("workspace"));
        var command = new ArrayList<String>();
        command.add(argv.java().toString());
        command.addAll(Argv.FLAGS);
        // What is run often is not noted, as [Argv] wants nothing of it.
        command.addAll(
                List.of("-XX:+UnlockDiagnosticVMOptions", "-XX:-AOTRecordTraining", "-XX:AOTCacheOutput=" + draft));
        command.addAll(argv.program());
        command.addAll(argv.kernel(connection.toString()));
        command.addAll(List.of(KernelCommand.REHEARSE, "yes"));
        var visible = new HashMap<>(environment);
        // History, audit and checkpoints.
        visible.put("XDG_DATA_HOME", directory.toString());
        visible.put("XDG_STATE_HOME", directory.toString());
        visible.put("JPY_PARENT_PID", Long.toString(ProcessHandle.current().pid()));
        return new Launch("java", command, visible, workspace);
    }

    /// Jupyter's connection file, with ports that are free now.
    private static byte[] connection() throws IOException {
        var text = new StringBuilder("{\"ip\": \"127.0.0.1\", \"transport\": \"tcp\", \"signature_scheme\": "
                + "\"hmac-sha256\", \"key\": \"" + UUID.randomUUID() + "\"");
        var taken = new ArrayList<ServerSocket>();
        try {
            for (String name : List.of("shell", "iopub", "stdin", "control", "hb")) {
                var socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
                taken.add(socket);
                text.append(", \"%s_port\": %d".formatted(name, socket.getLocalPort()));
            }
        } finally {
            for (var socket : taken) {
                socket.close();
            }
        }
        return text.append('}').toString().getBytes(StandardCharsets.UTF_8);
    }

    /// In the kernel that is rehearsed: is its client, and has it end.
    static void play(ConnectionInfo connection) throws IOException {
        var wire = new Wire(new Signer(connection.signatureScheme(), connection.key()), "rehearsal");
        try (var iopub = new Dealer(address(connection, connection.iopubPort()), "SUB");
                var shell = new Dealer(address(connection, connection.shellPort()), "DEALER");
                var control = new Dealer(address(connection, connection.controlPort()), "DEALER")) {
            iopub.send(List.of(new byte[]{1}));
            ask(wire, control, "kernel_info_request", "{}");
            ask(wire, shell, "kernel_info_request", "{}");
            for (String cell : CELLS) {
                ask(wire, shell, "execute_request", execution(cell));
            }
            send(wire, shell, "execute_request", execution(LOOP));
            while (!isAbout(LOOPS, iopub.receive())) {
                // It is not there yet.
            }
            ask(wire, control, "interrupt_request", "{}");
            List<byte[]> _ = shell.receive();
            ask(wire, shell, "complete_request", "{\"code\": \"os.pa\", \"cursor_pos\": 5}");
            ask(wire, shell, "inspect_request", "{\"code\": \"os\", \"cursor_pos\": 2, \"detail_level\": 0}");
            ask(wire, shell, "is_complete_request", "{\"code\": \"if x:\"}");
            ask(wire, shell, "history_request",
                    "{\"hist_access_type\": \"tail\", \"output\": false, \"raw\": true, \"n\": 2}");
            ask(wire, control, "shutdown_request", "{\"restart\": false}");
        }
    }

    private static String execution(String code) {
        return "{\"code\": \"%s\", \"silent\": false, \"store_history\": true, \"user_expressions\": {}, "
                .formatted(code.replace("\n", "\\n")) + "\"allow_stdin\": false, \"stop_on_error\": false}";
    }

    private static void ask(Wire wire, Dealer socket, String type, String content) throws IOException {
        send(wire, socket, type, content);
        List<byte[]> _ = socket.receive();
    }

    private static void send(Wire wire, Dealer socket, String type, String content) throws IOException {
        socket.send(wire.encode(type, Content.empty(), content.getBytes(StandardCharsets.UTF_8)).frames());
    }

    private static boolean isAbout(String text, List<byte[]> frames) {
        return new String(frames.getLast(), StandardCharsets.UTF_8).contains(text);
    }

    private static InetSocketAddress address(ConnectionInfo connection, int port) {
        return new InetSocketAddress(connection.ip(), port);
    }
}
