package dev.capsule.cli;

import dev.capsule.audit.Event;
import dev.capsule.checkpoint.Shelf;
import dev.capsule.json.Timestamp;
import dev.capsule.log.Logs;
import dev.capsule.policy.PolicyException;
import dev.capsule.policy.Profile;
import dev.capsule.policy.Profile.Network;
import dev.capsule.policy.Profiles;
import dev.capsule.policy.UserDirectory;
import dev.capsule.sandbox.Launch;
import dev.capsule.sandbox.Probe;
import dev.capsule.sandbox.ProbeRecord;
import dev.capsule.sandbox.Program;
import dev.capsule.sandbox.Sandbox;
import dev.capsule.sandbox.Tier;
import dev.capsule.sandbox.Workspace;
import dev.capsule.sandbox.WorkspaceWatch;
import dev.capsule.session.Advice;
import dev.capsule.worker.LocalProcesses;
import dev.capsule.worker.PythonFiles;
import dev.capsule.worker.WorkerProcess.Launches;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import java.util.function.Supplier;
import java.util.stream.Stream;

/// How a kernel's workers are started: profile, sandbox and files. What the machine offers is found out beside the
/// kernel's own start; whoever needs to know waits for it.
final class WorkerPlan implements Launches {
    private static final Logger LOG = Logs.of(WorkerPlan.class);

    /// In the user's state directory, which no worker is given.
    static final String SANDBOX = "sandbox";
    private static final Path BASH = Path.of("/bin/bash");
    private static final String ENGINE = "CAPSULE_ENGINE";
    /// Set where widgets can be shown.
    private static final String COMMS = "CAPSULE_COMMS";
    /// Set where cells have no network.
    private static final String OFFLINE = "CAPSULE_OFFLINE";

    /// What tells a program about language and time, and is nobody's secret.
    private static final List<String> PASSED_ON = List.of("TZ", "LANG", "LANGUAGE", "SHELL", "CAPSULE_ENCODING");

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

    /// @param version of Capsule
    /// @param python the interpreter's absolute path
    /// @param worker the program that it runs, in the directory of its modules
    /// @param engine what gives cells their meaning, one of [Argv#ENGINES]
    /// @param profile its name
    /// @param connectionFile has the key that speaks for the user
    record Settings(String version, Path python, Path worker, String engine, String profile, Confined confined,
            Network network, Snapshots snapshots, Path connectionFile,
            Map<String, String> environment) {
        Settings {
            environment = Map.copyOf(environment);
        }
    }

    private sealed interface Decision {
        record Unsandboxed(Launch launch) implements Decision {}

        record Sandboxed(Sandbox sandbox, Workspace workspace, Program program,
                Optional<WorkspaceWatch> watch) implements Decision {}

        /// @param why no worker may be started
        record Refused(String why) implements Decision {}
    }

    private final Settings settings;
    /// Tells this kernel from every other, and is had at once.
    private final String kernelId = ProcessHandle.current().pid() + " since " + Timestamp.of(Instant.now());
    private final Profile profile;
    private final Consumer<Event> audit;
    /// Made anew at most once, see [#doubt].
    private volatile CompletableFuture<Decision> decision = new CompletableFuture<>();
    /// By which the sandbox was decided on; empty when this kernel has tried it itself.
    private volatile Optional<ProbeRecord> trusted = Optional.empty();

    private WorkerPlan(Settings settings, Profile profile, Consumer<Event> audit) {
        this.settings = settings;
        this.profile = profile;
        this.audit = audit;
    }

    /// Begins to find out what this machine offers.
    static WorkerPlan of(Settings settings, Consumer<Event> audit) {
        Supplier<Decision> decide;
        WorkerPlan plan;
        try {
            plan = new WorkerPlan(settings, Profiles.file(settings.environment).map(Profiles::load)
                    .orElseGet(Profiles::builtIn).get(settings.profile).withNetwork(settings.network), audit);
            decide = plan::decide;
        } catch (PolicyException e) {
            plan = new WorkerPlan(settings, Profile.LOCKED, audit);
            decide = () -> new Decision.Refused(String.valueOf(e.getMessage()));
        }
        plan.decideBy(decide);
        return plan;
    }

