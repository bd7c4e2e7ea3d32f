package dev.capsule.worker;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.capsule.sandbox.Launch;
import dev.capsule.sandbox.Processes;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/// Starts short commands for whoever finds out what this machine can do.
public final class LocalProcesses implements Processes {
    private static final Launch UNSHARE = new Launch("unshare",
            List.of("/usr/bin/unshare", "--user", "--", "/bin/sh", "-c", "echo; read -r _"), Map.of(), Path.of("/"));
    private static final Path NOTHING = Path.of("/dev/null");
    private static final int PIECE_BYTES = 4_096;
    private static final int MAX_OUTPUT_BYTES = 1 << 16;

    @Override
    public Ended run(Launch launch, Duration patience) throws IOException {
        var output = Posix.pipe();
        int nothing = Posix.openToRead(NOTHING);
        Child child;
        try {
            child = Child.start(launch, List.of(nothing, output.writeEnd(), output.writeEnd()));
        } catch (IOException e) {
            Posix.close(output.readEnd());
            throw e;
        } finally {
            Posix.close(nothing);
            Posix.close(output.writeEnd());
        }
        long deadline = System.nanoTime() + patience.toNanos();
        try {
            String said = readAll(output.readEnd(), deadline);
            try {
                int exitValue = child.exit().get(deadline - System.nanoTime(), TimeUnit.NANOSECONDS);
                return new Ended(exitValue, said);
            } catch (TimeoutException e) {
                child.killTree();
                return new Ended(child.exit().join(), said);
            } catch (ExecutionException | InterruptedException e) {
                throw new IllegalStateException(e);
            }
        } finally {
            Posix.close(output.readEnd());
        }
    }

    /// What is said until all who could have ended, or the deadline.
    private static String readAll(int descriptor, long deadline) throws IOException {
        var said = new ByteArrayOutputStream();
        var poll = new Posix.PollSet(1);
        poll.set(0, descriptor, Posix.POLLIN);
        try (var arena = Arena.ofConfined()) {
            var piece = arena.allocate(PIECE_BYTES);
            while (poll.await((int) TimeUnit.NANOSECONDS.toMillis(Math.max(0, deadline - System.nanoTime())))) {
                int count = Posix.read(descriptor, piece);
                if (count <= 0) {
                    break;
                }
                if (said.size() < MAX_OUTPUT_BYTES) {
                    said.writeBytes(piece.asSlice(0, count).toArray(ValueLayout.JAVA_BYTE));
                }
            }
        }
        return said.toString(UTF_8);
    }

    /// Needs a process in the namespace for a moment, whose maps are written from here. It says when it is there, and
    /// ends when it is told so.
    @Override
    public int userNamespace(String uidMap, String gidMap) throws IOException {
        var say = Posix.pipe();
        var hear = Posix.pipe();
        Child child;
        try {
            child = Child.start(UNSHARE, List.of(say.readEnd(), hear.writeEnd(), hear.writeEnd()));
        } finally {
            Posix.close(say.readEnd());
            Posix.close(hear.writeEnd());
        }
        try (var arena = Arena.ofConfined()) {
            var answer = arena.allocate(PIECE_BYTES);
            int count = Posix.read(hear.readEnd(), answer);
            if (count != 1) {
                throw new IOException("no user namespace can be made: "
                        + new String(answer.asSlice(0, Math.max(0, count)).toArray(ValueLayout.JAVA_BYTE), UTF_8)
                                .strip());
            }
            var process = Path.of("/proc", Long.toString(child.pid()));
            Files.writeString(process.resolve("uid_map"), uidMap);
            Files.writeString(process.resolve("gid_map"), gidMap);
            return Posix.openToRead(process.resolve("ns/user"));
        } finally {
            Posix.close(say.writeEnd());
            Posix.close(hear.readEnd());
            int _ = child.exit().join();
        }
    }
}
