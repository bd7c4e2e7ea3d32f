package dev.capsule.kernel;

import dev.capsule.jupyter.Content;
import dev.capsule.session.Answers;
import dev.capsule.session.Session;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;

/// Reads from `/proc` what this process, the session's worker and the machine use; what it says of processor time is the
/// mean since its last reading. Safe for several threads.
final class Gauge {
    private static final Path PROC = Path.of("/proc");

    /// Readings in quick succession would measure the clock's ticks.
    private static final Duration SHORTEST = Duration.ofMillis(100);
    private static final int IDLE = 3;
    private static final int IOWAIT = 4;
    /// What guests use is part of what users do.
    private static final int STEAL = 7;

    private final Session session;

    // Guarded by this.
    private Instant readAt = ProcessHandle.current().info().startInstant().orElseGet(Instant::now);
    private Duration frontCpu = Duration.ZERO;
    private Duration workerCpu = Duration.ZERO;
    private double frontPercent;
    private double workerPercent;
    private Optional<HostCpu> hostCpu = Optional.empty();
    private OptionalDouble hostPercent = OptionalDouble.empty();

    /// In ticks of the system's clock, of all processors.
    private record HostCpu(long busy, long all) {}

    Gauge(Session session) {
        this.session = session;
    }

    /// Takes some milliseconds.
    synchronized Content.Usage read() {
        var worker = session.usage();
        try {
            measure(worker.map(Answers.Usage::cpu).orElse(Duration.ZERO));
            var memory = hostMemory();
            long total = memory.getOrDefault("total", 0L);
            double percent = total == 0 ? 0 : round(100.0 * memory.getOrDefault("used", 0L) / total);
            return new Content.Usage(Files.readString(PROC.resolve("sys/kernel/hostname")).strip(),
                    ProcessHandle.current().pid(), round(frontPercent + workerPercent),
                    ownMemory() + worker.map(Answers.Usage::memoryBytes).orElse(0L),
                    Runtime.getRuntime().availableProcessors(), hostPercent, memory, percent,
                    worker.map(used -> new Content.WorkerUsage(round(workerPercent), used.cpu().toMillis() / 1e3,
                            used.memoryBytes(), used.memoryLimitBytes(), used.processes(), used.processLimit())));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private void measure(Duration workerNow) throws IOException {
        var now = Instant.now();
        var passed = Duration.between(readAt, now);
        if (passed.compareTo(SHORTEST) < 0) {
            return;
        }
        var frontNow = ProcessHandle.current().info().totalCpuDuration().orElse(frontCpu);
        frontPercent = percent(frontNow.minus(frontCpu), passed);
        // A fresh worker has used less than the one before.
        workerPercent = percent(workerNow.minus(workerCpu), passed);
        var hostNow = hostNow();
        hostPercent = hostCpu.filter(before -> hostNow.all > before.all).map(before -> OptionalDouble.of(
                round(100.0 * (hostNow.busy - before.busy) / (hostNow.all - before.all))))
                .orElse(OptionalDouble.empty());
        readAt = now;
        frontCpu = frontNow;
        workerCpu = workerNow;
        hostCpu = Optional.of(hostNow);
    }

    private static double percent(Duration used, Duration passed) {
        return Math.max(0, 100.0 * used.toNanos() / passed.toNanos());
    }

    private static double round(double percent) {
        return Math.round(10 * percent) / 10.0;
    }

    private static HostCpu hostNow() throws IOException {
        // cpu user nice system idle iowait irq softirq steal …
        String[] ticks = Files.readAllLines(PROC.resolve("stat")).getFirst().split(" +", -1);
        long all = 0;
        long busy = 0;
        for (int i = 0; i <= STEAL; i++) {
            long each = Long.parseLong(ticks[i + 1]);
            all += each;
            busy += i == IDLE || i == IOWAIT ? 0 : each;
        }
        return new HostCpu(busy, all);
    }

    private static long ownMemory() throws IOException {
        return kilobytes("self/smaps_rollup").getOrDefault("Pss", 0L);
    }

    /// Under the names that psutil has for it.
    private static Map<String, Long> hostMemory() throws IOException {
        var given = kilobytes("meminfo");
        var memory = new LinkedHashMap<String, Long>();
        Map.of("total", "MemTotal", "available", "MemAvailable", "free", "MemFree", "active", "Active", "inactive",
                "Inactive", "buffers", "Buffers", "cached", "Cached", "shared", "Shmem", "slab", "Slab")
                .forEach(
                        (name, key) -> Optional.ofNullable(given.get(key)).ifPresent(bytes -> memory.put(name, bytes)));
        memory.put("used", memory.getOrDefault("total", 0L) - memory.getOrDefault("available", 0L));
        return memory;
    }

    /// The lines `NAME: NUMBER kB` of a file, in bytes.
    private static Map<String, Long> kilobytes(String file) throws IOException {
        var found = new HashMap<String, Long>();
        for (String line : Files.readAllLines(PROC.resolve(file))) {
            if (line.endsWith(" kB")) {
                int colon = line.indexOf(':');
                found.put(line.substring(0, colon),
                        Long.parseLong(line.substring(colon + 1, line.length() - 3).strip()) << 10);
            }
        }
        return found;
    }
}