    private void decideBy(Supplier<Decision> decide) {
        Thread.ofPlatform().name("probe").daemon().start(() -> {
            try {
                var decided = decide.get();
                audit.accept(started(decided));
                decision.complete(decided);
            } catch (RuntimeException | Error e) {
                decision.completeExceptionally(e);
            }
        });
    }

    private Event started(Decision decided) {
        return switch (decided) {
            case Decision.Unsandboxed _ -> new Event.KernelStarted(settings.version, profile.name(), Terms.NONE,
                    directory().toString());
            case Decision.Sandboxed(var sandbox, var workspace, _, _) -> new Event.KernelStarted(settings.version,
                    profile.name(), sandbox.tier().name(), switch (workspace) {
                        case Workspace.Directory(var path, _, _) -> path.toString();
                        case Workspace.Scratch(var why) -> "none: " + why;
                    });
            case Decision.Refused(var why) ->
                new Event.KernelStarted(settings.version, profile.name(), "refused: " + why,
                        directory().toString());
        };
    }

    /// What the cells may do and what of their outputs leaves.
    Profile profile() {
        return profile;
    }

    @Override
    public Launch next(int number) throws IOException {
        if (number > 1) {
            doubt();
        }
        return switch (decision.join()) {
            case Decision.Unsandboxed(var launch) -> {
                audit(number, launch, Terms.NONE);
                yield launch;
            }
            case Decision.Sandboxed(var sandbox, var workspace, var program, _) -> {
                var launch = sandbox.launch(profile, program, workspace);
                audit(number, launch, sandbox.tier().name());
                yield launch;
            }
            case Decision.Refused(var why) -> throw new IOException(why);
        };
    }

    /// What was known from earlier is good for the first worker. That there is to be another may come of its being wrong.
    private synchronized void doubt() {
        decision.join();
        trusted.ifPresent(record -> {
            record.discard();
            trusted = Optional.empty();
            decision = CompletableFuture.completedFuture(decide());
        });
    }

    @Override
    public boolean supervised() {
        return settings.snapshots == Snapshots.MADE;
    }

    private void audit(int number, Launch launch, String tier) throws IOException {
        int uid = launch.user() == Launch.KERNELS_OWN
                ? (Integer) Files.getAttribute(Path.of("/proc/self"), "unix:uid")
                : launch.user();
        audit.accept(new Event.WorkerSpawned(number, tier, profile.name(), arguments(launch), uid));
    }

    /// With those that bubblewrap reads from a file.
    private static List<String> arguments(Launch launch) {
        var arguments = new ArrayList<>(launch.command());
        new TreeMap<>(launch.descriptors()).values().forEach(source -> {
            if (source instanceof Launch.Source.Content(var bytes)) {
                arguments.add(new String(bytes, StandardCharsets.ISO_8859_1));
            }
        });
        return arguments;
    }

    /// What a person is told when a cell meets what the profile does not allow.
    Advice advice() {
        var kept = switch (settings.confined) {
            case Confined.Not() -> Advice.Kept.FREE;
            case Confined.Automatically _,Confined.By _ -> Advice.Kept.SANDBOXED;
        };
        return new Advice(profile, Profiles.file(settings.environment), kept, directory());
    }

