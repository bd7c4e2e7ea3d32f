package dev.capsule.checkpoint;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.time.Instant;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.Consumer;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CheckpointFileTest {
    private static final Manifest.Language PYTHON = new Manifest.Language("python", "3.11.2");
    private static final Instant TIME = Instant.parse("2026-01-02T03:04:05Z");
    private static final byte[] FIRST = "first".getBytes(UTF_8);
    private static final byte[] SECOND = new byte[100_000];

    @TempDir
    @SuppressWarnings("NullAway.Init")
    private Path root;

    private Shelf shelf = Shelf.of(Path.of("/"));

    @BeforeEach
    void fill() {
        new Random(5).nextBytes(SECOND);
        shelf = new Shelf(root.resolve("checkpoints"), Path.of("/work"), "/work");
    }

    private static Manifest manifest(List<Manifest.Blob> blobs, String... names) {
        return new Manifest("capsule test", PYTHON, TIME, "/work", 7, blobs,
                Arrays.stream(names).map(name -> new Manifest.Variable(name, "list", 0)).toList(),
                List.of(new Manifest.Failure("g", "generator", "TypeError: no")), Map.of("numpy", "1.24"));
    }

    private Path make(Shelf shelf, String name) {
        try (var draft = shelf.draft(name)) {
            draft.add(0, FIRST);
            draft.add(1, Arrays.copyOf(SECOND, 40_000));
            draft.add(1, Arrays.copyOfRange(SECOND, 40_000, SECOND.length));
            draft.finish(blobs -> manifest(blobs, "a", "größe"));
        }
        return shelf.own(name);
    }

    private static void assertRefused(Path file, String what) {
        var refusal = assertThrows(CheckpointException.class, () -> {
            try (var opened = CheckpointFile.open(file)) {
                opened.verify();
            }
        }, what);
        assertTrue(refusal.getMessage().startsWith("the checkpoint " + file + " cannot be restored: "),
                refusal.getMessage());
    }

    @Test
    void whatIsWrittenIsRead() throws IOException {
        var path = make(shelf, "one");
        try (var file = CheckpointFile.open(path)) {
            file.verify();
            assertEquals(manifest(file.manifest().blobs(), "a", "größe"), file.manifest());
            assertEquals(List.of(5L, 100_000L), file.manifest().blobs().stream().map(Manifest.Blob::bytes).toList());
            assertArrayEquals(FIRST, file.read(0).readAllBytes());
            assertArrayEquals(SECOND, file.read(1).readAllBytes());
        }
        assertEquals("rw-------", PosixFilePermissions.toString(Files.getPosixFilePermissions(path)));
        assertEquals("rwx------",
                PosixFilePermissions.toString(Files.getPosixFilePermissions(path.resolveSibling(""))));
    }

    @Test
    void oneThatIsCutShortAnywhereIsRefused() throws IOException {
        byte[] whole = Files.readAllBytes(make(shelf, "one"));
        var file = root.resolve("cut");
        for (int part = 0; part < 20; part++) {
            Files.write(file, Arrays.copyOf(whole, whole.length * part / 20));
            assertRefused(file, part + " of 20 parts");
        }
        Files.write(file, Arrays.copyOf(whole, whole.length - 1));
        assertRefused(file, "all but one byte");
        Files.write(file, Arrays.copyOf(whole, whole.length + 1));
        assertRefused(file, "a byte more");
    }

    @Test
    void oneOfWhichAnyByteIsChangedIsRefused() throws IOException {
        try (var draft = shelf.draft("small")) {
            draft.add(0, FIRST);
            draft.finish(blobs -> manifest(blobs, "a"));
        }
        byte[] whole = Files.readAllBytes(shelf.own("small"));
        for (int at = 0; at < whole.length; at++) {
            // Each in a file of its own: an opened one is known again by its time, which is the same.
            var file = root.resolve("changed-" + at);
            whole[at] ^= 1;
            Files.write(file, whole);
            assertRefused(file, "byte " + at);
            whole[at] ^= 1;
        }
    }

    /// A file as anybody can make one, with a checksum that fits.
    private Path forge(String name, Consumer<ZipOutputStream> content) throws IOException {
        var bytes = new ByteArrayOutputStream();
        try (var zip = new ZipOutputStream(bytes)) {
            content.accept(zip);
            zip.setComment(CheckpointFile.UNSEALED);
        }
        byte[] whole = bytes.toByteArray();
        byte[] seal = sha256(whole).getBytes(UTF_8);
        System.arraycopy(seal, 0, whole, whole.length - seal.length, seal.length);
        return Files.write(root.resolve(name), whole);
    }

    private static String sha256(byte[] bytes) {
        MessageDigest digest = CheckpointFile.sha256();
        return HexFormat.of().formatHex(digest.digest(bytes));
    }

    private static void put(ZipOutputStream zip, String name, byte[] content) {
        try {
            zip.putNextEntry(new ZipEntry(name));
            zip.write(content);
            zip.closeEntry();
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    private static byte[] json(byte[]... blobs) {
        return manifest(Arrays.stream(blobs).map(blob -> new Manifest.Blob(blob.length, sha256(blob))).toList(),
                blobs.length == 0 ? new String[0] : new String[]{"a"}).toJson();
    }

    @Test
    void aForgedOneMustBeWhatItSays() throws IOException {
        var forged = new LinkedHashMap<String, Consumer<ZipOutputStream>>();
        forged.put("no manifest", zip -> put(zip, "blobs/0", FIRST));
        forged.put("one entry more", zip -> {
            put(zip, "blobs/0", FIRST);
            put(zip, "blobs/1", FIRST);
            put(zip, "manifest.json", json(FIRST));
        });
        forged.put("a name that leads elsewhere", zip -> {
            put(zip, "../../blobs/0", FIRST);
            put(zip, "manifest.json", json(FIRST));
        });
        forged.put("a blob under another name", zip -> {
            put(zip, "blobs/00", FIRST);
            put(zip, "manifest.json", json(FIRST));
        });
        forged.put("a blob that is missing", zip -> put(zip, "manifest.json", json(FIRST)));
        forged.put("a blob of another content", zip -> {
            put(zip, "blobs/0", "worst".getBytes(UTF_8));
            put(zip, "manifest.json", json(FIRST));
        });
        forged.put("a blob that is longer", zip -> {
            put(zip, "blobs/0", new byte[50_000_000]);
            put(zip, "manifest.json", json(FIRST));
        });
        forged.put("a manifest that is too long", zip -> put(zip, "manifest.json", new byte[3 << 20]));
        forged.put("a manifest that is no JSON", zip -> put(zip, "manifest.json", FIRST));
        forged.put("a manifest with a key twice", zip -> put(zip, "manifest.json",
                "{\"format\":1,\"format\":1}".getBytes(UTF_8)));
        forged.put("a deep manifest", zip -> put(zip, "manifest.json",
                ("{\"x\":" + "[".repeat(100) + "]".repeat(100) + "}").getBytes(UTF_8)));
        forged.put("many entries", zip -> {
            for (int i = 0; i < 40_000; i++) {
                put(zip, "blobs/" + i, new byte[0]);
            }
            put(zip, "manifest.json", json());
        });
        for (var each : forged.entrySet()) {
            assertRefused(forge(each.getKey(), each.getValue()), each.getKey());
        }
        var sound = forge("sound", zip -> {
            put(zip, "blobs/0", FIRST);
            put(zip, "manifest.json", json(FIRST));
        });
        try (var file = CheckpointFile.open(sound)) {
            file.verify();
        }
    }

    @Test
    void anEntryThatIsThereTwiceIsRefused() throws IOException {
        // The library writes none, so another name of the same length becomes it.
        var file = forge("twice", zip -> {
            put(zip, "blobs/0", FIRST);
            put(zip, "blobs/X", FIRST);
            put(zip, "manifest.json", json(FIRST));
        });
        String text = Files.readString(file, java.nio.charset.StandardCharsets.ISO_8859_1).replace("blobs/X",
                "blobs/0");
        byte[] bytes = text.getBytes(java.nio.charset.StandardCharsets.ISO_8859_1);
        Arrays.fill(bytes, bytes.length - 64, bytes.length, (byte) '0');
        byte[] seal = sha256(bytes).getBytes(UTF_8);
        System.arraycopy(seal, 0, bytes, bytes.length - 64, 64);
        assertRefused(Files.write(root.resolve("doubled"), bytes), "an entry twice");
    }

    @Test
    void oneOfALaterVersionSaysSo() throws IOException {
        var later = forge("later",
                zip -> put(zip, "manifest.json", "{\"format\":2,\"new\":[true,null,{\"x\":1.5}]}".getBytes(UTF_8)));
        var refusal = assertThrows(CheckpointException.class, () -> CheckpointFile.open(later));
        assertTrue(refusal.getMessage().contains("it has format 2, and this version of Capsule reads format 1"),
                refusal.getMessage());
    }

    @Test
    void whatIsNoFileIsRefused() throws IOException {
        assertRefused(root, "a directory");
        assertRefused(root.resolve("absent"), "nothing");
        assertRefused(Files.write(root.resolve("empty"), new byte[0]), "an empty file");
    }

    @Test
    void aDraftThatIsNotFinishedLeavesNothing() throws IOException {
        var file = make(shelf, "one");
        byte[] before = Files.readAllBytes(file);
        try (var draft = shelf.draft("one")) {
            draft.add(0, SECOND);
        }
        assertArrayEquals(before, Files.readAllBytes(file));
        try (var files = Files.list(file.resolveSibling(""))) {
            assertEquals(List.of(file), files.toList());
        }
    }

    @Test
    void partsThatDoNotFollowAreRefused() {
        try (var draft = shelf.draft("one")) {
            assertThrows(CheckpointException.class, () -> draft.add(1, FIRST));
            draft.add(0, FIRST);
            draft.add(1, FIRST);
            assertThrows(CheckpointException.class, () -> draft.add(0, FIRST));
            assertThrows(CheckpointException.class, () -> draft.add(3, FIRST));
            assertThrows(CheckpointException.class, () -> draft.add(2, new byte[0]));
        }
    }

    @Test
    void oneThatIsTooLargeNamesTheLimit() throws IOException {
        var directory = Files.createDirectories(root.resolve("small"));
        try (var draft = new Draft(directory.resolve("one.checkpoint"), 100)) {
            draft.add(0, new byte[100]);
            var refusal = assertThrows(CheckpointException.class, () -> draft.add(0, new byte[1]));
            assertTrue(refusal.getMessage().contains("the limit of 100 bytes"), refusal.getMessage());
        }
    }

    @Test
    void aManifestMustFitItsBlobs() {
        var blob = new Manifest.Blob(1, "0".repeat(64));
        assertThrows(CheckpointException.class, () -> manifest(List.of(), "a"));
        assertThrows(CheckpointException.class, () -> manifest(List.of(blob), "a", "a"));
        assertThrows(CheckpointException.class, () -> manifest(List.of(new Manifest.Blob(-1, "0".repeat(64)))));
        assertThrows(CheckpointException.class, () -> manifest(List.of(new Manifest.Blob(1, "no"))));
        var names = new String[Manifest.MAX_VARIABLES];
        Arrays.setAll(names, i -> "v" + i);
        assertThrows(CheckpointException.class, () -> manifest(List.of(blob), names));
    }

    @Test
    void whatIsShownMovesNoCursorAndTurnsNoLine() {
        var shown = new Manifest.Failure("\u001b[2Jname\u202e", "type\u2028", "why\u0000").toString();
        assertEquals("Failure[name=?[2Jname?, type=type?, reason=why?]", shown);
        assertEquals("?a", new Manifest.Variable("\u009ba", "t", 0).shownName());
    }

    @Test
    void oneMadeElsewhereIsNamedAndNotGiven() {
        var file = make(shelf, "one");
        var other = new Shelf(root.resolve("checkpoints"), Path.of("/other"), "/other");
        var refusal = assertThrows(CheckpointException.class, () -> other.own("one"));
        assertTrue(refusal.getMessage().contains("made elsewhere (/work)"), refusal.getMessage());
        assertTrue(refusal.getMessage().contains("--restore " + file), refusal.getMessage());
        assertEquals(file, other.any("one"));
        make(other, "one");
        assertEquals(other.own("one"), other.any("one"));
        var third = new Shelf(root.resolve("checkpoints"), Path.of("/third"), "/third");
        assertTrue(assertThrows(CheckpointException.class, () -> third.any("one")).getMessage()
                .contains("there are 2 checkpoints \"one\""));
        assertEquals(2, third.all().size());
        assertThrows(CheckpointException.class, () -> third.own("absent"));
    }

    @Test
    void aNameLeadsNowhereElse() {
        for (var name : List.of("", ".", "..", "../one", "a/b", "/etc", ".one", "-one", "a b", "a\n", "x".repeat(65))) {
            assertThrows(CheckpointException.class, () -> shelf.own(name), name);
            assertThrows(CheckpointException.class, () -> shelf.draft(name).close(), name);
        }
        assertEquals("A0_.-", Shelf.checked("A0_.-"));
    }

    @Test
    void whatKilledKernelsHaveLeftIsRemoved() throws IOException {
        var file = make(shelf, "one");
        // No system gives this number to a process.
        var left = Files.write(file.resolveSibling(".two.checkpoint.999999999.draft"), FIRST);
        make(shelf, "two");
        assertFalse(Files.exists(left));
    }

    @Test
    void oneThatIsDamagedIsListedAsSuch() throws IOException {
        var file = make(shelf, "one");
        Files.write(file, FIRST);
        var items = shelf.all();
        assertEquals(1, items.size());
        assertTrue(items.getFirst().manifest().isEmpty());
        assertTrue(items.getFirst().problem().orElseThrow().contains("cut short"));
    }
}
