package dev.capsule.cli;

import dev.capsule.jupyter.KernelSpec;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// The command that starts an installed kernel, as `argv` of its kernelspec. All paths are absolute.
///
/// @param pythonVersion such as `3.11.2`, to be told until a worker has told its own; empty when not known
/// @param engine what gives cells their meaning, one of [#ENGINES]
/// @param debugger whether the Python has debugpy
/// @param restore the checkpoint that the kernel starts from, a name or a path; empty for none
/// @param checkpointOnShutdown the name of the checkpoint that it leaves; empty for none
record Argv(Path java, Path jar, Path python, String pythonVersion, String engine, boolean debugger, String restore,
        String checkpointOnShutdown,
        Terms terms) {
    static final String PYTHON_VERSION = "--python-version";
    static final String RESTORE = "--restore";
    static final String CHECKPOINT_ON_SHUTDOWN = "--checkpoint-on-shutdown";

    /// `auto` is IPython when the Python has it.
    static final List<String> ENGINES = List.of(Terms.AUTO, "ipython", "plain");
    static final String DEBUGGER = "--debugger";

    /// Small heap and tables, one collector thread, one compiler, no shared performance file, and no language but English: 60
    /// MB of memory instead of 90. New objects have 3.2 MB, and those that a collection finds alive as much again: an image
    /// must not come among the old ones, which are collected only when there are many. The launcher `kernelspec/capsule` uses
    /// the same.
    static final List<String> FLAGS = List.of("-XX:+UseSerialGC", "-XX:-UsePerfData", "-Xms13m", "-Xmn9600k",
            "-XX:SurvivorRatio=1", "-Xmx768m", "-Xss1m", "-XX:TieredStopAtLevel=1", "-XX:ReservedCodeCacheSize=48m",
            "-XX:StringTableSize=4096",
            "-Djava.locale.providers=FALLBACK", "--enable-native-access=ALL-UNNAMED");

    List<String> words() {
        var words = new ArrayList<String>();
        words.add(java.toString());
        words.addAll(FLAGS);
        // Where the cache is missing, or of another JDK, the JVM goes on without it. What it has learned in the rehearsal it
        // would compile at once, when the processors are wanted for the start itself. None of it need be told to everybody.
        // It looks after what is left of locks every 10 s, and not four times a second, and then gives back what its compiler
        // has taken from C's heap, 3 MB. What is kept free under a stack for native code, and the table of the names that are
        // not in the cache, take 1.3 MB less. Its compiler lets cells go before, of which it would warn everybody but root.
        words.addAll(List.of("-XX:AOTCache=" + cache(), "-Xlog:aot*=off,cds*=off", "-XX:+UnlockDiagnosticVMOptions",
                "-XX:+UnlockExperimentalVMOptions", "-XX:-AOTReplayTraining", "-XX:AsyncDeflationInterval=10000",
                "-XX:ServiceThreadCleanupInterval=10000", "-XX:TrimNativeHeapInterval=10000",
                "-XX:StackShadowPages=10", "-XX:SymbolTableSize=4096", "-XX:-PrintWarnings",
                "-XX:ThreadPriorityPolicy=1", "-XX:CompilerThreadPriority=10",
                "-XX:CompileCommandFile=" + jar.resolveSibling(Program.COMMANDS),
                "-XX:-DisplayVMOutput"));
        words.addAll(program());
        words.addAll(kernel("{connection_file}"));
        return words;
    }

    /// With `-jar` the JVM would read the jar's table and its manifest, for 7 ms; all that a kernel needs is in the cache.
    List<String> program() {
        return List.of("-cp", jar.toString(), Main.class.getName());
    }

    /// The same kernel without a state that it begins with or leaves.
    Argv plain() {
        return new Argv(java, jar, python, pythonVersion, engine, debugger, "", "", terms);
    }

    /// What the JVM has written down of a [Rehearsal].
    Path cache() {
        return jar.resolveSibling("capsule-" + Runtime.version() + ".aot");
    }

    /// The arguments of the program itself.
    List<String> kernel(String connectionFile) {
        var words = new ArrayList<>(List.of("kernel", "-f", connectionFile, "--python", python.toString()));
        Terms.add(words, PYTHON_VERSION, pythonVersion, "");
        Terms.add(words, "--engine", engine, Terms.AUTO);
        if (debugger) {
            words.addAll(List.of(DEBUGGER, "on"));
        }
        Terms.add(words, RESTORE, restore, "");
        Terms.add(words, CHECKPOINT_ON_SHUTDOWN, checkpointOnShutdown, "");
        words.addAll(terms.words());
        return words;
    }

    /// Reads the command of this or another version of Capsule, whose flags may differ.
    ///
    /// @return empty when the spec is not Capsule's
    static Optional<Argv> of(KernelSpec spec) {
        var argv = spec.argv();
        int kernel = argv.indexOf("kernel");
        int jar = kernel - (argv.contains("-jar") ? 1 : 2);
        int python = argv.indexOf("--python") + 1;
        if (jar < 1 || python == 0 || python == argv.size() || !Path.of(argv.get(jar)).endsWith(Program.JAR)) {
            return Optional.empty();
        }
        return Optional.of(new Argv(Path.of(argv.getFirst()), Path.of(argv.get(jar)), Path.of(argv.get(python)),
                Terms.value(argv, PYTHON_VERSION).orElse(""), Terms.value(argv, "--engine").orElse(Terms.AUTO),
                argv.contains(DEBUGGER),
                Terms.value(argv, RESTORE).orElse(""),
                Terms.value(argv, CHECKPOINT_ON_SHUTDOWN).orElse(""), Terms.of(argv)));
    }
}
