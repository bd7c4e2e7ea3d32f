package dev.capsule.cli;

import dev.capsule.audit.Audit;
import dev.capsule.audit.Event;
import dev.capsule.channel.ChannelException;
import dev.capsule.checkpoint.CheckpointException;
import dev.capsule.checkpoint.Shelf;
import dev.capsule.jupyter.ConnectionInfo;
import dev.capsule.jupyter.WireException;
import dev.capsule.kernel.History;
import dev.capsule.kernel.Kernel;
import dev.capsule.log.Logs;
import dev.capsule.policy.Profile;
import dev.capsule.policy.UserDirectory;
import dev.capsule.session.Session;
import dev.capsule.worker.Interpreter;
import dev.capsule.worker.ProcessWatch;
import dev.capsule.worker.WorkerProcess;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/// `capsule kernel -f FILE …`: what Jupyter starts. Builds every object by hand.
final class KernelCommand {
    private static final Logger LOG = Logs.of(KernelCommand.class);
    private static final String USAGE = "usage: capsule kernel -f CONNECTION_FILE [--python PATH]"
            + " [--engine auto|ipython|plain] [--history FILE] [--profile NAME] [--sandbox auto|L1|L2|L3|none]"
            + " [--network none|host] [--snapshots on|off] [--debugger on|off]"
            + " [--restore NAME|FILE] [--checkpoint-on-shutdown NAME]";
    /// Of `install` alone, as is [Argv#PYTHON_VERSION], so not in the usage.
    static final String REHEARSE = "--rehearse";
    private static final List<String> OPTIONS = List.of("-f", "--python", Argv.PYTHON_VERSION, "--engine", "--history",
            "--profile",
            "--sandbox", "--network", "--snapshots", Argv.DEBUGGER, Argv.RESTORE, Argv.CHECKPOINT_ON_SHUTDOWN,
            REHEARSE);
    /// Below the user's data directory.
    static final String CHECKPOINTS = "checkpoints";

    private static final Pattern VERSION_IN_NAME = Pattern.compile("(?:python|/)(3\\.\\d+(?:\\.\\d+)?)(?:/|$)");

    private KernelCommand() {}

    /// What a person can do about it is in the message.
    private static final class RefusedException extends RuntimeException {
        private static final long serialVersionUID = 1L;

        RefusedException(String message) {
            super(message);
        }
    }

