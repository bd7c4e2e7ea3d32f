package dev.capsule.cli;

import dev.capsule.policy.Profile;
import dev.capsule.sandbox.Tier;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/// What a kernel lets its cells do, in the words of its command line. They may be another version's, or a person's who
/// has edited the kernelspec.
///
/// @param profile a profile's name
/// @param sandbox `auto`, a tier's name, or `none`
/// @param network `none` or `host`
record Terms(String profile, String sandbox, String network) {
    static final String AUTO = "auto";
    static final String NONE = "none";
    static final String HOST = "host";
    static final Terms DEFAULT = new Terms(Profile.DEFAULT.name(), AUTO, NONE);

    /// Reads those of a kernel's command; what it does not say is as in [#DEFAULT].
    static Terms of(List<String> argv) {
        return new Terms(value(argv, "--profile").orElse(DEFAULT.profile),
                value(argv, "--sandbox").orElse(DEFAULT.sandbox), value(argv, "--network").orElse(DEFAULT.network));
    }

    /// What a command says after an option, if it has that.
    static Optional<String> value(List<String> argv, String option) {
        int at = argv.indexOf(option) + 1;
        return at == 0 || at == argv.size() ? Optional.empty() : Optional.of(argv.get(at));
    }

    /// The options that say what is not as in [#DEFAULT].
    List<String> words() {
        var words = new ArrayList<String>();
        add(words, "--profile", profile, DEFAULT.profile);
        add(words, "--sandbox", sandbox, DEFAULT.sandbox);
        add(words, "--network", network, DEFAULT.network);
        return words;
    }

    static void add(List<String> words, String option, String value, String absent) {
        if (!value.equals(absent)) {
            words.addAll(List.of(option, value));
        }
    }

    /// @throws CommandException if the sandbox or the network is none that there is
    Terms checked() {
        check("--sandbox", sandbox, Stream.of(Stream.of(AUTO), Arrays.stream(Tier.values()).map(Tier::name),
                Stream.of(NONE)).flatMap(words -> words).toList());
        check("--network", network, List.of(NONE, HOST));
        return this;
    }

    private static void check(String option, String value, List<String> allowed) {
        if (!allowed.contains(value)) {
            throw new CommandException(
                    "%s is \"%s\"; allowed are %s".formatted(option, value, String.join(", ", allowed)));
        }
    }

    boolean isSandboxed() {
        return !sandbox.equals(NONE);
    }

    /// What a person who picks a kernel must be able to tell it by. An engine is one if it was asked for by its name.
    private List<String> traits(String engine) {
        return Stream.of(profile.equals(DEFAULT.profile) ? "" : profile, network.equals(HOST) ? "network" : "",
                isSandboxed() ? "" : "no sandbox", engine.equals(AUTO) ? "" : engine).filter(trait -> !trait.isEmpty())
                .toList();
    }

    /// The name of a kernel with these terms and an engine; each has its own, so that several can be installed.
    ///
    /// @param engine one of [Argv#ENGINES]
    String kernelName(String engine) {
        return Stream
                .concat(Stream.of(KernelName.DEFAULT), traits(engine).stream().map(trait -> trait.replace(' ', '-')))
                .collect(Collectors.joining("-"));
    }

    /// @param engine one of [Argv#ENGINES]
    String displayName(String engine) {
        return Stream.concat(Stream.of("Capsule"), traits(engine).stream())
                .collect(Collectors.joining(", ", "Python (", ")"));
    }

    /// In one line.
    String describe() {
        return "%s, sandbox %s, network %s".formatted(profile, sandbox, network);
    }
}
