package dev.capsule.policy;

import dev.capsule.policy.Profile.Deadline;
import dev.capsule.policy.Profile.Limits;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Locale;
import java.util.Optional;

/// One of [Limits], as a person knows it: by its key in the file of profiles ([Profiles]).
public enum Limit {
    MEMORY("memory"), PROCESSES("processes"), DESCRIPTORS("descriptors"), FILE_SIZE("fileSize"), TMP(
            "tmp"), WORKSPACE_GROWTH("workspaceGrowth"), CELL_DEADLINE("cellDeadline"), OUTPUT("output");

    /// After this time a cell may have put out as much again as [#OUTPUT] says.
    public static final Duration OUTPUT_PERIOD = Duration.ofHours(1);

    private static final long KIB = 1L << 10;
    private static final String[] UNITS = {"KiB", "MiB", "GiB", "TiB"};

    /// What [Profiles] takes at the most.
    private static final int MOST_OF = 1 << 20;

    private final String key;

    Limit(String key) {
        this.key = key;
    }

    /// Its name in the file.
    public String key() {
        return key;
    }

    /// Its value in a profile, and what to write where to raise it; begins in the middle of a sentence.
    ///
    /// @param file the user's ([Profiles#file]); empty when there is no place for one
    public String explain(Profile profile, Optional<Path> file) {
        return "the limit \"%s\" of profile \"%s\" is %s; to raise it: %s in %s, and restart the kernel".formatted(key,
                profile.name(), value(profile.limits()), raised(profile),
                file.map(Path::toString).orElse("capsule/profiles.json below XDG_CONFIG_HOME, which is to be set"));
    }

    /// Its value, with the unit.
    public String value(Limits limits) {
        return switch (this) {
            case PROCESSES -> String.format(Locale.ROOT, "%,d", limits.processes());
            case DESCRIPTORS -> String.format(Locale.ROOT, "%,d", limits.descriptors());
            case CELL_DEADLINE -> time(limits.cellDeadline());
            case MEMORY, FILE_SIZE, TMP, WORKSPACE_GROWTH, OUTPUT -> size(bytes(limits));
        };
    }

    /// What is written in the file to give a profile more of it.
    String raised(Profile profile) {
        var limits = profile.limits();
        return "{\"%s\": {\"%s\": %s}}".formatted(profile.name(), key, switch (this) {
            case PROCESSES -> Math.min(MOST_OF, 4L * limits.processes());
            case DESCRIPTORS -> Math.min(MOST_OF, 4L * limits.descriptors());
            case CELL_DEADLINE -> "\"" + time(longer(limits.cellDeadline())) + "\"";
            case MEMORY, FILE_SIZE, TMP, WORKSPACE_GROWTH, OUTPUT -> "\"" + size(2 * bytes(limits)) + "\"";
        });
    }

    private long bytes(Limits limits) {
        return switch (this) {
            case MEMORY -> limits.memoryBytes();
            case FILE_SIZE -> limits.fileBytes();
            case TMP -> limits.tmpBytes();
            case WORKSPACE_GROWTH -> limits.workspaceGrowthBytes();
            case OUTPUT -> limits.outputBytes();
            case PROCESSES, DESCRIPTORS, CELL_DEADLINE -> throw new IllegalStateException(key + " is no size");
        };
    }

    private static Deadline longer(Deadline deadline) {
        return switch (deadline) {
            case Deadline.After(Duration time) when time.compareTo(Duration.ofMinutes(30)) <= 0 ->
                new Deadline.After(time.multipliedBy(10));
            case Deadline.After _,Deadline.Never _ -> new Deadline.Never();
        };
    }

    private static String time(Deadline deadline) {
        return switch (deadline) {
            case Deadline.Never() -> "never";
            case Deadline.After(Duration time) when time.toSeconds() % 60 == 0 -> time.toMinutes() + " min";
            case Deadline.After(Duration time) -> time.toSeconds() + " s";
        };
    }

    private static String size(long bytes) {
        long value = bytes / KIB;
        int unit = 0;
        while (value % KIB == 0 && value > 0 && unit < UNITS.length - 1) {
            value /= KIB;
            unit++;
        }
        return value + " " + UNITS[unit];
    }
}
