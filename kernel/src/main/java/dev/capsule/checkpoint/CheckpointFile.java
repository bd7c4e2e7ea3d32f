package dev.capsule.checkpoint;

import dev.capsule.digest.NativeDigest;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.Optional;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;

/// A checkpoint on disk: a ZIP file of `blobs/0`, `blobs/1`, … and `manifest.json`, whose comment is the SHA-256 of all of
/// it (with zeros in the place of the comment). The checksum tells damage, and not who made the file: whoever can write
/// one can write its checksum.
///
/// It may be a stranger's. Nothing is unpacked, and no size that it announces is believed.
public final class CheckpointFile implements AutoCloseable {
    /// The most that the blobs may have together: 3 GiB. It is below what one execution of a worker may send.
    public static final long MAX_BYTES = 3L << 30;

    static final String MANIFEST = "manifest.json";
    static final String UNSEALED = "0".repeat(64);

    /// The end of a ZIP file: this, and the comment ("APPNOTE.TXT", 4.3.16).
    private static final int END_BYTES = 22;
    private static final int END_SIGNATURE = 0x06054b50;
    private static final int BUFFER_BYTES = 64 << 10;

    /// What the ZIP format adds to the blobs: for each some hundred bytes, and five for each 64 KiB.
    private static final long MAX_FILE_BYTES = MAX_BYTES + (64L << 20);
    private static final long MAX_DIRECTORY_BYTES = 128L * (Manifest.MAX_VARIABLES + 1);

    private final Path path;
    private final ZipFile zip;
    private final Manifest manifest;

    private CheckpointFile(Path path, ZipFile zip, Manifest manifest) {
        this.path = path;
        this.zip = zip;
        this.manifest = manifest;
    }

    static String blobName(int number) {
        return "blobs/" + number;
    }

    static MessageDigest sha256() {
        return NativeDigest.orJavas("SHA-256");
    }

    /// Reads the manifest, and not what it is of: see [#verify].
    ///
    /// @throws CheckpointException if it is no checkpoint, or one of a later version
    public static CheckpointFile open(Path path) {
        try {
            checkEnd(path);
            // Closed by whoever gets it.
            var zip = new ZipFile(path.toFile());
            try {
                var entry = zip.getEntry(MANIFEST);
                if (entry == null) {
                    throw new CheckpointException("it has no " + MANIFEST);
                }
                byte[] json;
                try (var in = zip.getInputStream(entry)) {
                    json = in.readNBytes(Manifest.MAX_BYTES + 1);
                }
                if (json.length > Manifest.MAX_BYTES) {
                    throw new CheckpointException("its manifest is over the limit of %,d bytes"
                            .formatted(Manifest.MAX_BYTES));
                }
                return new CheckpointFile(path, zip, Manifest.ofJson(json));
            } catch (IOException | RuntimeException e) {
                zip.close();
                throw e;
            }
        } catch (IOException e) {
            throw refusal(path, "it is damaged, or is none: " + Shelf.reason(e), e);
        } catch (IllegalArgumentException e) {
            // Of a ZIP file whose names are no text.
            throw refusal(path, "it is damaged: " + e.getMessage(), e);
        } catch (CheckpointException e) {
            throw refusal(path, e.getMessage(), e);
        }
    }

    private static CheckpointException refusal(Path path, String why, Exception cause) {
        return new CheckpointException("the checkpoint %s cannot be restored: %s".formatted(path, Manifest.plain(why)),
                cause);
    }