    /// In a few words, for the kernel's banner.
    String describe() {
        return switch (decision.join()) {
            case Decision.Unsandboxed _ -> "NOT SANDBOXED: cells may do all that you may";
            case Decision.Sandboxed(var sandbox, var workspace, var program, _) -> String.join("; ", Stream.concat(
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
                        + "you may; \"capsule install\" installs one that is sandboxed");
            case Decision.Sandboxed(_, Workspace.Scratch(var why), _, _) when profile
                    .files() == Profile.Files.WORKSPACE ->
                List.of("cells see none of your files, and what they write is lost with the kernel: " + why);
            case Decision.Sandboxed _,Decision.Refused _ -> List.of();
        };
    }

    /// What a person should know of what the last cell has done.
    List<String> remarks() {
        if (decision.isDone() && decision.join() instanceof Decision.Sandboxed sandboxed
                && sandboxed.watch.isPresent()) {
            try {
                var names = sandboxed.watch.get().appeared();
                return names.isEmpty()
                        ? List.of()
                        : List.of(
                                "this cell has made %s in the notebook's directory: what you run there may execute it; "
                                        .formatted(String.join(", ", names)) + "look before you do, or delete it");
            } catch (IOException e) {
                LOG.log(Level.WARNING, () -> "the workspace cannot be looked at: " + e);
            }
        }
        return List.of();
    }

    /// Where the checkpoints of notebooks in this directory are. Cells that are given no files of it are given none of
    /// these either, but those that they have made themselves.
    Shelf shelf(Path root) {
        boolean shared = switch (decision.join()) {
            case Decision.Unsandboxed _ -> true;
            case Decision.Sandboxed(_, Workspace.Directory _, _, _) -> profile.files() == Profile.Files.WORKSPACE;
            case Decision.Sandboxed _,Decision.Refused _ -> false;
        };
        return new Shelf(root, directory(), shared ? directory().toString() : directory() + "\0" + kernelId);
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
        var environment = new HashMap<>(settings.environment);
        instruct(environment);
        return new Decision.Unsandboxed(Launch.unsandboxed(command(), setpriv, environment, directory()));
    }

    private Decision sandboxed(List<Tier> tiers) throws IOException {
        var workspace = Workspace.of(Path.of("."), home(), closed());
        var processes = new LocalProcesses();
        var record = record(workspace);
        var known = record.isPresent()
                ? Probe.recall(processes, tiers.getFirst(), workspace, record.get())
                : Optional.<Sandbox>empty();
        if (known.isPresent()) {
            trusted = record;
            return sandboxed(known.get(), workspace);
        }
        var result = Probe.run(processes, tiers, workspace, settings.connectionFile.toAbsolutePath());
        record.ifPresent(file -> file.keep(result));
        return switch (result) {
            case Probe.Result.Available(var sandbox, _) -> sandboxed(sandbox, workspace);
            case Probe.Result.Unavailable unavailable -> new Decision.Refused(unavailable.message());
        };
    }

    private Decision sandboxed(Sandbox sandbox, Workspace workspace) throws IOException {
        return new Decision.Sandboxed(sandbox, workspace, program(),
                workspace instanceof Workspace.Directory directory && profile.files() == Profile.Files.WORKSPACE
                        ? Optional.of(new WorkspaceWatch(directory))
                        : Optional.empty());
    }

    /// @return empty where none can be kept
    private Optional<ProbeRecord> record(Workspace workspace) {
        return UserDirectory.STATE.in(settings.environment).flatMap(directory -> {
            try {
                return Optional.of(ProbeRecord.of(directory.resolve(SANDBOX), settings.version + " " + settings.worker,
                        workspace));
            } catch (IOException e) {
                LOG.log(Level.DEBUG, () -> "sandboxes are tried at each start: " + e);
                return Optional.empty();
            }
        });
    }

    /// Adds what the worker's program is told.
    private void instruct(Map<String, String> environment) {
        environment.put(ENGINE, settings.engine);
        switch (profile.outputs().comms()) {
            case ALLOWED -> environment.put(COMMS, "allowed");
            case WITHHELD -> environment.remove(COMMS);
        }
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
        // With the directory that its package is found in.
        readOnly.add(settings.worker.toRealPath().resolve("../..").normalize());
        var environment = new HashMap<>(settings.environment);
        // The user's own may be anywhere.
        environment.put("SHELL", Files.isExecutable(BASH) ? BASH.toString() : "/bin/sh");
        environment.keySet().removeIf(name -> !PASSED_ON.contains(name) && !name.startsWith("LC_"));
        instruct(environment);
        if (profile.network() == Network.NONE) {
            environment.put(OFFLINE, "1");
            // It would try for half a minute.
            environment.put("PIP_RETRIES", "0");
        }
        if (profile.outputs().mimeTypes() instanceof Profile.MimeTypes.Only) {
            // Each output is in a frame of its own, and cannot use a script that another one has brought.
            environment.put("PLOTLY_RENDERER", "notebook_connected");
        }
        var userBase = Path
                .of(settings.environment.getOrDefault("PYTHONUSERBASE", home().resolve(".local").toString()));
        var userPackages = PythonFiles.userPackages(userBase);
        if (!userPackages.isEmpty()) {
            readOnly.addAll(userPackages);
            environment.put("PYTHONUSERBASE", userBase.toString());
        }
        return new Program(command(), readOnly, environment, supervised());
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
