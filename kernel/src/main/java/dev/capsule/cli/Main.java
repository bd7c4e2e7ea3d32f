package dev.capsule.cli;

import java.util.List;
import java.util.Locale;

/// Where the program starts. `kernel` is told apart by hand: loading picocli takes 50 ms, and a kernel is waited for.
public final class Main {
    private Main() {}

    public static void main(String[] args) {
        // Messages are in English, and what other programs read has no digits but ASCII's, whatever the machine's language.
        Locale.setDefault(Locale.ROOT);
        var line = List.of(args);
        System.exit(!line.isEmpty() && line.getFirst().equals("kernel")
                ? KernelCommand.run(line)
                : CommandLineTool.run(Host.current(), line));
    }
}