    /// What is read into memory at once is bounded before it is.
    private static void checkEnd(Path path) throws IOException {
        if (!Files.isRegularFile(path)) {
            throw new CheckpointException("it is no file");
        }
        try (var channel = FileChannel.open(path, StandardOpenOption.READ)) {
            long size = channel.size();
            if (size > MAX_FILE_BYTES) {
                throw new CheckpointException("its %,d bytes are over the limit of %,d".formatted(size,
                        MAX_FILE_BYTES));
            }
            var end = ByteBuffer.allocate(END_BYTES + UNSEALED.length()).order(ByteOrder.LITTLE_ENDIAN);
            if (size < end.capacity() || channel.read(end, size - end.capacity()) < end.capacity()
                    || end.getInt(0) != END_SIGNATURE || end.getShort(20) != UNSEALED.length()) {
                throw new CheckpointException("it is cut short, or no checkpoint at all");
            }
            long directoryBytes = Integer.toUnsignedLong(end.getInt(12));
            if (directoryBytes > MAX_DIRECTORY_BYTES) {
                throw new CheckpointException("its directory of %,d bytes is over the limit of %,d"
                        .formatted(directoryBytes, MAX_DIRECTORY_BYTES));
            }
        }
    }

    public Path path() {
        return path;
    }

    public Manifest manifest() {
        return manifest;
    }

    /// Reads all of it.
    ///
    /// @throws CheckpointException unless every byte is as it was written
    public void verify() {
        try {
            checkSeal();
            checkEntries();
            for (int i = 0; i < manifest.blobs().size(); i++) {
                checkBlob(i);
            }
        } catch (IOException e) {
            throw refusal(path, "it is damaged: " + Shelf.reason(e), e);
        } catch (CheckpointException e) {
            throw refusal(path, e.getMessage(), e);
        }
    }

    private void checkSeal() throws IOException {
        var digest = sha256();
        try (var channel = FileChannel.open(path, StandardOpenOption.READ)) {
            long left = channel.size() - UNSEALED.length();
            var buffer = ByteBuffer.allocate(BUFFER_BYTES);
            while (left > 0) {
                buffer.clear().limit((int) Math.min(left, BUFFER_BYTES));
                int count = channel.read(buffer);
                if (count <= 0) {
                    throw new CheckpointException("it is cut short");
                }
                digest.update(buffer.flip());
                left -= count;
            }
        }
        digest.update(UNSEALED.getBytes(StandardCharsets.US_ASCII));
        String found = HexFormat.of().formatHex(digest.digest());
        if (!found.equals(zip.getComment())) {
            throw new CheckpointException("it was changed since it was made: its checksum does not fit");
        }
    }

    private void checkEntries() {
        var names = new HashSet<String>();
        int blobs = manifest.blobs().size();
        for (var entries = zip.entries(); entries.hasMoreElements();) {
            String name = entries.nextElement().getName();
            if (!names.add(name) || !(name.equals(MANIFEST) || isBlob(name, blobs))) {
                throw new CheckpointException("it has the entry \"%s\", which is not expected".formatted(name));
            }
        }
        if (names.size() != blobs + 1) {
            throw new CheckpointException("it has %d entries, and should have %d".formatted(names.size(), blobs + 1));
        }
    }

    private static boolean isBlob(String name, int blobs) {
        return name.matches("blobs/(0|[1-9]\\d{0,6})") && Integer.parseInt(name.substring("blobs/".length())) < blobs;
    }

    private void checkBlob(int number) throws IOException {
        var blob = manifest.blobs().get(number);
        var digest = sha256();
        long left = blob.bytes();
        try (var in = read(number)) {
            byte[] buffer = new byte[BUFFER_BYTES];
            for (int count = in.read(buffer); count >= 0; count = in.read(buffer)) {
                digest.update(buffer, 0, count);
                left -= count;
                if (left < 0) {
                    break;
                }
            }
        }
        if (left != 0 || !HexFormat.of().formatHex(digest.digest()).equals(blob.sha256())) {
            throw new CheckpointException("its blob %d is not as it was made".formatted(number));
        }
    }

    /// @param blob a number of one that the manifest has
    public InputStream read(int blob) throws IOException {
        ZipEntry entry = Optional.ofNullable(zip.getEntry(blobName(blob)))
                .orElseThrow(() -> new CheckpointException("its blob %d is missing".formatted(blob)));
        return zip.getInputStream(entry);
    }

    @Override
    public void close() {
        try {
            zip.close();
        } catch (IOException e) {
            throw new CheckpointException("%s cannot be closed: %s".formatted(path, Shelf.reason(e)), e);
        }
    }
}
