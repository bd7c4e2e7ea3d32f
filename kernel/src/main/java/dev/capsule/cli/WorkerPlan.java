package dev.capsule.cli;

import dev.capsule.policy.PolicyException;
import dev.capsule.policy.Profile;
import dev.capsule.policy.Profile.Network;
import dev.capsule.policy.Profiles;
import dev.capsule.sandbox.Launch;
import dev.capsule.sandbox.Probe;
import dev.capsule.sandbox.Program;
import dev.capsule.sandbox.Sandbox;
import dev.capsule.sandbox.Tier;
import dev.capsule.sandbox.Workspace;
import dev.capsule.worker.LocalProcesses;
import dev.capsule.worker.PythonFiles;
import dev.capsule.worker.WorkerProcess.Launches;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.function.Supplier;
import java.util.stream.Stream;

/// How a kernel's workers are started: profile, sandbox and files. What the machine offers is found out beside the
/// kernel's own start; whoever needs to know waits for it.
final class WorkerPlan implements Launches {
    /// What tells a program about language and time, and is nobody's secret.
    private static final List<String> PASSED_ON = List.of("TZ", "LANG", "LANGUAGE", "CAPSULE_ENCODING");

    /// How the cells are to be kept in, as it was asked for when the kernel was launched or installed.
    sealed interface Confined {
        /// The best that holds.
        record Automatically() implements Confined {}

        /// In this way or not at all.
        record By(Tier tier) implements Confined {}

        record Not() implements Confined {}

        /// @param name as in `--sandbox NAME`; empty when there is no such
        static Optional<Confined> of(String name) {
            return switch (name) {
                case "auto" -> Optional.of(new Automatically());
                case "none" -> Optional.of(new Not());
                default -> Stream.of(Tier.values()).filter(tier -> tier.name().equals(name)).findFirst().map(By::new);
            };
        }
    }

    /// Whether the state can be gone back to when a cell kills its worker, or is to be taken back.
    enum Snapshots {
        MADE, NONE
    }

    /// @param python the interpreter's absolute path
    /// @param worker the program that it runs, in the directory of its modules
    /// @param profile its name
    /// @param connectionFile has the key that speaks for the user
    record Settings(Path python, Path worker, String profile, Confined confined, Network network,
            Snapshots snapshots, Path connectionFile,
            Map<String, String> environment) {
        Settings {
            environment = Map.copyOf(environment);
        }
    }

    private sealed interface Decision {
        record Unsandboxed(Launch launch) implements Decision {}

        record Sandboxed(Sandbox sandbox, Workspace workspace, Program program) implements Decision {}

        /// @param why no worker may be started
        record Refused(String why) implements Decision {}
    }

    private final Settings settings;
    private final Profile profile;
    private final CompletableFuture<Decision> decision = new CompletableFuture<>();

    private WorkerPlan(Settings settings, Profile profile) {
        this.settings = settings;
        this.profile = profile;
    }

    /// Begins to find out what this machine offers.
    static WorkerPlan of(Settings settings) {
        Supplier<Decision> decide;
        WorkerPlan plan;
        try {
            plan = new WorkerPlan(settings, Profiles.file(settings.environment).map(Profiles::load)
                    .orElseGet(Profiles::builtIn).get(settings.profile).withNetwork(settings.network));
            decide = plan::decide;
        } catch (PolicyException e) {
            plan = new WorkerPlan(settings, Profile.LOCKED);
            decide = () -> new Decision.Refused(String.valueOf(e.getMessage()));
        }
        plan.decideBy(decide);
        return plan;
    }

    private void decideBy(Supplier<Decision> decide) {
        Thread.ofPlatform().name("probe").daemon().start(() -> {
            try {
                decision.complete(decide.get());
            } catch (RuntimeException | Error e) {
                decision.completeExceptionally(e);
            }
        });
    }

    /// What the cells may do and what of their outputs leaves.
    Profile profile() {
        return profile;
    }

    @Override
    public Launch next() throws IOException {
        return switch (decision.join()) {
            case Decision.Unsandboxed(var launch) -> launch;
            case Decision.Sandboxed(var sandbox, var workspace, var program) ->
                sandbox.launch(profile, program, workspace);
            case Decision.Refused(var why) -> throw new IOException(why);
        };
    }

