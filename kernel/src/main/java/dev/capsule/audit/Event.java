package dev.capsule.audit;

import java.util.List;
import java.util.Map;

/// What is worth remembering of a kernel. Neither code nor output is ever written, only that there was some.
public sealed interface Event {
    /// @param tier of the sandbox, or that there is none
    /// @param workspace a path, or why there is none
    record KernelStarted(String version, String profile, String tier, String workspace) implements Event {}

    /// The user asked for less protection than there is by itself.
    ///
    /// @param option such as `--sandbox`
    record Overridden(String option, String value) implements Event {}

    /// @param number tells the workers of one kernel apart
    /// @param arguments of its command; their SHA-256 is written, each argument followed by a NUL
    /// @param uid the system's number of the user that it runs as
    record WorkerSpawned(int number, String tier, String profile, List<String> arguments, int uid) implements Event {
        public WorkerSpawned {
            arguments = List.copyOf(arguments);
        }
    }

    record WorkerEnded(int number, String cause) implements Event {}

    /// The process of a worker that ran the cells has ended, and a snapshot has taken its place.
    ///
    /// @param number the worker's
    /// @param snapshot the state that it has
    record Revived(int number, String cause, String snapshot) implements Event {}

    /// Variables were to be written to the disk, or taken from it.
    ///
    /// @param request such as `%restore NAME`
    record Checkpoint(String request, boolean succeeded) implements Event {}

    /// @param number the worker's
    record Killed(int number, String reason) implements Event {}

    /// @param number the worker's
    record ProtocolViolation(int number, String message) implements Event {}

    record LimitHit(String limit, String value, int executionCount) implements Event {}

    /// @param code of which SHA-256 and length are written, in UTF-8
    record Cell(int executionCount, String code) implements Event {
        /// Events may get into logs, where no code may be.
        @Override
        public String toString() {
            return "Cell[executionCount=%d, code of %d characters]".formatted(executionCount, code.length());
        }
    }

    /// What the profile kept back of a cell's outputs. Once for each cell: its code could otherwise fill the log, and so
    /// push out of it what it has done.
    ///
    /// @param counts how many outputs, by MIME type
    record OutputWithheld(int executionCount, Map<String, Integer> counts) implements Event {
        public OutputWithheld {
            counts = Map.copyOf(counts);
        }
    }
}
