package dev.capsule.cli;

import java.util.List;

/// Where the program starts. `kernel` is told apart by hand: loading picocli takes 50 ms, and a kernel is waited for.
public final class Main {
    private Main() {}

    public static void main(String[] args) {
        var line = List.of(args);
        System.exit(!line.isEmpty() && line.getFirst().equals("kernel")
                ? KernelCommand.run(line)
                : CommandLineTool.run(Host.current(), line));
    }
}
