package dev.capsule.session;

import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Future;

/// One cell's run.
final class Execution {
    /// What becomes of a cell's effects.
    sealed interface Rollback {
        Rollback NEVER = new Never();

        record Never() implements Rollback {}

        /// @param to the state before the cell
        record By(Transaction policy, Snapshots.Snapshot to) implements Rollback {}
    }

    /// What it is for whoever reads of it.
    enum Task {
        CELL("the cell", "ran this cell"), COMM("the message to a widget", "handled a message to a widget");

        final String title;
        final String doing;

        Task(String title, String doing) {
            this.title = title;
            this.doing = doing;
        }
    }

    final String id;
    /// Empty for the main shell's.
    final Optional<String> subshell;
    final Task task;
    /// 0 for what is no cell.
    final int count;
    final Metered listener;
    final Rollback rollback;
    /// Empty for a cell's code.
    final Optional<Errand> errand;
    /// Of the worker that runs it.
    final Attendant attendant;

    // Guarded by the session.
    Optional<Future<?>> deadline = Optional.empty();
    boolean interrupted;
    boolean signalled;
    boolean killed;
    /// The questions that its code has asked of a person.
    private Set<String> inputs = Set.of();

    /// Of the worker's thread, which is also the one that settles an execution with an error.
    boolean errorShown;

    Execution(String id, Optional<String> subshell, Task task, int count, Metered listener, Rollback rollback,
            Optional<Errand> errand,
            Attendant attendant) {
        this.id = id;
        this.subshell = subshell;
        this.task = task;
        this.count = count;
        this.listener = listener;
        this.rollback = rollback;
        this.errand = errand;
        this.attendant = attendant;
    }

    void asks(String input) {
        if (inputs.isEmpty()) {
            // Most ask nothing, and a thousand are remembered.
            inputs = new HashSet<>();
        }
        inputs.add(input);
    }

    List<String> inputs() {
        return List.copyOf(inputs);
    }
}
