package dev.capsule.kernel;

import dev.capsule.jupyter.Content.HistoryEntry;
import dev.capsule.jupyter.Request.HistoryQuery;
import dev.capsule.log.Logs;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.sqlite.JDBC;
import org.sqlite.SQLiteErrorCode;

/// The inputs and outputs of this and earlier kernels, in one SQLite file that several kernels may share; in memory when
/// the file cannot be used. All work is done in order on thread `history`, so no cell waits for a disk or another
/// kernel's lock; SQLite itself is loaded there with the first cell.
public final class History implements AutoCloseable {
    private static final Logger LOG = Logs.of(History.class);
    private static final String IN_MEMORY = "jdbc:sqlite::memory:";
    /// A client that asks for a thousand entries must not get gigabytes.
    private static final int MAX_ENTRY_CHARS = 1 << 20;
    /// Nor hundreds of megabytes: of what was asked for it gets the newest.
    private static final int MAX_ANSWER_CHARS = 16 << 20;
    private static final int LOCK_TIMEOUT_MILLIS = 5_000;
    private static final int CLOSE_TIMEOUT_SECONDS = 2;
    /// What comes within this time is written together: a hundred entries take little longer than one.
    private static final long DELAY_NANOS = 50_000_000;
    /// And so far from what was written before.
    private static final long APART_NANOS = 500_000_000;
    /// Other kernels' writes wait for so many.
    private static final int MAX_TOGETHER = 200;
    private static final String COLUMNS = "SELECT session, line, input, output FROM entries ";

    private final Optional<Path> file;
    private final ScheduledExecutorService thread = Executors
            .newSingleThreadScheduledExecutor(Thread.ofPlatform().name("history").daemon().factory());

    /// Guarded by itself.
    private final List<Entry> waiting = new ArrayList<>();
    /// Guarded by `waiting`: when the next may be written.
    private long nextNanos = System.nanoTime();

    // Of thread history.
    private @Nullable Connection database;
    private int session;
    private @Nullable PreparedStatement insert;
    private @Nullable PreparedStatement update;

    /// @param file created with its directories when it is not there; empty for a history in memory
    public History(Optional<Path> file) {
        this.file = file;
    }

    /// Remembers an input; of one that is too long, only that it was.
    void add(int line, String code) {
        String input = kept("input", code);
        run("cell " + line, connection -> {
            var made = insert;
            if (made == null) {
                made = connection.prepareStatement("INSERT INTO entries VALUES (?, ?, ?, NULL)");
                insert = made;
            }
            made.setInt(1, session);
            made.setInt(2, line);
            made.setString(3, input);
            made.executeUpdate();
        });
    }

    /// Remembers what an input came to; of what is too long, only that it was.
    void addOutput(int line, String text) {
        String output = kept("output", text);
        run("output " + line, connection -> {
            var made = update;
            if (made == null) {
                made = connection.prepareStatement("UPDATE entries SET output = ? WHERE session = ? AND line = ?");
                update = made;
            }
            made.setString(1, output);
            made.setInt(2, session);
            made.setInt(3, line);
            made.executeUpdate();
        });
    }

    private static String kept(String what, String text) {
        return text.length() <= MAX_ENTRY_CHARS
                ? text
                : String.format(Locale.ROOT, "# an %s of %,d characters, over the limit of %,d that the history keeps",
                        what, text.length(), MAX_ENTRY_CHARS);
    }

    /// @param answer is given the entries, oldest first, on thread `history`; none when they cannot be read
    void find(HistoryQuery query, Consumer<List<HistoryEntry>> answer) {
        thread.execute(() -> {
            List<HistoryEntry> entries = List.of();
            flush();
            try {
                entries = select(open(), query);
            } catch (SQLException e) {
                LOG.log(Level.WARNING, () -> "history cannot be read: " + e.getMessage());
            } finally {
                answer.accept(entries);
            }
        });
    }

    private List<HistoryEntry> select(Connection connection, HistoryQuery query) throws SQLException {
        return switch (query) {
            case HistoryQuery.Tail(int n) -> {
                try (var select = connection.prepareStatement(COLUMNS + "ORDER BY session DESC, line DESC LIMIT ?")) {
                    select.setInt(1, n);
                    yield newest(select);
                }
            }
            case HistoryQuery.Range(int wanted, int start, var stop) -> {
                try (var select = connection.prepareStatement(
                        COLUMNS + "WHERE session = ? AND line >= ? AND line < ? ORDER BY line DESC")) {
                    select.setInt(1, wanted > 0 ? wanted : session + wanted);
                    select.setInt(2, start);
                    select.setInt(3, stop.orElse(Integer.MAX_VALUE));
                    yield newest(select);
                }
            }
            case HistoryQuery.Search(var pattern, var n, var unique) -> {
                String once = "AND NOT EXISTS (SELECT 1 FROM entries AS later WHERE later.input = entries.input "
                        + "AND (later.session, later.line) > (entries.session, entries.line)) ";
                try (var select = connection.prepareStatement(COLUMNS + "WHERE input GLOB ? " + (unique ? once : "")
                        + "ORDER BY session DESC, line DESC LIMIT ?")) {
                    select.setString(1, pattern);
                    // A negative limit is none.
                    select.setInt(2, n.orElse(-1));
                    yield newest(select);
                }
            }
        };
    }

