package dev.capsule.worker;

import dev.capsule.log.Logs;
import dev.capsule.policy.Limit;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Duration;
import java.time.Instant;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/// How much a directory on disk has grown since a worker was started. Looks at the whole file system first, which is
/// cheap; only when that has grown by as much as is left, adds up what has been changed in the directory. Never follows a
/// link.
final class Growth {
    private static final Logger LOG = Logs.of(Growth.class);

    /// What a file takes beside its content.
    static final long FILE_BYTES = 1_024;

    /// Where there is more to look at than this, the file system's growth is taken for the directory's.
    private static final int MAX_ENTRIES = 1_000_000;
    private static final int MAX_DEPTH = 100;

    /// So many times as long as it takes to add up it is not done again.
    private static final int REST = 8;

    /// What part of the limit may be added before it is told again.
    private static final int SLACK = 16;

    /// The system's clock for files is this coarse.
    private static final Duration COARSE = Duration.ofMillis(20);

    private static final int TYPE = 0170000;
    private static final int DIRECTORY = 0040000;
    private static final int REGULAR = 0100000;

    private final Limit limit;
    private final Path root;
    private final long limitBytes;
    private final Instant start = Instant.now().minus(COARSE);

    /// What the directory had grown by when that was added up, and the least that the file system has held since.
    private long known;
    private long leastUsed;

    /// What must be exceeded to be told again.
    private long threshold;

    private volatile boolean forgiven;
    private long notBefore = System.nanoTime();

    private int entries;
    /// Files without a name, which several processes may have open.
    private final Set<List<Object>> unnamed = new HashSet<>();
    private boolean everything;

    /// @throws IOException if the directory is not there
    Growth(Limit limit, Path root, long limitBytes) throws IOException {
        this.limit = limit;
        // As the links of open files have it.
        this.root = root.toAbsolutePath().normalize();
        this.limitBytes = limitBytes;
        threshold = limitBytes;
        leastUsed = used();
    }

    /// What there is now is not told again: whose it is has been ended.
    void forgive() {
        forgiven = true;
    }

    Limit limit() {
        return limit;
    }

    /// Which processes have files open that have no name any more and that none of the others has.
    Set<Long> holders(Collection<Long> processes, Collection<Long> others) {
        unnamed.clear();
        others.forEach(this::unnamed);
        return processes.stream().filter(pid -> unnamed(pid) > 0).collect(Collectors.toSet());
    }

    /// Has what was told be told again if it is still so.
    void reconsider() {
        threshold = limitBytes;
        notBefore = System.nanoTime();
    }

    private long used() throws IOException {
        var use = FileSystemUse.of(root);
        return use.bytes() + FILE_BYTES * use.files();
    }

    /// Tells once when it has grown beyond the limit, and again when it has grown much more: who has to make room must be
    /// able to.
    ///
    /// @param processes which may have files open that have no name any more
    boolean exceeds(ProcessTree.Find processes) throws IOException {
        long used = used();
        // Others may make room, which is not the worker's to fill.
        leastUsed = Math.min(leastUsed, used);
        long grown = known + used - leastUsed;
        if (grown > limitBytes) {
            long begun = System.nanoTime();
            if (begun < notBefore) {
                return false;
            }
            grown = Math.min(grown, changed(processes, grown));
            known = grown;
            leastUsed = used;
            notBefore = begun + REST * (System.nanoTime() - begun);
        }
        if (grown <= limitBytes) {
            threshold = limitBytes;
            forgiven = false;
            return false;
        }
        boolean told = forgiven || grown <= threshold;
        forgiven = false;
        if (grown > threshold) {
            threshold = grown + limitBytes / SLACK;
        }
        return !told;
    }

    /// @param grown what to answer when it cannot be found out
    private long changed(ProcessTree.Find processes, long grown) throws IOException {
        entries = 0;
        everything = true;
        unnamed.clear();
        long bytes = 0;
        int directory = Posix.openPlace(root);
        try {
            bytes = in(directory, 0);
        } finally {
            Posix.close(directory);
        }
        for (long pid : processes.now()) {
            if (bytes > grown) {
                break;
            }
            bytes += unnamed(pid);
        }
        return everything ? bytes : grown;
    }

    private long in(int directory, int depth) {
        long bytes = 0;
        // Only the last part of any of these paths is the worker's to change, and as a link it is not followed.
        Path path = descriptor(directory);
        try (DirectoryStream<Path> names = Files.newDirectoryStream(path)) {
            for (Path entry : names) {
                if (++entries > MAX_ENTRIES || depth > MAX_DEPTH) {
                    everything = false;
                    return bytes;
                }
                var attributes = Files.readAttributes(entry, "unix:mode,ctime,size", LinkOption.NOFOLLOW_LINKS);
                if (isNew(attributes)) {
                    bytes += size(attributes) + FILE_BYTES;
                }
                if ((mode(attributes) & TYPE) == DIRECTORY) {
                    int child = Posix.openPlace(entry);
                    try {
                        bytes += in(child, depth + 1);
                    } finally {
                        Posix.close(child);
                    }
                }
            }
        } catch (IOException | RuntimeException e) {
            // It was removed meanwhile, or its owner lets nobody look into it.
            LOG.log(Level.DEBUG, () -> "in " + root + ": " + e);
        }
        return bytes;
    }

    private long unnamed(long pid) {
        long bytes = 0;
        try (var descriptors = Files.newDirectoryStream(Path.of("/proc", Long.toString(pid), "fd"))) {
            for (Path each : descriptors) {
                bytes += unnamed(each);
            }
        } catch (IOException | RuntimeException e) {
            // It has ended, or made itself unreadable: then it is taken for who has done it.
            everything &= !Files.exists(Path.of("/proc", Long.toString(pid)));
        }
        return bytes;
    }

    private long unnamed(Path descriptor) {
        try {
            var attributes = Files.readAttributes(descriptor, "unix:mode,ctime,size,nlink,dev,ino");
            boolean counts = (mode(attributes) & TYPE) == REGULAR && Integer.valueOf(0).equals(attributes.get("nlink"))
                    && isNew(attributes);
            // Where it was, as its process sees that, who has the directory under the name that it has here.
            boolean ours = counts && Files.readSymbolicLink(descriptor).startsWith(root)
                    && unnamed.add(List.of(attributes.get("dev"), attributes.get("ino")));
            return ours ? size(attributes) : 0;
        } catch (IOException e) {
            // It was closed meanwhile.
            return 0;
        }
    }

    private static Path descriptor(int number) {
        return Path.of("/proc/self/fd", Integer.toString(number));
    }

    private boolean isNew(Map<String, Object> attributes) {
        return attributes.get("ctime") instanceof FileTime changed && changed.toInstant().isAfter(start);
    }

    private static int mode(Map<String, Object> attributes) {
        return attributes.get("mode") instanceof Integer mode ? mode : 0;
    }

    private static long size(Map<String, Object> attributes) {
        return attributes.get("size") instanceof Long size ? size : 0;
    }
}
