package dev.capsule.worker;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.OptionalLong;

/// Whether the system has run out of memory, in any control group, which is then seen by the processes that it has ended
/// for that. Safe for several threads.
final class SystemMemory {
    private static final String KILLS = "\noom_kill ";

    private final Path vmstat;
    private volatile OptionalLong before;

    /// @param vmstat `/proc/vmstat`
    SystemMemory(Path vmstat) {
        this.vmstat = vmstat;
        before = kills();
    }

    /// What has been until now does not count any more.
    void look() {
        before = kills();
    }

    /// What has been since the last look.
    End.Struck.Memory sinceLook() {
        var now = kills();
        if (before.isEmpty() || now.isEmpty()) {
            return End.Struck.Memory.UNKNOWN;
        }
        return now.getAsLong() > before.getAsLong() ? End.Struck.Memory.RAN_OUT : End.Struck.Memory.ENOUGH;
    }

    private OptionalLong kills() {
        try {
            String counts = Files.readString(vmstat);
            int line = counts.indexOf(KILLS);
            if (line >= 0) {
                int number = line + KILLS.length();
                return OptionalLong.of(Long.parseLong(counts, number, counts.indexOf('\n', number), 10));
            }
        } catch (IOException e) {
            // Some containers hide it: then it is not known.
        }
        return OptionalLong.empty();
    }
}
