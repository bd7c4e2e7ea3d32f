package dev.capsule.session;

import dev.capsule.frame.Frame;
import dev.capsule.session.Execution.Rollback;
import dev.capsule.worker.WorkerProcess;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.Map;
import java.util.Optional;

/// What the kernel itself does for a cell ([Command]), and the transactions that cells run in.
final class Commands {
    private final Session session;
    private final Checkpoints checkpoints;

    /// Guarded by the session.
    private Transaction transaction = Transaction.COMMIT_ALWAYS;

    Commands(Session session, Checkpoints checkpoints) {
        this.session = session;
        this.checkpoints = checkpoints;
    }

    /// Runs a cell that is no command.
    void run(Session.Cell cell, ExecutionListener listener) {
        Transaction usual;
        synchronized (session) {
            usual = transaction;
        }
        transact(cell.transaction().orElse(usual), cell, listener);
    }

    void run(Command command, Session.Cell cell, ExecutionListener listener) {
        switch (command) {
            case Command.Malformed(var message) -> listener.settled(Outcome.Failed.because("UsageError", message));
            case Command.Snapshots() -> list(cell, listener);
            case Command.Undo(var cells) -> undo(cells, cell, listener);
            case Command.GoTo(var count) -> {
                synchronized (session) {
                    var attendant = session.serving();
                    goTo(attendant, attendant.snapshots().after(count),
                            "there is no snapshot of the state after In [%d]; %%snapshots lists those that there are"
                                    .formatted(count),
                            cell, listener);
                }
            }
            case Command.SetTransaction(var policy) -> {
                synchronized (session) {
                    transaction = policy;
                }
                answer("Cells run with " + policy.wireName() + " from now on.\n", cell, listener);
            }
            case Command.Checkpoint(var name) -> checkpoints.save(name, cell, listener);
            case Command.Restore(var name) -> checkpoints.restore(name, cell, listener);
            case Command.Deaths() -> {
                String text;
                synchronized (session) {
                    text = session.tally().list(Instant.now());
                }
                answer(text, cell, listener);
            }
            case Command.Recycle() -> session.recycle(() -> answer(
                    "A fresh worker was started: variables, imports and functions of earlier cells are gone; files are"
                            + " kept.\n",
                    cell, listener));
            case Command.Transact(var policy, var code) -> transact(policy, cell.withCode(code), listener);
        }
    }

    /// Runs a cell of a subshell, beside which others run that could not be taken back with it.
    void runBeside(Optional<Command> command, Session.Cell cell, ExecutionListener listener) {
        Transaction wanted;
        synchronized (session) {
            wanted = cell.transaction().orElse(transaction);
        }
        if (command.isPresent()) {
            refuse(listener, "UsageError",
                    "what Capsule itself does for a cell, it does in the main shell only, and this"
                            + " is a subshell");
        } else if (wanted != Transaction.COMMIT_ALWAYS) {
            refuse(listener, "TransactionError",
                    "the cell was not run, for in a subshell its effects could not be taken"
                            + " back; only %s works there".formatted(Transaction.COMMIT_ALWAYS.wireName()));
        } else {
            session.start(cell, listener, Rollback.NEVER);
        }
    }

    private void refuse(ExecutionListener listener, String ename, String why) {
        session.clock().execute(() -> listener.settled(Outcome.Failed.because(ename, why)));
    }

    /// The worker makes a snapshot first, or says why it makes none.
    private void list(Session.Cell cell, ExecutionListener listener) {
        synchronized (session) {
            var attendant = session.serving();
            if (attendant.isGone()) {
                answer(attendant.snapshots().list(Map.of()), cell, listener);
                return;
            }
            attendant.ask(Session.QUESTION_DEADLINE, Frame.Keep::new, _ -> {
                Optional<WorkerProcess> worker;
                synchronized (session) {
                    worker = attendant.worker();
                }
                // Reads files, so not while others wait for the session.
                var memory = worker.map(WorkerProcess::memoryOfSnapshots).orElse(Map.of());
                String text;
                synchronized (session) {
                    text = attendant.snapshots().list(memory);
                }
                answer(text, cell, listener);
            });
        }
    }

    private void undo(int cells, Session.Cell cell, ExecutionListener listener) {
        synchronized (session) {
            var attendant = session.serving();
            var snapshots = attendant.snapshots();
            var state = snapshots.back(cells);
            String why = state.isEmpty()
                    ? "fewer than %d cells have been run since the state was fresh".formatted(cells)
                    : "there is no snapshot of the state before them (%s); %%snapshots lists those that there are"
                            .formatted(snapshots.why());
            goTo(attendant, state.flatMap(snapshots::of), why, cell, listener);
        }
    }

    private void goTo(Attendant attendant, Optional<Snapshots.Snapshot> target, String why, Session.Cell cell,
            ExecutionListener listener) {
        if (target.isEmpty()) {
            listener.settled(Outcome.Failed.because("SnapshotError", "nothing was changed: " + why));
            return;
        }
        var way = new Snapshots.Way(target.get());
        attendant.restore(way, "cells are taken back", problem -> {
            if (problem.isPresent()) {
                listener.settled(Outcome.Failed.because("SnapshotError", problem.get()));
            } else {
                answer(attendant.snapshots().describe(way) + "\n", cell, listener);
            }
        });
    }

    private static void answer(String text, Session.Cell cell, ExecutionListener listener) {
        if (!cell.silent()) {
            listener.stream(Frame.Stream.STDOUT.wireName(), text.getBytes(StandardCharsets.UTF_8));
        }
        listener.settled(Outcome.Succeeded.EMPTY);
    }

    private void transact(Transaction policy, Session.Cell cell, ExecutionListener listener) {
        if (policy == Transaction.COMMIT_ALWAYS) {
            session.start(cell, listener, Rollback.NEVER);
            return;
        }
        synchronized (session) {
            session.serving(listener)
                    .ifPresent(attendant -> attendant.ask(Session.QUESTION_DEADLINE, Frame.Keep::new, _ -> {
                        Optional<Snapshots.Snapshot> before;
                        String why;
                        synchronized (session) {
                            var snapshots = attendant.snapshots();
                            before = attendant.isGone() ? Optional.empty() : snapshots.of(snapshots.present());
                            why = snapshots.why();
                        }
                        if (before.isPresent()) {
                            session.start(cell, listener, new Rollback.By(policy, before.get()));
                        } else {
                            listener.settled(Outcome.Failed.because("TransactionError",
                                    "the cell was not run, for its effects could not be taken back: " + why));
                        }
                    }));
        }
    }

    /// Takes back what an execution has done.
    void rollBack(Execution execution, Snapshots.Snapshot to, Outcome outcome) {
        var attendant = execution.attendant;
        var listener = execution.listener;
        synchronized (session) {
            var snapshots = attendant.snapshots();
            boolean there = snapshots.present() == to.state();
            if (!there && !attendant.isGone() && snapshots.of(to.state()).isPresent()) {
                var way = new Snapshots.Way(to);
                attendant.restore(way, "a cell is rolled back", problem -> {
                    if (problem.isEmpty()) {
                        listener.rolledBack();
                    }
                    listener.note(problem.orElseGet(() -> "rolled back. " + snapshots.describe(way)));
                    listener.settled(outcome);
                });
                return;
            }
        }
        // The worker has died, and the outcome says what has become of its state.
        listener.settled(outcome);
    }
}
