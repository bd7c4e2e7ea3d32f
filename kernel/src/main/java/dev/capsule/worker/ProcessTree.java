package dev.capsule.worker;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.concurrent.TimeUnit;

/// Processes as `/proc` shows them. What ends while it is read is left out.
final class ProcessTree {
    private static final Path PROC = Path.of("/proc");
    private static final Path MEMORY = PROC.resolve("meminfo");

    /// What all that is said of memory ends in.
    private static final String KIBIBYTES = " kB";

    /// Memory is short when less than this part of it is available.
    private static final int SCARCE = 8;

    private static final long KILLED = 1L << (Posix.SIGKILL - 1);

    /// Of `stat`, after the name.
    private static final int THREADS = 17;
    private static final int FIRST_TIME = 11;
    private static final int LAST_TIME = 14;

    private ProcessTree() {}

    /// @return how many threads each has: the processes themselves and whatever they have started, the parents first
    static Map<Long, Integer> below(List<Long> roots) {
        var threads = new LinkedHashMap<Long, Integer>();
        var waiting = new ArrayDeque<>(roots);
        for (Long pid = waiting.poll(); pid != null; pid = waiting.poll()) {
            if (!threads.containsKey(pid)) {
                var children = new ArrayList<Long>();
                int count = children(pid, children);
                if (count > 0) {
                    threads.put(pid, count);
                    waiting.addAll(children);
                }
            }
        }
        return threads;
    }

    /// @return the number of its threads
    private static int children(long pid, List<Long> children) {
        int count = 0;
        try (var tasks = Files.newDirectoryStream(PROC.resolve(Long.toString(pid)).resolve("task"))) {
            for (Path task : tasks) {
                count++;
                for (String child : Files.readString(task.resolve("children")).split(" ", -1)) {
                    if (!child.isEmpty()) {
                        children.add(Long.valueOf(child));
                    }
                }
            }
        } catch (IOException | RuntimeException e) {
            // It has ended, or the thread has.
        }
        return count;
    }

    /// @return the processes that it has started, or adopted, the first of them first
    static List<Long> children(long pid) {
        var children = new ArrayList<Long>();
        int _ = children(pid, children);
        return children;
    }

    /// @return the number that a process has for itself, in the innermost process namespace; empty when it is gone
    static Optional<Integer> innerPid(long pid) {
        try (var lines = Files.lines(PROC.resolve(Long.toString(pid)).resolve("status"))) {
            return lines.filter(line -> line.startsWith("NSpid:"))
                    .map(line -> Integer.valueOf(line.substring(line.lastIndexOf('\t') + 1))).findFirst();
        } catch (IOException | UncheckedIOException e) {
            // It has ended.
            return Optional.empty();
        }
    }

    /// @return how many threads the process has; 0 when it has ended, though nobody may have waited for it yet
    static int threads(long pid) {
        String[] fields = stat(pid);
        return fields.length == 0 || fields[0].equals("Z") ? 0 : Integer.parseInt(fields[THREADS]);
    }

    /// @return the processor time that the process has used, for itself and in the system, and those of its children that
    ///         it has waited for; in ticks of the system's clock
    static long cpuTicks(long pid) {
        String[] fields = stat(pid);
        long ticks = 0;
        for (int i = FIRST_TIME; i <= LAST_TIME && fields.length > 0; i++) {
            ticks += Long.parseLong(fields[i]);
        }
        return ticks;
    }

    /// @return nothing when it is gone
    private static String[] stat(long pid) {
        try {
            // pid (name) state …; the name may be anything.
            String stat = Files.readString(PROC.resolve(Long.toString(pid)).resolve("stat"));
            return stat.substring(stat.lastIndexOf(')') + 2).split(" ", -1);
        } catch (IOException e) {
            return new String[0];
        }
    }

    /// Whether the process has ended or was killed and is about to.
    static boolean isEnding(long pid) {
        var memory = false;
        try {
            for (String line : Files.readAllLines(PROC.resolve(Long.toString(pid)).resolve("status"))) {
                if (line.startsWith("SigPnd:")
                        && (Long.parseUnsignedLong(line.substring(8).strip(), 16) & KILLED) != 0) {
                    return true;
                }
                // Given back first.
                memory |= line.startsWith("VmRSS:");
            }
        } catch (IOException e) {
            return true;
        }
        return !memory;
    }

    /// @return what the process has in memory, with the whole of what it shares; 0 when it is gone
    static long residentBytes(long pid) {
        return bytes(pid, "status", "VmRSS:").orElse(0);
    }

    /// @return what of that is of no file
    static long anonymousBytes(long pid) {
        return bytes(pid, "status", "RssAnon:").orElse(0);
    }

    /// @return what the process has in memory, with its part of what it shares; empty when that may not be read
    static OptionalLong proportionalBytes(long pid) {
        return bytes(pid, "smaps_rollup", "Pss:");
    }

    /// Whether this machine could not start much more without taking memory from others.
    static boolean memoryIsShort() {
        long total = bytes(MEMORY, "MemTotal:").orElse(0);
        return bytes(MEMORY, "MemAvailable:").orElse(total) < total / SCARCE;
    }

    private static OptionalLong bytes(long pid, String file, String field) {
        return bytes(PROC.resolve(Long.toString(pid)).resolve(file), field);
    }

    private static OptionalLong bytes(Path file, String field) {
        try {
            for (String line : Files.readAllLines(file)) {
                if (line.startsWith(field)) {
                    var number = line.substring(field.length(), line.length() - KIBIBYTES.length()).strip();
                    return OptionalLong.of(Long.parseLong(number) << 10);
                }
            }
        } catch (IOException e) {
            // It has ended, or made itself unreadable.
        }
        return OptionalLong.empty();
    }

    /// Ends processes that may be starting others all the while: first all are stopped, for who is not may start one for
    /// each that is ended. Looks again when all have ended, for one may have been about to appear.
    ///
    /// @param find gives those that there are
    /// @param patience with processes that were killed: what they have in memory is taken apart before they are gone,
    ///        and they may wait for a disk
    /// @return those that had not ended by then
    static Set<Long> end(Find find, Duration patience) throws IOException {
        long deadline = System.nanoTime() + patience.toNanos();
        Set<Long> ended = new LinkedHashSet<>();
        do {
            ended.clear();
            for (var found = living(find); ended.addAll(found); found = living(find)) {
                found.forEach(pid -> Posix.kill(pid, Posix.SIGSTOP));
            }
            ended.forEach(pid -> Posix.kill(pid, Posix.SIGKILL));
            for (long pid : ended) {
                awaitEnd(pid, deadline);
            }
        } while (!ended.isEmpty() && System.nanoTime() < deadline);
        return ended.isEmpty() ? Set.of() : Set.copyOf(living(find));
    }

    private static List<Long> living(Find find) throws IOException {
        return find.now().stream().filter(pid -> threads(pid) > 0).toList();
    }

    private static void awaitEnd(long pid, long deadline) throws IOException {
        int process = Posix.openProcess(pid);
        if (process >= 0) {
            var poll = new Posix.PollSet(1);
            poll.set(0, process, Posix.POLLIN);
            poll.await((int) TimeUnit.NANOSECONDS.toMillis(Math.max(0, deadline - System.nanoTime())));
            Posix.close(process);
        }
    }

    /// Looks for processes.
    interface Find {
        Set<Long> now() throws IOException;
    }
}
