package dev.capsule.session;

import java.util.Locale;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/// What becomes of a cell's effects on the variables when it has run.
public enum Transaction {
    /// They stay.
    COMMIT_ALWAYS,
    /// They stay if it succeeds; if it fails in any way, the variables are as before it.
    ROLLBACK_ON_FAILURE,
    /// The variables are as before it: a dry run.
    ROLLBACK_ALWAYS;

    /// For messages.
    static final String NAMES = Stream.of(values()).map(Transaction::wireName).collect(Collectors.joining(", "));

    /// As a cell's metadata and commands name it.
    public String wireName() {
        return name().toLowerCase(Locale.ROOT);
    }

    public static Optional<Transaction> named(String name) {
        return Stream.of(values()).filter(policy -> policy.wireName().equals(name)).findFirst();
    }
}
