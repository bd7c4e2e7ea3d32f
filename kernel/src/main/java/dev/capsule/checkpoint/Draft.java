package dev.capsule.checkpoint;

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.DigestOutputStream;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;
import java.util.function.Function;
import java.util.zip.Deflater;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

/// A checkpoint that is being written: a temporary file beside the one that it will be. Nothing of it is held in memory.
/// Used by one thread at a time. Closed before it is finished, it leaves nothing behind.
public final class Draft implements AutoCloseable {
    private static final int BUFFER_BYTES = 64 << 10;

    private final Path target;
    private final long limit;
    private final Path file;
    private final FileChannel channel;
    private final MessageDigest seal = CheckpointFile.sha256();
    private final ZipOutputStream zip;
    private final List<Manifest.Blob> blobs = new ArrayList<>();
    private final MessageDigest digest = CheckpointFile.sha256();
    private long blobBytes;
    private long bytes;
    private boolean finished;

    /// @param target what is there is replaced when this is finished, and not before
    /// @param limit of the bytes of all blobs
    Draft(Path target, long limit) throws IOException {
        this.target = target;
        this.limit = limit;
        file = target.resolveSibling("." + target.getFileName() + "." + ProcessHandle.current().pid() + ".draft");
        Files.deleteIfExists(file);
        channel = FileChannel.open(file, Set.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE),
                PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
        OutputStream out = new BufferedOutputStream(Channels.newOutputStream(channel), BUFFER_BYTES);
        zip = new ZipOutputStream(new DigestOutputStream(out, seal));
        // Arrays of numbers hardly get smaller, and it takes a minute for 2 GB.
        zip.setLevel(Deflater.NO_COMPRESSION);
    }

    /// Of the bytes of all blobs.
    public long limit() {
        return limit;
    }

    /// Adds bytes to a blob: to the last one, or to the next.
    ///
    /// @throws CheckpointException if that is too much, the blob another one, or the disk does not take it
    public void add(int blob, byte[] part) {
        if (bytes + part.length > limit) {
            throw new CheckpointException(
                    "the variables take more than the limit of %,d bytes of a checkpoint; delete some, or write them to"
                            .formatted(limit) + " files");
        }
        int next = blobs.size() + (blobBytes > 0 ? 1 : 0);
        boolean isNext = blob == next;
        boolean isLast = blob == next - 1 && blobBytes > 0;
        if (part.length == 0 || blob >= Manifest.MAX_VARIABLES || !(isNext || isLast)) {
            throw new CheckpointException("a part of blob %d does not follow".formatted(blob));
        }
        writing(() -> {
            if (isNext) {
                endBlob();
                zip.putNextEntry(new ZipEntry(CheckpointFile.blobName(blob)));
            }
            zip.write(part);
        });
        digest.update(part);
        blobBytes += part.length;
        bytes += part.length;
    }

    private void endBlob() throws IOException {
        if (blobBytes > 0) {
            zip.closeEntry();
            blobs.add(new Manifest.Blob(blobBytes, HexFormat.of().formatHex(digest.digest())));
            blobBytes = 0;
        }
    }

    /// Makes it the checkpoint, when all of it is on the disk.
    ///
    /// @param manifest made of the blobs
    /// @throws CheckpointException if the manifest is not sound, or the disk does not take it
    public Manifest finish(Function<List<Manifest.Blob>, Manifest> manifest) {
        writing(this::endBlob);
        var made = manifest.apply(blobs);
        byte[] json = made.toJson();
        writing(() -> {
            zip.putNextEntry(new ZipEntry(CheckpointFile.MANIFEST));
            zip.write(json);
            zip.closeEntry();
            zip.setComment(CheckpointFile.UNSEALED);
            zip.finish();
            zip.flush();
            byte[] sum = HexFormat.of().formatHex(seal.digest()).getBytes(StandardCharsets.US_ASCII);
            if (channel.write(ByteBuffer.wrap(sum), channel.size() - sum.length) < sum.length) {
                throw new IOException("the checksum was not written");
            }
            channel.force(true);
            channel.close();
            Files.move(file, target, StandardCopyOption.ATOMIC_MOVE);
            finished = true;
            try (var directory = FileChannel.open(target.resolveSibling(""), StandardOpenOption.READ)) {
                directory.force(true);
            }
        });
        return made;
    }

    private interface Writing {
        void run() throws IOException;
    }

    private void writing(Writing action) {
        try {
            action.run();
        } catch (IOException e) {
            throw new CheckpointException("it cannot be written to %s: %s; %,d bytes are free there. Make room, or set"
                    .formatted(target.resolveSibling(""), Shelf.reason(e), free()) + " XDG_DATA_HOME to a larger disk",
                    e);
        }
    }

    private long free() {
        try {
            return Files.getFileStore(target.resolveSibling("")).getUsableSpace();
        } catch (IOException e) {
            // Part of a message about what is worse.
            return 0;
        }
    }

    @Override
    public void close() {
        if (finished) {
            return;
        }
        try {
            // Not the zip: it would write its end.
            channel.close();
            Files.deleteIfExists(file);
        } catch (IOException e) {
            throw new CheckpointException("%s could not be removed: %s".formatted(file, Shelf.reason(e)), e);
        }
    }
}
