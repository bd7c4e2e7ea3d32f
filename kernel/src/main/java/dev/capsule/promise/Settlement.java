package dev.capsule.promise;

/// How a promise ended.
public sealed interface Settlement<T> {
    record Resolved<T>(T value) implements Settlement<T> {}

    /// @param cause in whatever form the asker understands
    record Rejected<T>(Failure cause) implements Settlement<T> {}

    /// Nobody wants the outcome any more, or nobody is left to give it.
    record Canceled<T>(String reason) implements Settlement<T> {}

    /// The deadline passed first.
    record TimedOut<T>() implements Settlement<T> {}

    default State state() {
        return switch (this) {
            case Resolved<T> _ -> State.RESOLVED;
            case Rejected<T> _ -> State.REJECTED;
            case Canceled<T> _ -> State.REJECTED_CANCELED;
            case TimedOut<T> _ -> State.REJECTED_TIMEDOUT;
        };
    }
}
