package dev.capsule.worker;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.capsule.policy.Limit;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class GrowthTest {
    private static final int MIB = 1 << 20;

    @TempDir
    private Path directory = Path.of("");

    private Growth growth(Path root) throws IOException {
        return new Growth(Limit.WORKSPACE_GROWTH, root, MIB);
    }

    private static boolean exceeds(Growth growth) throws IOException {
        return growth.exceeds(Set::of);
    }

    private static void fill(Path file) throws IOException {
        try (var channel = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.APPEND)) {
            channel.write(ByteBuffer.allocate(2 * MIB));
            channel.force(true);
        }
    }

    @Test
    void whatIsWrittenIsToldOnceAndAgainWhenThereIsMore() throws IOException {
        var growth = growth(directory);
        assertFalse(exceeds(growth));
        fill(directory.resolve("a"));
        assertTrue(exceeds(growth));
        assertFalse(exceeds(growth));
        Files.createDirectory(directory.resolve("sub"));
        fill(directory.resolve("sub/b"));
        assertTrue(eventually(growth));
    }

    /// Adding up is not repeated at once.
    private static boolean eventually(Growth growth) throws IOException {
        long deadline = System.nanoTime() + 20_000_000_000L;
        while (System.nanoTime() < deadline) {
            if (exceeds(growth)) {
                return true;
            }
            Thread.onSpinWait();
        }
        return false;
    }

    /// Else whoever makes room would be told for what another has written.
    @Test
    void whatIsForgivenIsNotTold() throws IOException {
        var growth = growth(directory);
        fill(directory.resolve("a"));
        growth.forgive();
        assertFalse(exceeds(growth));
    }

    @Test
    void whatIsWrittenElsewhereDoesNotCountThoughALinkLeadsThere() throws IOException {
        var inside = Files.createDirectory(directory.resolve("inside"));
        var outside = Files.createDirectory(directory.resolve("outside"));
        Files.createSymbolicLink(inside.resolve("link"), outside);
        var growth = growth(inside);
        fill(outside.resolve("a"));
        Files.createSymbolicLink(inside.resolve("file"), outside.resolve("a"));
        assertFalse(exceeds(growth));
    }

    @Test
    void aFileWithoutANameCounts() throws IOException {
        var growth = growth(directory);
        var file = directory.resolve("a");
        try (var channel = FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            Files.delete(file);
            channel.write(ByteBuffer.allocate(2 * MIB));
            channel.force(true);
            assertTrue(growth.exceeds(() -> Set.of(ProcessHandle.current().pid())));
        }
    }
}
