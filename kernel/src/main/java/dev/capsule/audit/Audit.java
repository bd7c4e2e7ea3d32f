package dev.capsule.audit;

import dev.capsule.log.Logs;
import dev.capsule.policy.UserDirectory;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.OpenOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;

/// The audit log: a line of JSON for each [Event], added to one file that all kernels of a user share. It is in the
/// user's state directory, which no worker is given.
///
/// Lines are written whole by one `write(2)` to a file opened with `O_APPEND`: on Linux' local file systems lines of several
/// kernels then neither mix nor overwrite each other (`open(2)`; NFS does not promise it). A disk that is full may cut a
/// line.
///
/// Writing is done on thread `audit`, so no cell waits for a disk, nor does what ends a worker in time; those of cells, which
/// may come by the thousand, are written [#CELL_DELAY_NANOS] later, together, and [#CELLS_APART_NANOS] after the ones before.
/// What cannot be written is lost; that is said once, and stops nothing.
public final class Audit implements AutoCloseable {
    private static final Logger LOG = Logs.of(Audit.class);

    /// The file is then renamed to [#old], in place of the one that was there.
    static final long MAX_FILE_BYTES = 16 << 20;

    private static final long CELL_DELAY_NANOS = 50_000_000;
    private static final long CELLS_APART_NANOS = 500_000_000;

    /// Events that wait for the disk; one more is lost.
    private static final int MAX_WAITING = 2_000;
    /// Cells are then written at once.
    private static final int MANY_WAITING = MAX_WAITING / 4;
    /// Written at once, if there are as many.
    private static final int BATCH_BYTES = 64 << 10;
    private static final int CLOSE_TIMEOUT_SECONDS = 2;
    private static final long OPEN_NANOS = 100_000_000;

    private static final Set<PosixFilePermission> OWNERS_DIRECTORY = PosixFilePermissions.fromString("rwx------");
    private static final Set<PosixFilePermission> OWNERS_FILE = PosixFilePermissions.fromString("rw-------");
    private static final Set<OpenOption> APPEND = Set.of(StandardOpenOption.CREATE, StandardOpenOption.APPEND,
            LinkOption.NOFOLLOW_LINKS);

    private final Path file;
    private final long maxFileBytes;
    private final long kernel = ProcessHandle.current().pid();
    private final AtomicBoolean failed = new AtomicBoolean();
    private final ScheduledThreadPoolExecutor thread = new ScheduledThreadPoolExecutor(1,
            Thread.ofPlatform().name("audit").daemon().factory());

    /// Guarded by itself.
    private final List<Recorded> waiting = new ArrayList<>();
    /// Guarded by `waiting`: when the next cells may be written.
    private long nextNanos = System.nanoTime();

    private record Recorded(Instant time, Event event) {}

    // Of thread audit. Made with the first event, as the first random number takes 30 ms.
    private @Nullable String session;
    private @Nullable FileChannel channel;
    private long openedNanos;

    /// @param file made with its directory by the first event
    public Audit(Path file) {
        this(file, MAX_FILE_BYTES);
    }

    Audit(Path file, long maxFileBytes) {
        this.file = file;
        this.maxFileBytes = maxFileBytes;
        // The end writes what waits.
        thread.setExecuteExistingDelayedTasksAfterShutdownPolicy(false);
    }

    /// Where the user's log is: never in a workspace, which a cell could write.
    ///
    /// @return empty where neither `XDG_STATE_HOME` nor `HOME` is set
    public static Optional<Path> file(Map<String, String> env) {
        return UserDirectory.STATE.in(env).map(directory -> directory.resolve("audit.jsonl"));
    }

    /// The file before the present one.
    static Path old(Path file) {
        return file.resolveSibling(file.getFileName() + ".1");
    }

    /// Hands an event over to be written, with the time that it is now. Does not wait, and throws nothing.
    public void record(Event event) {
        boolean later = event instanceof Event.Cell;
        long delayNanos = 0;
        synchronized (waiting) {
            if (waiting.size() == MAX_WAITING) {
                problem("events are lost: " + MAX_WAITING + " wait for the disk already");
                return;
            }
            waiting.add(new Recorded(Instant.now(), event));
            if (later && waiting.size() > 1 && waiting.size() != MANY_WAITING) {
                return;
            }
            if (later && waiting.size() == 1) {
                long now = System.nanoTime();
                delayNanos = Math.max(CELL_DELAY_NANOS, nextNanos - now);
                nextNanos = now + delayNanos + CELLS_APART_NANOS;
            }
        }
        try {
            Future<?> _ = thread.schedule(this::write, delayNanos, TimeUnit.NANOSECONDS);
        } catch (RejectedExecutionException e) {
            problem("events are lost: it is closed");
        }
    }

