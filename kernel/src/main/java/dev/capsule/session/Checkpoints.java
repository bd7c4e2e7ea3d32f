package dev.capsule.session;

import dev.capsule.checkpoint.CheckpointException;
import dev.capsule.checkpoint.CheckpointFile;
import dev.capsule.checkpoint.Manifest;
import dev.capsule.checkpoint.Shelf;
import dev.capsule.log.Logs;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.file.Path;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.function.Supplier;

/// The checkpoints of a session: has its worker make one, and a fresh worker take over what is in one.
final class Checkpoints {
    private static final Logger LOG = Logs.of(Checkpoints.class);
    private static final String NOWHERE = "there is no place for checkpoints: neither XDG_DATA_HOME nor HOME is an"
            + " absolute path; set one when the kernel is started";

    private final Session session;
    private final Supplier<Optional<Shelf>> shelf;
    private final String madeBy;

    /// @param shelf empty where there is no place for them; may have to be waited for
    /// @param madeBy the program and its version
    Checkpoints(Session session, Supplier<Optional<Shelf>> shelf, String madeBy) {
        this.session = session;
        this.shelf = shelf;
        this.madeBy = madeBy;
    }

    /// For what the kernel does by itself.
    static final Session.Cell NO_CELL = new Session.Cell(Optional.empty(), "", "", 0, true, false, false,
            Map.of(), Optional.empty());

    void save(String name, Session.Cell cell, ExecutionListener listener) {
        begin(listener, Saving.ERROR, () -> {
            var place = place();
            var draft = place.draft(name);
            session.start(cell, listener, new Saving(name, draft,
                    (blobs, variables, failures, packages) -> new Manifest(madeBy,
                            new Manifest.Language("python", session.languageVersion().orElse("")),
                            Instant.now().truncatedTo(ChronoUnit.SECONDS), place.directory().toString(),
                            cell.executionCount(), blobs, variables, failures, packages)));
        });
    }

    /// Restores one that was made where this session works.
    void restore(String name, Session.Cell cell, ExecutionListener listener) {
        load("%restore " + name, shelf -> shelf.own(name), cell, listener);
    }

    /// Restores any.
    ///
    /// @param nameOrPath a path where it has a slash
    void restoreAny(String nameOrPath, ExecutionListener listener) {
        load("--restore " + nameOrPath, shelf -> shelf.any(nameOrPath), NO_CELL, listener);
    }

    private void load(String title, Function<Shelf, Path> find, Session.Cell cell, ExecutionListener listener) {
        begin(listener, Loading.ERROR, () -> {
            var file = CheckpointFile.open(find.apply(place()));
            try {
                file.verify();
            } catch (CheckpointException e) {
                file.close();
                throw e;
            }
            session.startAfresh(cell, listener,
                    new Loading(title, file, () -> session.languageVersion().orElse("")));
        });
    }

    private Shelf place() {
        return shelf.get().orElseThrow(() -> new CheckpointException(NOWHERE));
    }

    /// On a thread of its own: a large file takes seconds to be read.
    private static void begin(ExecutionListener listener, String error, Runnable action) {
        Thread.ofPlatform().name("checkpoint").daemon().start(() -> {
            try {
                action.run();
            } catch (CheckpointException e) {
                fail(listener, error, e.getMessage());
            } catch (RuntimeException | Error e) {
                LOG.log(Level.ERROR, "a checkpoint", e);
                fail(listener, error, e.toString());
            }
        });
    }

    private static void fail(ExecutionListener listener, String error, String why) {
        listener.settled(Outcome.Failed.because(error,
                error.equals(Saving.ERROR) ? Saving.notMade(why) : Loading.notRestored(why)));
    }
}
