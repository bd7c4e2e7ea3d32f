package dev.capsule.log;

import java.time.LocalTime;
import java.time.ZoneId;
import java.time.temporal.ChronoUnit;
import java.util.ResourceBundle;
import org.jspecify.annotations.Nullable;

/// Writes logs to stderr, one line each: loading `java.util.logging` would cost a starting kernel more than all else.
/// The environment variable `CAPSULE_LOG` names the least level that is shown; `WARNING` when it is absent.
///
/// Our own classes ask here, and not `System.getLogger`: that looks for a finder, as the JDK does for its logs, in every
/// module and in the jar, which takes a starting kernel 15 ms.
public final class Logs extends System.LoggerFinder {
    private static final System.Logger.Level LEAST = least(System.getenv("CAPSULE_LOG"));

    private static System.Logger.Level least(@Nullable String name) {
        for (var level : System.Logger.Level.values()) {
            if (level.name().equalsIgnoreCase(name)) {
                return level;
            }
        }
        return System.Logger.Level.WARNING;
    }

    /// @param logging whose name is shown
    public static System.Logger of(Class<?> logging) {
        return new Log(logging.getSimpleName());
    }

    @Override
    public System.Logger getLogger(String name, Module module) {
        return new Log(name.substring(name.lastIndexOf('.') + 1));
    }

    private record Log(String name) implements System.Logger {
        @Override
        public String getName() {
            return name;
        }

        @Override
        public boolean isLoggable(Level level) {
            return level.getSeverity() >= LEAST.getSeverity();
        }

        @Override
        public void log(Level level, @Nullable ResourceBundle bundle, @Nullable String message,
                @Nullable Throwable thrown) {
            if (isLoggable(level)) {
                System.err.println("[capsule " + LocalTime.now(ZoneId.systemDefault()).truncatedTo(ChronoUnit.MILLIS)
                        + " " + level + " "
                        + name + "] " + message);
                if (thrown != null) {
                    thrown.printStackTrace();
                }
            }
        }

        @Override
        public void log(Level level, @Nullable ResourceBundle bundle, @Nullable String format,
                @Nullable Object @Nullable... parameters) {
            log(level, bundle, format, (Throwable) null);
        }
    }
}