    /// @param args with `kernel` first
    /// @return the exit code, when the kernel has ended
    static int run(List<String> args) {
        try {
            // Beside all that comes before the first worker.
            Thread.ofPlatform().name("prepare").daemon().start(WorkerProcess::prepare);
            serve(options(args.subList(1, args.size())));
            return 0;
        } catch (RefusedException | WireException | ChannelException e) {
            System.err.println("capsule: " + e.getMessage());
            return 1;
        } catch (IOException e) {
            System.err.println("capsule: the kernel cannot be started: " + e);
            return 1;
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    private static Map<String, String> options(List<String> args) {
        var options = new HashMap<String, String>();
        for (int i = 0; i < args.size(); i += 2) {
            String name = args.get(i).equals("--connection-file") ? "-f" : args.get(i);
            if (!OPTIONS.contains(name) || i + 1 == args.size()) {
                throw new RefusedException((i + 1 == args.size() ? name + " has no value" : name + " is not an option")
                        + "\n" + USAGE);
            }
            options.put(name, args.get(i + 1));
        }
        if (!Argv.ENGINES.contains(options.getOrDefault("--engine", Terms.AUTO))) {
            throw new RefusedException("there is no engine " + options.get("--engine") + "\n" + USAGE);
        }
        if (options.containsKey(Argv.CHECKPOINT_ON_SHUTDOWN)) {
            checkName(options.getOrDefault(Argv.CHECKPOINT_ON_SHUTDOWN, ""));
        }
        if (!options.containsKey("-f")) {
            throw new RefusedException("no connection file is given\n" + USAGE);
        }
        return options;
    }

    private static void checkName(String name) {
        try {
            Shelf.checked(name);
        } catch (CheckpointException e) {
            throw new RefusedException("--checkpoint-on-shutdown: " + e.getMessage());
        }
    }

    private static Optional<Shelf> shelf(Map<String, String> environment, WorkerPlan plan) {
        return UserDirectory.DATA.in(environment).map(data -> plan.shelf(data.resolve(CHECKPOINTS)));
    }

    private static void serve(Map<String, String> options) throws IOException, InterruptedException {
        var environment = System.getenv();
        Path python = python(options.get("--python"), environment);
        var clock = new Clock();
        var connectionFile = Path.of(options.getOrDefault("-f", ""));
        var audit = Audit.file(environment).map(Audit::new);
        Consumer<Event> record = event -> audit.ifPresent(log -> log.record(event));
        var terms = terms(options, record);
        var plan = WorkerPlan.of(new WorkerPlan.Settings(version(), python, worker(),
                options.getOrDefault("--engine", Terms.AUTO), terms.profile(), confined(terms.sandbox()),
                network(terms.network()), snapshots(options.getOrDefault("--snapshots", "on")), connectionFile,
                environment), record);
        var session = new Session(plan, plan.profile(), plan.advice(), plan::remarks, record,
                () -> shelf(environment, plan), "capsule " + version(), clock);
        var connection = ConnectionInfo.read(connectionFile);
        Optional.ofNullable(options.get(Argv.CHECKPOINT_ON_SHUTDOWN)).ifPresent(session::keepOnShutdown);
        // Beside what follows, for which clients wait.
        Optional.ofNullable(options.get(Argv.RESTORE)).ifPresentOrElse(session::startFrom,
                () -> Thread.ofPlatform().name("start").daemon().start(session::start));
        useInstalledLibrary();
        var history = new History(historyFile(options.get("--history"), environment));
        Kernel kernel;
        try {
            kernel = new Kernel(connection, session, history,
                    new Kernel.Identity(version(),
                            languageVersion(python, options.getOrDefault(Argv.PYTHON_VERSION, "")), plan::describe,
                            plan::warnings,
                            features(options.getOrDefault(Argv.DEBUGGER, "off"))),
                    System.getProperty("user.name"), clock);
        } catch (WireException | ChannelException e) {
            session.close();
            throw e;
        }
        Runtime.getRuntime().addShutdownHook(Thread.ofPlatform().name("end").unstarted(() -> {
            end(kernel);
            audit.ifPresent(Audit::close);
        }));
        if (options.containsKey(REHEARSE)) {
            Rehearsal.play(connection);
        }
        try (var _ = watchParent(environment.get("JPY_PARENT_PID"), kernel)) {
            kernel.awaitEnd();
        }
        audit.ifPresent(Audit::close);
    }

    private static Terms terms(Map<String, String> options, Consumer<Event> record) {
        var terms = new Terms(options.getOrDefault("--profile", Terms.DEFAULT.profile()),
                options.getOrDefault("--sandbox", Terms.DEFAULT.sandbox()),
                options.getOrDefault("--network", Terms.DEFAULT.network()));
        if (!terms.isSandboxed()) {
            record.accept(new Event.Overridden("--sandbox", terms.sandbox()));
        }
        if (!terms.network().equals(Terms.DEFAULT.network())) {
            record.accept(new Event.Overridden("--network", terms.network()));
        }
        return terms;
    }

    /// On SIGTERM the worker must be gone before this process is.
    private static void end(Kernel kernel) {
        kernel.shutdown();
        try {
            kernel.awaitEnd();
        } catch (InterruptedException e) {
            LOG.log(Level.WARNING, "interrupted while shutting down");
        }
    }

    private static AutoCloseableWatch watchParent(@Nullable String pid, Kernel kernel) throws IOException {
        if (pid == null || !pid.matches("[1-9]\\d{0,9}")) {
            return () -> {};
        }
        var watch = ProcessWatch.start(Long.parseLong(pid), () -> {
            LOG.log(Level.INFO, () -> "the parent, process " + pid + ", is gone");
            kernel.shutdown();
        });
        return watch::close;
    }

    private interface AutoCloseableWatch extends AutoCloseable {
        @Override
        void close();
    }

    /// @param given by `install`, which has probed it, or by a person
    private static Path python(@Nullable String given, Map<String, String> environment) {
        if (given != null && given.startsWith("/")) {
            Interpreter.objection(Path.of(given)).ifPresent(why -> {
                throw new RefusedException(why);
            });
            return Path.of(given);
        }
        return switch (Interpreter.choose(given, environment)) {
            case Interpreter.Choice.Found(var python, var reason) -> {
                LOG.log(Level.INFO, () -> "using " + python.path() + " because of " + reason);
                yield python.path();
            }
            case Interpreter.Choice.Refused(var message) -> throw new RefusedException(message);
        };
    }

    private static WorkerPlan.Confined confined(String name) {
        return WorkerPlan.Confined.of(name).orElseThrow(() -> new RefusedException(
                "--sandbox " + name + " is not one of auto, L1, L2, L3, none\n" + USAGE));
    }

    private static Profile.Network network(String name) {
        return switch (name) {
            case "none" -> Profile.Network.NONE;
            case "host" -> Profile.Network.HOST;
            default -> throw new RefusedException("--network " + name + " is neither none nor host\n" + USAGE);
        };
    }

    private static WorkerPlan.Snapshots snapshots(String name) {
        return switch (name) {
            case "on" -> WorkerPlan.Snapshots.MADE;
            case "off" -> WorkerPlan.Snapshots.NONE;
            default -> throw new RefusedException("--snapshots " + name + " is neither on nor off\n" + USAGE);
        };
    }

    /// @param debugger whether the Python has debugpy, as `install` has found
    private static List<String> features(String debugger) {
        return switch (debugger) {
            case "on" -> List.of("kernel subshells", "debugger");
            case "off" -> List.of("kernel subshells");
            default -> throw new RefusedException("--debugger " + debugger + " is neither on nor off\n" + USAGE);
        };
    }

    private static Path jar() {
        try {
            return Path.of(KernelCommand.class.getProtectionDomain().getCodeSource().getLocation().toURI());
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }

    /// SQLite's library would be written to `/tmp` by each kernel, and stay there when that is killed.
    private static void useInstalledLibrary() {
        var directory = jar().resolveSibling("");
        if (Files.isRegularFile(directory.resolve(Program.SQLITE))) {
            System.setProperty("org.sqlite.lib.path", directory.toString());
        }
    }

    /// The worker's program: beside the jar where it is installed, in the source tree where it is built.
    private static Path worker() {
        Path jar = jar();
        for (Path home : List.of(jar.resolveSibling(""), jar.resolve("../../.."))) {
            Path program = home.resolve("worker/python/capsule_worker/__main__.py").normalize();
            if (Files.isRegularFile(program)) {
                return program;
            }
        }
        throw new RefusedException(
                "the worker's files are not beside " + jar + "; install again with: capsule install --replace");
    }

    private static Optional<Path> historyFile(@Nullable String given, Map<String, String> environment) {
        if (given != null) {
            return Optional.of(Path.of(given));
        }
        return UserDirectory.DATA.in(environment).map(directory -> directory.resolve("history.sqlite"));
    }

    private static String version() {
        return Optional.ofNullable(KernelCommand.class.getPackage().getImplementationVersion()).orElse("development");
    }

    /// What was found when the kernel was installed, unless the path of the interpreter says by now that it is another.
    /// To ask it would take as long as starting it.
    private static String languageVersion(Path python, String installed) throws IOException {
        Matcher matcher = VERSION_IN_NAME.matcher(python.toRealPath().toString());
        String named = matcher.find() ? matcher.group(1) : "3";
        return installed.startsWith(named + ".") ? installed : named;
    }

    /// One thread for all that is due later; it says when one of its tasks fails.
    private static final class Clock extends ScheduledThreadPoolExecutor {
        Clock() {
            super(1, Thread.ofPlatform().name("clock").daemon().factory());
            setRemoveOnCancelPolicy(true);
        }

        @Override
        protected void afterExecute(Runnable task, @Nullable Throwable thrown) {
            if (task instanceof Future<?> future
                    && future.state() == Future.State.FAILED) {
                LOG.log(Level.ERROR, "task of the clock", future.exceptionNow());
            }
        }
    }
}