    @Override
    public boolean supervised() {
        return settings.snapshots == Snapshots.MADE;
    }

    /// In a few words, for the kernel's banner.
    String describe() {
        return switch (decision.join()) {
            case Decision.Unsandboxed _ -> "NOT SANDBOXED: cells may do all that you may";
            case Decision.Sandboxed(var sandbox, var workspace, var program) -> String.join("; ", Stream.concat(
                    Stream.of("profile " + profile.name() + ", sandbox " + sandbox.tier()),
                    sandbox.notes(profile, program, workspace).stream()).toList());
            case Decision.Refused(var why) -> "no cell can be run: " + why;
        };
    }

    /// What a person should know before a cell does something in vain, or something that cannot be undone.
    List<String> warnings() {
        return switch (decision.join()) {
            case Decision.Unsandboxed _ ->
                List.of("this kernel is not sandboxed (--sandbox none): cells may do all that "
                        + "you may; \"capsule install --replace\" installs it with a sandbox");
            case Decision.Sandboxed(_, Workspace.Scratch(var why), _) when profile.files() == Profile.Files.WORKSPACE ->
                List.of("cells see none of your files, and what they write is lost with the kernel: " + why);
            case Decision.Sandboxed _,Decision.Refused _ -> List.of();
        };
    }

    private Decision decide() {
        try {
            return switch (settings.confined) {
                case Confined.Not() -> unsandboxed();
                case Confined.Automatically() -> sandboxed(List.of(Tier.values()));
                case Confined.By(var tier) -> sandboxed(List.of(tier));
            };
        } catch (IOException e) {
            return new Decision.Refused("the sandbox cannot be made: " + e);
        }
    }

    private Decision unsandboxed() {
        var setpriv = Optional.of(Path.of("/usr/bin/setpriv")).filter(Files::isExecutable);
        return new Decision.Unsandboxed(Launch.unsandboxed(command(), setpriv, settings.environment, directory()));
    }

    private Decision sandboxed(List<Tier> tiers) throws IOException {
        var workspace = Workspace.of(directory(), home(), closed());
        return switch (Probe.run(new LocalProcesses(), tiers, workspace)) {
            case Probe.Result.Available(var sandbox, _) -> new Decision.Sandboxed(sandbox, workspace, program());
            case Probe.Result.Unavailable unavailable -> new Decision.Refused(unavailable.message());
        };
    }

    private List<String> command() {
        return List.of(settings.python.toString(), settings.worker.toString());
    }

    private static Path directory() {
        return Path.of("").toAbsolutePath();
    }

    private Path home() {
        return Path.of(settings.environment.getOrDefault("HOME", System.getProperty("user.home")));
    }

    private Program program() throws IOException {
        var readOnly = new ArrayList<>(PythonFiles.trees(settings.python));
        readOnly.add(settings.worker.toRealPath().resolve("../..").normalize());
        var environment = new HashMap<>(settings.environment);
        environment.keySet().removeIf(name -> !PASSED_ON.contains(name) && !name.startsWith("LC_"));
        var userBase = Path
                .of(settings.environment.getOrDefault("PYTHONUSERBASE", home().resolve(".local").toString()));
        var userPackages = PythonFiles.userPackages(userBase);
        if (!userPackages.isEmpty()) {
            readOnly.addAll(userPackages);
            environment.put("PYTHONUSERBASE", userBase.toString());
        }
        return new Program(command(), readOnly, environment);
    }

    /// What in reach of a cell would let it speak or decide for the user.
    private List<Path> closed() {
        var home = home();
        var closed = new ArrayList<>(List.of(settings.connectionFile.toAbsolutePath(), home.resolve(".jupyter"),
                home.resolve(".ipython"), home.resolve(".local/share/jupyter"), home.resolve(".local/share/capsule"),
                home.resolve(".local/state/capsule"), home.resolve(".config/capsule")));
        for (String variable : List.of("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")) {
            directoryIn(variable).ifPresent(closed::add);
        }
        for (String variable : List.of("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")) {
            directoryIn(variable).map(directory -> directory.resolve("capsule")).ifPresent(closed::add);
        }
        return closed;
    }

    private Optional<Path> directoryIn(String variable) {
        return Optional.of(settings.environment.getOrDefault(variable, "")).filter(value -> value.startsWith("/"))
                .map(Path::of);
    }
}