    /// @param select newest first
    /// @return oldest first
    private static List<HistoryEntry> newest(PreparedStatement select) throws SQLException {
        var entries = new ArrayList<HistoryEntry>();
        long chars = 0;
        try (var rows = select.executeQuery()) {
            while (rows.next()) {
                var entry = new HistoryEntry(rows.getInt(1), rows.getInt(2), rows.getString(3),
                        Optional.ofNullable(rows.getString(4)));
                chars += entry.input().length() + entry.output().map(String::length).orElse(0);
                if (chars > MAX_ANSWER_CHARS) {
                    LOG.log(Level.WARNING,
                            () -> "a client gets %,d entries of the history, and not the older ones: with"
                                    .formatted(entries.size())
                                    + " one more they would have over %,d characters"
                                            .formatted(MAX_ANSWER_CHARS));
                    break;
                }
                entries.add(entry);
            }
        }
        return entries.reversed();
    }

    /// @param what names it in a message
    private record Entry(String what, Write write) {}

    private interface Write {
        void to(Connection connection) throws SQLException;
    }

    private void run(String what, Write write) {
        long delayNanos = 0;
        synchronized (waiting) {
            waiting.add(new Entry(what, write));
            if (waiting.size() > 1 && waiting.size() != MAX_TOGETHER) {
                return;
            }
            if (waiting.size() == 1) {
                long now = System.nanoTime();
                delayNanos = Math.max(DELAY_NANOS, nextNanos - now);
                nextNanos = now + delayNanos + APART_NANOS;
            }
        }
        Future<?> _ = thread.schedule(this::flush, delayNanos, TimeUnit.NANOSECONDS);
    }

    /// Writes what waits.
    private void flush() {
        List<Entry> entries;
        synchronized (waiting) {
            entries = List.copyOf(waiting);
            waiting.clear();
        }
        for (int start = 0; start < entries.size(); start += MAX_TOGETHER) {
            if (!write(entries.subList(start, Math.min(entries.size(), start + MAX_TOGETHER)))) {
                putBack(entries.subList(start, entries.size()));
                return;
            }
        }
    }

    /// Another program holds the file: it is tried again, with what comes meanwhile.
    private void putBack(List<Entry> entries) {
        synchronized (waiting) {
            waiting.addAll(0, entries);
            if (waiting.size() > MAX_TOGETHER) {
                var over = waiting.subList(0, waiting.size() - MAX_TOGETHER);
                LOG.log(Level.WARNING,
                        () -> "%d entries from %s on are missing in the history: another program holds its file"
                                .formatted(over.size(), over.getFirst().what));
                over.clear();
            }
        }
        if (!thread.isShutdown()) {
            Future<?> _ = thread.schedule(this::flush, APART_NANOS, TimeUnit.NANOSECONDS);
        }
    }

    /// @return false when another program holds the file
    private boolean write(List<Entry> entries) {
        try {
            var connection = open();
            connection.setAutoCommit(entries.size() == 1);
            for (var entry : entries) {
                try {
                    entry.write.to(connection);
                } catch (SQLException e) {
                    if (isBusy(e)) {
                        connection.setAutoCommit(true);
                        return false;
                    }
                    LOG.log(Level.WARNING, () -> entry.what + " is missing in the history: " + e.getMessage());
                }
            }
            // Commits as well.
            connection.setAutoCommit(true);
        } catch (SQLException e) {
            LOG.log(Level.WARNING,
                    () -> "%d entries from %s on are missing in the history: %s".formatted(entries.size(),
                            entries.getFirst().what, e.getMessage()));
        }
        return true;
    }

    private static boolean isBusy(SQLException e) {
        return e.getErrorCode() == SQLiteErrorCode.SQLITE_BUSY.code;
    }

    private Connection open() throws SQLException {
        var open = database;
        if (open == null) {
            open = file.map(this::openFile).orElse(null);
            if (open == null) {
                open = prepare(IN_MEMORY);
            }
            database = open;
        }
        return open;
    }

    private @Nullable Connection openFile(Path path) {
        try {
            Files.createDirectories(path.toAbsolutePath().getParent());
            try {
                // What people type is nobody else's business.
                Files.createFile(path,
                        PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
            } catch (FileAlreadyExistsException _) {
                // Of earlier sessions.
            }
            return prepare("jdbc:sqlite:" + path);
        } catch (IOException | SQLException e) {
            LOG.log(Level.WARNING, () -> "history file " + path + " cannot be used, history is kept in memory: " + e);
            return null;
        }
    }

    private Connection prepare(String url) throws SQLException {
        var connection = JDBC.createConnection(url, new Properties());
        try (var statement = connection.createStatement()) {
            statement.execute("PRAGMA busy_timeout = " + LOCK_TIMEOUT_MILLIS);
            statement.execute("PRAGMA journal_mode = WAL");
            statement.execute("PRAGMA synchronous = NORMAL");
            statement.execute("CREATE TABLE IF NOT EXISTS sessions "
                    + "(session INTEGER PRIMARY KEY AUTOINCREMENT, started TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)");
            statement.execute("CREATE TABLE IF NOT EXISTS entries (session INTEGER NOT NULL, line INTEGER NOT NULL, "
                    + "input TEXT NOT NULL, output TEXT, PRIMARY KEY (session, line))");
            try (var rows = statement.executeQuery("INSERT INTO sessions DEFAULT VALUES RETURNING session")) {
                session = rows.getInt(1);
            }
            return connection;
        } catch (SQLException e) {
            connection.close();
            throw e;
        }
    }

    /// Waits for what was added to be written.
    @Override
    public void close() {
        var closed = thread.submit(() -> {
            flush();
            var open = database;
            if (open != null) {
                open.close();
            }
            return true;
        });
        try {
            closed.get(CLOSE_TIMEOUT_SECONDS, TimeUnit.SECONDS);
        } catch (ExecutionException e) {
            LOG.log(Level.WARNING, () -> "history file was not closed: " + e.getCause());
        } catch (TimeoutException e) {
            LOG.log(Level.WARNING, "history was not written to its end in time");
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        } finally {
            thread.shutdownNow();
        }
    }
}