    private void write() {
        List<Recorded> events;
        synchronized (waiting) {
            events = List.copyOf(waiting);
            waiting.clear();
        }
        var lines = new ByteArrayOutputStream();
        for (var recorded : events) {
            try {
                lines.writeBytes(Line.of(recorded.time, kernel, session(), recorded.event));
            } catch (RuntimeException e) {
                LOG.log(Level.ERROR, "event not written to the audit log", e);
            }
            if (lines.size() >= Math.min(BATCH_BYTES, maxFileBytes)) {
                append(lines);
            }
        }
        append(lines);
    }

    private void append(ByteArrayOutputStream lines) {
        try {
            if (lines.size() > 0) {
                append(lines.toByteArray());
            }
        } catch (IOException e) {
            problem("events are lost: " + e);
        }
        lines.reset();
    }

    private String session() {
        var made = session;
        if (made == null) {
            made = UUID.randomUUID().toString();
            session = made;
        }
        return made;
    }

    private void append(byte[] lines) throws IOException {
        var open = open();
        int written = open.write(ByteBuffer.wrap(lines));
        if (written < lines.length) {
            throw new IOException("%d of %d bytes were written".formatted(written, lines.length));
        }
        if (open.size() >= maxFileBytes) {
            release();
            rotate();
        }
    }

    /// The file stays open for the next event, but not for long: another kernel may have renamed it since.
    private FileChannel open() throws IOException {
        var open = channel;
        if (open != null && System.nanoTime() - openedNanos < OPEN_NANOS) {
            return open;
        }
        release();
        prepareDirectory();
        if (Files.exists(file, LinkOption.NOFOLLOW_LINKS)
                && !Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS)) {
            // Opening a pipe would wait for who reads it.
            throw new IOException(file + " is not a regular file; remove it");
        }
        open = FileChannel.open(file, APPEND, PosixFilePermissions.asFileAttribute(OWNERS_FILE));
        openedNanos = System.nanoTime();
        channel = open;
        return open;
    }

    private void releaseQuietly() {
        try {
            release();
        } catch (IOException e) {
            problem("it was not closed: " + e);
        }
    }

    private void release() throws IOException {
        var open = channel;
        channel = null;
        if (open != null) {
            open.close();
        }
    }

    private void prepareDirectory() throws IOException {
        var directory = file.resolveSibling("");
        Files.createDirectories(directory, PosixFilePermissions.asFileAttribute(OWNERS_DIRECTORY));
        if (!Files.isDirectory(directory, LinkOption.NOFOLLOW_LINKS)) {
            throw new IOException(directory + " is a link; make it a directory");
        }
        if (!Files.getPosixFilePermissions(directory).equals(OWNERS_DIRECTORY)) {
            Files.setPosixFilePermissions(directory, OWNERS_DIRECTORY);
        }
    }

    /// Of kernels that find the file full at the same time, one renames it, under a lock; none waits for it.
    void rotate() {
        var guard = file.resolveSibling(file.getFileName() + ".lock");
        try (var channel = FileChannel.open(guard, APPEND, PosixFilePermissions.asFileAttribute(OWNERS_FILE));
                var lock = channel.tryLock()) {
            // Another may have done it since: the file is then a new one.
            if (lock != null && Files.exists(file) && Files.size(file) >= maxFileBytes) {
                Files.move(file, old(file), StandardCopyOption.ATOMIC_MOVE);
            }
        } catch (IOException e) {
            problem("it is over %d bytes and still grows, as it cannot be renamed: %s".formatted(maxFileBytes, e));
        } catch (OverlappingFileLockException e) {
            LOG.log(Level.DEBUG, () -> "another log of this process renames " + file);
        }
    }

    private void problem(String what) {
        if (!failed.getAndSet(true)) {
            LOG.log(Level.WARNING,
                    () -> "the audit log %s has a problem (which is said once): %s".formatted(file, what));
        }
    }

    /// Waits for what was recorded to be written.
    @Override
    public void close() {
        if (!thread.isShutdown()) {
            thread.execute(this::write);
            thread.execute(this::releaseQuietly);
            thread.shutdown();
        }
        try {
            if (!thread.awaitTermination(CLOSE_TIMEOUT_SECONDS, TimeUnit.SECONDS)) {
                problem("events are lost: writing the last took longer than %d s".formatted(CLOSE_TIMEOUT_SECONDS));
            }
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }
}
