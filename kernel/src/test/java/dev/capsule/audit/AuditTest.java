package dev.capsule.audit;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AuditTest {
    private static final String START = "{\"time\":\"2025-01-02T03:04:05.600000Z\",\"kernel\":77,\"session\":\"s\",\"event\":";

    @TempDir
    Path root;

    private Path directory = Path.of("");
    private Path file = Path.of("");

    @BeforeEach
    void place() {
        directory = root.resolve("state/capsule");
        file = directory.resolve("audit.jsonl");
    }

    private static String line(Event event) {
        return new String(Line.of(Instant.parse("2025-01-02T03:04:05.600Z"), 77, "s", event), UTF_8);
    }

    @Test
    void itIsInTheUsersStateDirectory() {
        assertEquals(Optional.of(Path.of("/s/capsule/audit.jsonl")),
                Audit.file(Map.of("XDG_STATE_HOME", "/s", "HOME", "/h")));
        // A relative one would be in the notebook's directory, which cells can write.
        assertEquals(Optional.of(Path.of("/h/.local/state/capsule/audit.jsonl")),
                Audit.file(Map.of("XDG_STATE_HOME", "s", "HOME", "/h")));
        assertEquals(Optional.empty(), Audit.file(Map.of("HOME", "h")));
    }

    @Test
    void everyEventIsALineOfJson() {
        var lines = new HashMap<>(Map.of(new Event.KernelStarted("1.2", "default", "L1", "/home/ü/\n"),
                "\"kernel_started\",\"version\":\"1.2\",\"profile\":\"default\",\"tier\":\"L1\","
                        + "\"workspace\":\"/home/\\u00fc/\\n\"",
                new Event.Overridden("--sandbox", "none"),
                "\"override\",\"option\":\"--sandbox\",\"value\":\"none\"",
                // printf 'python3\0-I\0' | sha256sum
                new Event.WorkerSpawned(2, "L3", "open", List.of("python3", "-I"), 1000),
                "\"worker_spawned\",\"worker\":2,\"tier\":\"L3\",\"profile\":\"open\",\"arguments_sha256\":"
                        + "\"efae6729f03a24ee4907e26ed6b0f8a6d2a60b85893496e3f69e9c80a471c9d8\",\"uid\":1000",
                new Event.WorkerEnded(2, "killed by SIGSEGV"),
                "\"worker_ended\",\"worker\":2,\"cause\":\"killed by SIGSEGV\"",
                new Event.Revived(2, "killed by SIGSEGV", "after In [3]"),
                "\"revived\",\"worker\":2,\"cause\":\"killed by SIGSEGV\",\"snapshot\":\"after In [3]\"",
                new Event.Killed(2, "did not end"), "\"killed\",\"worker\":2,\"reason\":\"did not end\"",
                new Event.ProtocolViolation(2, "\u001b[2J\u202e"),
                "\"protocol_violation\",\"worker\":2,\"message\":\"\\u001b[2J\\u202e\"",
                new Event.LimitHit("memory", "2 GiB", 4),
                "\"limit_hit\",\"limit\":\"memory\",\"value\":\"2 GiB\",\"execution_count\":4",
                // printf 'é = 1' | sha256sum
                new Event.Cell(4, "é = 1"),
                "\"cell\",\"execution_count\":4,\"code_sha256\":\"0493712433e8d1c915bb06bc83d4254d7e4775749e7e1ab7c16b90d823781570\",\"bytes\":6",
                new Event.OutputWithheld(4, Map.of("text/html", 3, "a/b", 1)),
                "\"output_withheld\",\"execution_count\":4,\"counts\":{\"a/b\":1,\"text/html\":3}"));
        lines.put(new Event.Checkpoint("%restore one", false),
                "\"checkpoint\",\"request\":\"%restore one\",\"succeeded\":false");
        lines.forEach((event, rest) -> assertEquals(START + rest + "}\n", line(event)));
    }

    /// What a cell can make as long as it likes must not make a line too long to be written in one piece.
    @Test
    void noLineIsLongerThanTheLimit() {
        String longest = "\ud800".repeat(100_000);
        var types = IntStream.range(0, 100_000).boxed()
                .collect(Collectors.toMap(i -> "\uffff".repeat(59) + String.format("%05d", i), i -> Integer.MAX_VALUE));
        for (var event : List.of(new Event.KernelStarted(longest, longest, longest, longest),
                new Event.OutputWithheld(Integer.MAX_VALUE, types))) {
            assertTrue(line(event).length() <= Line.MAX_BYTES, () -> line(event).length() + " bytes");
        }
        long others = (long) (types.size() - Line.MAX_MIME_TYPES) * Integer.MAX_VALUE;
        assertTrue(line(new Event.OutputWithheld(1, types)).endsWith(",\"others\":" + others + "}}\n"));
    }

    @Test
    void codeIsNeitherWrittenNorShown() throws IOException {
        var cell = new Event.Cell(1, "password = 'swordfish'");
        try (var audit = new Audit(file)) {
            audit.record(cell);
        }
        assertFalse(cell.toString().contains("swordfish"));
        assertFalse(Files.readString(file).contains("swordfish"));
    }

    @Test
    void whatWasRecordedIsWrittenInOrderByTheEndForItsOwnerOnly() throws IOException {
        try (var audit = new Audit(file)) {
            IntStream.range(0, 300).forEach(i -> audit.record(new Event.Cell(i, "")));
        }
        try (var audit = new Audit(file)) {
            audit.record(new Event.Cell(300, ""));
        }
        assertEquals(IntStream.rangeClosed(0, 300).boxed().toList(),
                counts(Files.readAllLines(file)).stream().toList());
        assertEquals("rw-------", PosixFilePermissions.toString(Files.getPosixFilePermissions(file)));
        for (Path made : List.of(directory, root.resolve("state"))) {
            assertEquals("rwx------", PosixFilePermissions.toString(Files.getPosixFilePermissions(made)));
        }
    }

    @Test
    void nothingIsMadeBeforeTheFirstEvent() {
        new Audit(file).close();
        assertFalse(Files.exists(root.resolve("state")));
    }

    @Test
    void aDirectoryThatOthersCanReadIsClosed() throws IOException {
        Files.createDirectories(directory,
                PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwxr-xr-x")));
        try (var audit = new Audit(file)) {
            audit.record(new Event.Cell(1, ""));
        }
        assertEquals("rwx------", PosixFilePermissions.toString(Files.getPosixFilePermissions(directory)));
    }

    /// Writes events of its own to a log that others write, too.
    static final class Writer {
        private Writer() {}

        public static void main(String[] args) throws IOException {
            try (var audit = new Audit(Path.of(args[0]), Long.parseLong(args[1]))) {
                System.out.write('\n');
                System.out.flush();
                int begin = System.in.read();
                for (int i = 0; i < Integer.parseInt(args[2]) && begin >= 0; i++) {
                    audit.record(new Event.Cell(i, ""));
                }
            }
        }
    }

    /// Both find the file full at about the same time. Renamed twice, its first lines would be gone.
    @Test
    void twoKernelsShareTheFileAndLoseNothingWhenItIsRenamed() throws IOException, InterruptedException {
        int events = 300;
        long lineBytes = Line.of(Instant.now(), 99_999, "01234567-0123-0123-0123-0123456789ab",
                new Event.Cell(100, "")).length;
        var command = List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-cp",
                System.getProperty("java.class.path"), Writer.class.getName(), file.toString(),
                Long.toString(lineBytes * events * 3 / 2), Integer.toString(events));
        var writers = new ArrayList<Process>();
        for (int i = 0; i < 2; i++) {
            writers.add(new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start());
        }
        for (var writer : writers) {
            assertEquals('\n', writer.getInputStream().read());
        }
        for (var writer : writers) {
            writer.getOutputStream().write('\n');
            writer.getOutputStream().flush();
        }
        for (var writer : writers) {
            assertEquals(0, writer.waitFor());
        }
        var lines = new ArrayList<>(Files.readAllLines(Audit.old(file)));
        lines.addAll(Files.readAllLines(file));
        assertEquals(2 * events, lines.size());
        for (var writer : writers) {
            assertEquals(IntStream.range(0, events).boxed().toList(), counts(lines.stream()
                    .filter(line -> line.contains("\"kernel\":" + writer.pid() + ",")).toList()));
        }
        assertEquals(2 * events, new HashSet<>(lines).size());
    }

    @Test
    void aFullFileTakesThePlaceOfTheOldOne() throws IOException {
        try (var audit = new Audit(file, 1)) {
            IntStream.range(0, 3).forEach(i -> audit.record(new Event.Cell(i, "")));
        }
        assertFalse(Files.exists(file));
        assertEquals(List.of(2), counts(Files.readAllLines(Audit.old(file))));
    }

    /// Between finding the file full and renaming it, another kernel may have done so: the file is then a new one, and
    /// renaming it would delete all lines but its few.
    @Test
    void aFileThatAnotherHasJustRenamedIsNotRenamedAgain() throws IOException {
        try (var audit = new Audit(file, 10_000)) {
            audit.record(new Event.Cell(1, ""));
        }
        Files.writeString(Audit.old(file), "many lines");
        new Audit(file, 10_000).rotate();
        assertEquals("many lines", Files.readString(Audit.old(file)));
        assertEquals(List.of(1), counts(Files.readAllLines(file)));
    }

    @Test
    void whileAnotherRenamesTheFileItIsOnlyAddedTo() throws IOException {
        Files.createDirectories(directory);
        try (var channel = FileChannel.open(directory.resolve("audit.jsonl.lock"), StandardOpenOption.CREATE,
                StandardOpenOption.WRITE); var _ = channel.lock()) {
            try (var audit = new Audit(file, 1)) {
                audit.record(new Event.Cell(1, ""));
                audit.record(new Event.Cell(2, ""));
            }
            assertEquals(List.of(1, 2), counts(Files.readAllLines(file)));
        }
    }

    @Test
    void aLinkIsNotFollowed() throws IOException {
        Path target = Files.writeString(root.resolve("target"), "theirs");
        Files.createDirectories(directory);
        Files.createSymbolicLink(file, target);
        String said = saidBy(() -> recordTwo());
        assertEquals("theirs", Files.readString(target));
        assertTrue(said.contains("the audit log " + file + " has a problem (which is said once): events are lost: "
                + "java.io.IOException: " + file + " is not a regular file; remove it"), said);
    }

    @Test
    void aLinkForADirectoryIsNotFollowedEither() throws IOException {
        Path target = Files.createDirectory(root.resolve("target"));
        Files.createDirectories(root.resolve("state"));
        Files.createSymbolicLink(directory, target);
        String said = saidBy(() -> recordTwo());
        assertFalse(Files.exists(target.resolve("audit.jsonl")));
        assertTrue(said.contains(directory + " is a link; make it a directory"), said);
    }

    @Test
    void aDirectoryThatCannotBeMadeIsSaidOnceAndStopsNothing() throws IOException {
        Files.writeString(root.resolve("state"), "in the way");
        String said = saidBy(() -> recordTwo());
        assertEquals(1, said.lines().filter(line -> line.contains("the audit log")).count(), said);
    }

    @Test
    void afterItsEndAnEventIsLostAndThatIsSaid() throws IOException {
        var audit = new Audit(file);
        audit.close();
        assertTrue(saidBy(() -> audit.record(new Event.Cell(1, ""))).contains("events are lost: it is closed"));
    }

    private void recordTwo() {
        try (var audit = new Audit(file)) {
            audit.record(new Event.Cell(1, ""));
            audit.record(new Event.Cell(2, ""));
        }
    }

    /// What an action logs.
    private static String saidBy(Runnable action) {
        var said = new ByteArrayOutputStream();
        var before = System.err;
        System.setErr(new PrintStream(said, true, UTF_8));
        try {
            action.run();
        } finally {
            System.setErr(before);
        }
        return said.toString(UTF_8);
    }

    private static List<Integer> counts(List<String> lines) {
        return lines.stream().map(line -> Integer.valueOf(line.replaceAll(".*\"execution_count\":(\\d+).*", "$1")))
                .toList();
    }
}
