package dev.capsule.it;

import static org.junit.jupiter.api.Assertions.fail;

import java.util.Optional;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.DynamicTest;

/// What a foreign test said about one behaviour.
sealed interface Verdict {

    record Passed() implements Verdict {}

    record Failed(String why) implements Verdict {}

    /// The machine lacks what the test needs. A failure where everything is to be tested, and elsewhere reported
    /// under the test's name.
    record Missing(String what) implements Verdict {}

    /// The test of JUnit that has this outcome.
    default DynamicTest named(String name) {
        return DynamicTest.dynamicTest(name, () -> {
            switch (this) {
                case Passed() -> {
                }
                case Failed(var why) -> {
                    // The whole of it where it is read with what was printed; in Surefire's summary, as much as leaves
                    // the names of all that have failed in sight.
                    System.out.println("failed: " + name + "\n" + excerpt(why));
                    fail(name + ": " + ending(why));
                }
                case Missing(var what) -> {
                    if (Optional.ofNullable(System.getenv("CI")).filter(value -> !value.isEmpty()).isPresent()) {
                        fail(name + " is missing, and this is CI: " + what);
                    }
                    Assumptions.abort(name + " is missing: " + what);
                }
            }
        });
    }

    private static String ending(String text) {
        var stripped = text.strip();
        return stripped.substring(Math.max(0, stripped.length() - 300)).lines().reduce("", (_, line) -> line);
    }

    /// A text's beginning and end where it is long. Surefire lost a failure that quoted half a gigabyte of output: the test
    /// was not counted, and the build passed.
    static String excerpt(String text) {
        int half = 10_000;
        return text.length() <= 2 * half
                ? text
                : text.substring(0, half) + "\n...\n" + text.substring(text.length() - half);
    }
}
