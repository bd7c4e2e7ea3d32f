package dev.capsule.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.capsule.jupyter.Content.HistoryEntry;
import dev.capsule.jupyter.Request.HistoryQuery;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class HistoryTest {
    @TempDir
    private Path directory;

    private static List<HistoryEntry> find(History history, HistoryQuery query) {
        var answer = new CompletableFuture<List<HistoryEntry>>();
        history.find(query, answer::complete);
        return answer.join();
    }

    private static HistoryEntry entry(int session, int line, String input) {
        return new HistoryEntry(session, line, input, Optional.empty());
    }

    @Test
    void twoKernelsShareOneFile() {
        var file = directory.resolve("deep/history.sqlite");
        try (var first = new History(Optional.of(file)); var second = new History(Optional.of(file))) {
            first.add(1, "a = 1");
            first.addOutput(1, "1");
            assertEquals(List.of(new HistoryEntry(1, 1, "a = 1", Optional.of("1"))),
                    find(first, new HistoryQuery.Tail(10)));
            second.add(1, "b");
            second.add(2, "a = 1");
            assertEquals(
                    List.of(new HistoryEntry(1, 1, "a = 1", Optional.of("1")), entry(2, 1, "b"), entry(2, 2, "a = 1")),
                    find(second, new HistoryQuery.Tail(10)));
            assertEquals(List.of(entry(2, 2, "a = 1")), find(second, new HistoryQuery.Tail(1)));
            assertEquals(List.of(entry(2, 1, "b")), find(second, new HistoryQuery.Range(0, 1, Optional.of(2))));
            assertEquals(List.of(new HistoryEntry(1, 1, "a = 1", Optional.of("1"))),
                    find(second, new HistoryQuery.Range(-1, 0, Optional.empty())));
            assertEquals(2, find(second, new HistoryQuery.Search("a*", Optional.empty(), false)).size());
            assertEquals(List.of(entry(2, 2, "a = 1")),
                    find(second, new HistoryQuery.Search("a*", Optional.empty(), true)));
        }
    }

    /// A console asks for the last thousand inputs at its start, and one of 60 MB made it give up.
    @Test
    void whatIsTooLongIsNotKept() {
        try (var history = new History(Optional.empty())) {
            history.add(1, "x".repeat((1 << 20) + 1));
            history.addOutput(1, "y".repeat(2 << 20));
            assertEquals(List.of(new HistoryEntry(1, 1,
                    "# an input of 1,048,577 characters, over the limit of 1,048,576 that the history keeps",
                    Optional.of(
                            "# an output of 2,097,152 characters, over the limit of 1,048,576 that the history keeps"))),
                    find(history, new HistoryQuery.Tail(10)));
        }
    }

    @Test
    void theFileIsForItsOwnerOnly() throws IOException {
        var file = directory.resolve("history.sqlite");
        try (var history = new History(Optional.of(file))) {
            history.add(1, "secret");
        }
        assertEquals("rw-------", PosixFilePermissions.toString(Files.getPosixFilePermissions(file)));
    }

    @Test
    void aFileThatCannotBeUsedMeansAHistoryInMemory() throws IOException {
        var file = directory.resolve("history.sqlite");
        Files.writeString(file, "this is no database, and it is not ours to overwrite");
        try (var history = new History(Optional.of(file))) {
            history.add(1, "a");
            assertEquals(List.of(entry(1, 1, "a")), find(history, new HistoryQuery.Tail(10)));
        }
        assertEquals("this is no database, and it is not ours to overwrite", Files.readString(file));
    }

    /// A client that asked for many entries of a megabyte each got them all, and the kernel's memory did not suffice.
    @Test
    void anAnswerIsBounded() {
        String large = "#".repeat(1 << 20);
        try (var history = new History(Optional.empty())) {
            for (int line = 1; line <= 40; line++) {
                history.add(line, large);
            }
            for (var query : List.of(new HistoryQuery.Tail(40), new HistoryQuery.Range(0, 0, Optional.empty()),
                    new HistoryQuery.Search("*", Optional.empty(), false))) {
                assertEquals(IntStream.rangeClosed(25, 40).boxed().toList(),
                        find(history, query).stream().map(HistoryEntry::line).toList());
            }
        }
    }

    /// What was to be written while another program held the file was lost.
    @Test
    void whatWaitsForTheFileIsKept() throws SQLException {
        var file = directory.resolve("history.sqlite");
        try (var history = new History(Optional.of(file))) {
            history.add(1, "a");
            assertEquals(List.of(entry(1, 1, "a")), find(history, new HistoryQuery.Tail(10)));
            try (var other = DriverManager.getConnection("jdbc:sqlite:" + file);
                    var statement = other.createStatement()) {
                statement.execute("BEGIN IMMEDIATE");
                history.add(2, "b");
                history.add(3, "c");
                history.addOutput(3, "3");
                // Is answered when it has tried to write.
                assertEquals(List.of(entry(1, 1, "a")), find(history, new HistoryQuery.Tail(10)));
                statement.execute("COMMIT");
            }
            assertEquals(
                    List.of(entry(1, 1, "a"), entry(1, 2, "b"), new HistoryEntry(1, 3, "c", Optional.of("3"))),
                    find(history, new HistoryQuery.Tail(10)));
        }
    }
}
