package org.sqlite.util;

import dev.capsule.log.Logs;
import java.lang.System.Logger.Level;
import java.util.function.Supplier;

/// In the place of SQLite's own, which looks for SLF4J in the jar and then loads `java.util.logging`: that takes 15 ms of a
/// kernel's first second, and 1 MB.
public final class LoggerFactory {
    private LoggerFactory() {}

    /// @param logging a class of SQLite's
    public static Logger getLogger(Class<?> logging) {
        return new Log(Logs.of(logging));
    }

    private record Log(System.Logger log) implements Logger {
        @Override
        public void trace(Supplier<String> message) {
            log.log(Level.TRACE, message);
        }

        @Override
        public void info(Supplier<String> message) {
            log.log(Level.INFO, message);
        }

        @Override
        public void warn(Supplier<String> message) {
            log.log(Level.WARNING, message);
        }

        @Override
        public void error(Supplier<String> message, Throwable thrown) {
            log.log(Level.ERROR, message, thrown);
        }
    }
}
