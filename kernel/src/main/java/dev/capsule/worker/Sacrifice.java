package dev.capsule.worker;

import dev.capsule.log.Logs;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.file.Files;
import java.nio.file.Path;

/// How ready the system is to end a process when memory is short, that of a control group or of the machine; as
/// `oom_score_adj` of `proc(5)` has it, which the cells themselves cannot lower.
enum Sacrifice {
    /// Before all else.
    FIRST(100),
    /// Before what is not larger by more than two fifths of the limit.
    SECOND(40),
    /// As any other.
    NONE(0);

    private static final Logger LOG = Logs.of(Sacrifice.class);
    private static final int MOST = 1_000;

    private final int percent;

    Sacrifice(int percent) {
        this.percent = percent;
    }

    /// Has no effect where that is not allowed: then memory is made room in only where this process looks after it.
    ///
    /// @param other who has what any other process has
    void apply(long pid, long other) {
        try {
            int usual = Integer.parseInt(Files.readString(file(other)).strip());
            Files.writeString(file(pid), Integer.toString(usual + (MOST - usual) * percent / 100));
        } catch (IOException e) {
            LOG.log(Level.DEBUG, () -> "no sacrifice: " + e);
        }
    }

    private static Path file(long pid) {
        return Path.of("/proc", Long.toString(pid), "oom_score_adj");
    }
}
