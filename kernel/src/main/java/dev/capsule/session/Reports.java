package dev.capsule.session;

import dev.capsule.checkpoint.Manifest;
import java.util.List;

/// What a person is told of checkpoints.
final class Reports {
    private static final int MAX_LINES = 50;

    private Reports() {}

    static String count(int number, String noun) {
        return number == 1 ? "1 " + noun : "%,d %ss".formatted(number, noun);
    }

    static String size(long bytes) {
        return bytes < 10 << 10
                ? "%,d bytes".formatted(bytes)
                : bytes < 10 << 20
                        ? "%,d KiB".formatted(bytes >> 10)
                        : "%,d MiB".formatted(bytes >> 20);
    }

    /// A line each, and not more of them than a person reads.
    static void failures(StringBuilder text, String title, List<Manifest.Failure> failures) {
        if (failures.isEmpty()) {
            return;
        }
        text.append(title).append('\n');
        failures.stream().limit(MAX_LINES).forEach(each -> text.append("  %s (%s): %s\n".formatted(each.name(),
                each.type(), each.reason())));
        if (failures.size() > MAX_LINES) {
            text.append("  … and %,d more\n".formatted(failures.size() - MAX_LINES));
        }
    }
}
