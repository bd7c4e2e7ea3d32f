package dev.capsule.session;

import java.time.Duration;
import java.time.Instant;
import java.time.LocalTime;
import java.time.ZoneId;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Optional;
import java.util.function.LongSupplier;

/// How a session's workers and their processes have died, and whether another may be started. Workers that fail by
/// themselves, one after the other, are not started for ever: after some failures only a cell may start one, and only
/// when a pause is over that doubles each time. What a cell does to its worker is no failure. Guarded by the session.
final class Tally {
    /// More are not kept: the oldest go first.
    static final int MAX_DEATHS = 50;

    /// So many are no accident.
    static final int MAX_FAILURES = 3;

    /// Failures that are longer ago do not count.
    static final Duration WINDOW = Duration.ofMinutes(10);

    static final Duration FIRST_PAUSE = Duration.ofSeconds(2);
    static final Duration LONGEST_PAUSE = Duration.ofMinutes(1);

    private static final int MAX_DOUBLINGS = 10;
    private static final int MAX_COUNTED = 100;
    private static final int MAX_CAUSE_CHARS = 300;

    private static final String HELP = """
            What may help: capsule doctor tries the sandbox and Python; capsule install --python PATH makes a kernel with \
            another Python; capsule profile show NAME shows the limits. When the cause is gone, %recycle tries at once.""";

    /// @param during what
    /// @param sequel what has become of the state
    private record Death(long atNanos, String during, String cause, String sequel) {}

    private final LongSupplier nanoTime;
    private final ArrayDeque<Death> deaths = new ArrayDeque<>();
    private int forgotten;
    private final ArrayDeque<Long> failures = new ArrayDeque<>();
    private String lastCause = "";

    /// @param nanoTime as [System#nanoTime]
    Tally(LongSupplier nanoTime) {
        this.nanoTime = nanoTime;
    }

    /// @param during such as `In [3]`
    /// @param cause as [dev.capsule.worker.End#cause]
    /// @param sequel what has become of the state
    void died(String during, String cause, String sequel) {
        deaths.add(new Death(nanoTime.getAsLong(), during, cause, sequel));
        if (deaths.size() > MAX_DEATHS) {
            deaths.remove();
            forgotten++;
        }
    }

    /// A worker could not be started or revived, or has died while no cell ran.
    ///
    /// @param cause as the end of a sentence that begins with "the worker …"
    void failed(String cause) {
        failures.add(nanoTime.getAsLong());
        if (failures.size() > MAX_COUNTED) {
            failures.remove();
        }
        lastCause = cause;
    }

    /// A worker has run a cell, or a person wants to have another try.
    void forgive() {
        failures.clear();
    }

    /// Whether a worker may be started for whatever reason; if not, [#refusal] says whether a cell may have one.
    boolean trusts() {
        long now = nanoTime.getAsLong();
        failures.removeIf(at -> now - at > WINDOW.toNanos());
        return failures.size() < MAX_FAILURES;
    }

    /// Why no worker is to be started even for a cell, for now.
    Optional<String> refusal() {
        if (trusts()) {
            return Optional.empty();
        }
        long now = nanoTime.getAsLong();
        var left = Duration.ofNanos(failures.getLast() + pause().toNanos() - now);
        if (!left.isPositive()) {
            return Optional.empty();
        }
        return Optional.of(
                "the cell was not run: the worker has failed %d times within %s, and is started again for a cell that comes in %s or later. The last time, it %s\n%s"
                        .formatted(failures.size(), text(Duration.ofNanos(now - failures.getFirst())), text(left),
                                lastCause, HELP));
    }

    private Duration pause() {
        var pause = FIRST_PAUSE.multipliedBy(1L << Math.min(failures.size() - MAX_FAILURES, MAX_DOUBLINGS));
        return pause.compareTo(LONGEST_PAUSE) < 0 ? pause : LONGEST_PAUSE;
    }

    /// Rounded up to seconds.
    private static String text(Duration time) {
        long seconds = time.plusNanos(Duration.ofSeconds(1).toNanos() - 1).toSeconds();
        return seconds < 120 ? seconds + " s" : seconds / 60 + " min";
    }

    /// The deaths, for a person to read.
    ///
    /// @param now the time of day that it is
    String list(Instant now) {
        if (deaths.isEmpty()) {
            return "No worker of this session has died.\n";
        }
        long nanos = nanoTime.getAsLong();
        var lines = new ArrayList<String>();
        if (forgotten > 0) {
            lines.add("%d earlier ones are not listed any more".formatted(forgotten));
        }
        for (var death : deaths) {
            lines.add("%tT  %-13s  the worker %s; %s".formatted(
                    LocalTime.ofInstant(now.minusNanos(nanos - death.atNanos), ZoneId.systemDefault()),
                    death.during, shortened(death.cause), death.sequel));
        }
        return String.join("\n", lines) + "\n";
    }

    /// Only the first line: what a worker has written while it started is in the error that its cell got.
    private static String shortened(String cause) {
        String line = cause.lines().findFirst().orElse("").replaceAll("\\p{Cntrl}", " ");
        return line.length() > MAX_CAUSE_CHARS ? line.substring(0, MAX_CAUSE_CHARS) + "…" : line;
    }
}
