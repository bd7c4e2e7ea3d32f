package dev.capsule.session;

import java.time.Duration;
import java.util.List;
import java.util.Optional;

/// What a session answers to questions about code.
public interface Answers {
    /// @param start of the text that a match replaces, in Unicode code points; so is `end`
    /// @param types what each match is, such as `function`; empty when that is not known
    record Completion(List<String> matches, int start, int end, List<String> types) {
        public Completion {
            matches = List.copyOf(matches);
            types = List.copyOf(types);
        }
    }

    /// @param found whether there is anything to show
    record Inspection(boolean found, Display display) {}

    /// What a worker uses of what it may.
    ///
    /// @param memoryBytes of all its processes, snapshots among them
    /// @param cpu that they have used since they were started
    record Usage(long memoryBytes, long memoryLimitBytes, Duration cpu, int processes, int processLimit) {}

    /// What came of a request to the debugger.
    sealed interface Debugged {
        /// @param json the debugger's own, which may say that it has failed
        record Response(byte[] json) implements Debugged {}

        /// There is none.
        record Failed(String why) implements Debugged {}
    }

    /// @param status `complete`, `incomplete`, `invalid` or `unknown`
    /// @param indent of the next line, only with `incomplete`
    record Completeness(String status, Optional<String> indent) {}
}
