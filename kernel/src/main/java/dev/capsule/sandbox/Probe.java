package dev.capsule.sandbox;

import dev.capsule.policy.Profile;
import dev.capsule.sandbox.Staging.Owners;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/// Finds the best sandbox that this machine offers, by starting one of each kind until one holds. A sandbox holds when a
/// few escapes that are easy to try fail in it.
public final class Probe {

    /// What was found.
    public sealed interface Result {
        /// Why each kind that is better than what was found is not available.
        List<Refusal> refused();

        /// @param sandbox the best kind that holds
        record Available(Sandbox sandbox, List<Refusal> refused) implements Result {
            public Available {
                refused = List.copyOf(refused);
            }
        }

        /// No worker may be started, unless the user has asked for none of it when the kernel was launched.
        record Unavailable(List<Refusal> refused) implements Result {
            public Unavailable {
                refused = List.copyOf(refused);
            }

            /// What each cell fails with.
            public String message() {
                return "no sandbox can be made on this machine\n"
                        + refused.stream().map(Refusal::toString).collect(Collectors.joining("\n"));
            }
        }
    }

    /// @param reason what is missing, or what the system said
    /// @param fix what to do, as exactly as the reason is known
    public record Refusal(Tier tier, String reason, String fix) {
        @Override
        public String toString() {
            return "%s is not available: %s; fix: %s".formatted(tier, reason, fix);
        }
    }

    /// A check that takes longer is stuck.
    private static final Duration PATIENCE = Duration.ofSeconds(20);
    private static final int OUTPUT_LINES = 3;
    private static final String INSTALL = "apt-get install bubblewrap util-linux";
    private static final String RECENT_LANDLOCK = "a kernel of Linux 6.12 or later with \"landlock\" in its parameter lsm=; in "
            + "a container, a seccomp profile that allows landlock_create_ruleset";

    private static final String RIGHTS_FIELD = "CapEff:";
    private static final long CAP_KILL = 1 << 5;
    /// What is said where root lacks the rights to run something as another user.
    private static final Pattern NO_RIGHTS = Pattern.compile("^(fchown|setpriv)\\b");
    private static final String RIGHTS = "run Jupyter as an ordinary user, or root with the rights that containers have by "
            + "default and with more than one user: --cap-add CHOWN --cap-add DAC_OVERRIDE --cap-add KILL --cap-add SETGID "
            + "--cap-add SETPCAP --cap-add SETUID (Docker), or these in securityContext.capabilities.add (Kubernetes)";

    /// What bubblewrap says, and what helps. The first that is found counts.
    private static final Map<Pattern, String> FIXES = fixes();

    private static Map<Pattern, String> fixes() {
        var fixes = new LinkedHashMap<Pattern, String>();
        fixes.put(Pattern.compile("Unknown option"), "bubblewrap 0.8 or later");
        fixes.put(Pattern.compile("setting up uid map: Permission denied|Failed RTM_NEWADDR"),
                "AppArmor keeps user namespaces from bubblewrap (Ubuntu 24.04 and later): apt-get install "
                        + "apparmor-profiles && ln -s /usr/share/apparmor/extra-profiles/bwrap-userns-restrict "
                        + "/etc/apparmor.d/ && systemctl reload apparmor");
        fixes.put(Pattern.compile("Can't mount proc"),
                "the container hides parts of /proc: start it with --security-opt systempaths=unconfined (Docker) or "
                        + "procMount: Unmasked (Kubernetes)");
        fixes.put(Pattern.compile("CLONE_NEWNS"),
                "run Jupyter as an ordinary user, or start the container with --cap-add SYS_ADMIN");
        fixes.put(Pattern.compile("ENOSPC|nesting depth"), "sysctl -w user.max_user_namespaces=15000");
        fixes.put(Pattern.compile("namespace"),
                "allow user namespaces: sysctl -w kernel.unprivileged_userns_clone=1 where that exists; in a container, a "
                        + "seccomp profile that allows unshare, clone and mount (Docker: --security-opt seccomp=unconfined)");
        return fixes;
    }

    /// Tries what must fail, naming what did not. The file systems are only opened, not written. (`true` because a
    /// redirection that fails would end the shell with `:`.)
    private static final String SELF_CHECK = """
            for file in /proc/sys/kernel/core_pattern /usr/bin/env; do
                if { true >>"$file"; } 2>/dev/null; then echo "$file can be written"; fi
            done
            for file in /etc/shadow "$1"; do
                if { true <"$file"; } 2>/dev/null; then echo "$file can be read"; fi
            done
            if /usr/bin/unshare --user true 2>/dev/null; then echo "namespaces can be made"; fi
            if { true >made && chmod 4700 made && [ -u made ]; } 2>/dev/null; then echo "files can be made set-uid"; fi
            echo end
            """;
    private static final String END = "end\n";

    private final Processes processes;
    private final Path secret;
    private final List<Refusal> refused = new ArrayList<>();

    private Probe(Processes processes, Path secret) {
        this.processes = processes;
        this.secret = secret;
    }

    /// Starts one sandbox of each kind until one holds. Takes some 20 ms where the best does.
    ///
    /// @param tiers those that are tried, in their order
    /// @param workspace the workers' directory: root has to find out whether its owner can be mapped
    /// @param secret a file of the user's that no worker may read
    public static Result run(Processes processes, List<Tier> tiers, Workspace workspace, Path secret)
            throws IOException {
        var probe = new Probe(processes, secret);
        for (var tier : tiers) {
            var sandbox = switch (tier) {
                case L1, L2 -> probe.namespaces(tier, workspace);
                case L3 -> probe.fence();
            };
            if (sandbox.isPresent()) {
                return new Result.Available(sandbox.get(), probe.refused);
            }
        }
        return new Result.Unavailable(probe.refused);
    }

    /// The best of the kinds without trying it, where an earlier probe has found that it holds.
    ///
    /// @return empty when it has to be tried
    public static Optional<Sandbox> recall(Processes processes, Tier best, Workspace workspace, ProbeRecord record)
            throws IOException {
        var found = record.read(best);
        var arch = Seccomp.Arch.of(System.getProperty("os.arch"));
        var tools = tools();
        if (found.isEmpty() || arch.isEmpty() || tools.isEmpty()) {
            return Optional.empty();
        }
        var identity = identities(processes, workspace).getFirst();
        var sandbox = new Sandbox.Namespaces(best, arch.get(),
                tools.get().bindingDescriptors(found.get().bindsDescriptors()), HostFiles.of(Path.of("/")), identity);
        if (sandbox.mapsOwners() != found.get().mapsOwners()) {
            sandbox.close();
            return Optional.empty();
        }
        return Optional.of(sandbox);
    }

    private static int user() throws IOException {
        return (Integer) Files.getAttribute(Path.of("/proc/self"), "unix:uid");
    }

    /// The same with a file of its own for a secret, which stays behind when this process is killed meanwhile.
    ///
    /// @throws IOException if there is no room for a temporary file
    public static Result run(Processes processes, List<Tier> tiers, Workspace workspace) throws IOException {
        var canary = Files.createTempFile("capsule-canary-", "");
        try {
            return run(processes, tiers, workspace, canary);
        } finally {
            Files.delete(canary);
        }
    }

    private Optional<Sandbox> namespaces(Tier tier, Workspace workspace) throws IOException {
        var arch = Seccomp.Arch.of(System.getProperty("os.arch"));
        var tools = tools();
        if (arch.isEmpty()) {
            return refuseArchitecture(tier);
        }
        if (tools.isEmpty()) {
            return refuse(tier, missing(Bubblewrap.Tools.NAMES), INSTALL);
        }
        var host = HostFiles.of(Path.of("/"));
        String said = "";
        for (var identity : identities(processes, workspace)) {
            // Older versions, and some builds of newer ones, cannot mount descriptors.
            for (boolean bindsDescriptors : List.of(true, false)) {
                var sandbox = new Sandbox.Namespaces(tier, arch.get(),
                        tools.get().bindingDescriptors(bindsDescriptors), host, identity);
                var answer = check(sandbox, workspace);
                if (answer.isEmpty()) {
                    return Optional.of(sandbox);
                }
                said = answer.get();
                if (!said.contains("Unknown option --bind-fd")) {
                    sandbox.close();
                    break;
                }
            }
        }
        return refuse(tier, said, fix(said));
    }

    private static Optional<Bubblewrap.Tools> tools() {
        var found = Bubblewrap.Tools.NAMES.stream().map(HostFiles::program).flatMap(Optional::stream).toList();
        return found.size() == Bubblewrap.Tools.NAMES.size()
                ? Optional.of(new Bubblewrap.Tools(found.get(0), found.get(1), found.get(2), found.get(3), true))
                : Optional.empty();
    }

    /// As whom a worker could run, the better first.
    private static List<Identity> identities(Processes processes, Workspace workspace) throws IOException {
        if (user() != 0) {
            return List.of(new Identity.KernelsOwn());
        }
        int uid = dedicatedUid();
        var identities = new ArrayList<Identity>();
        if (workspace instanceof Workspace.Directory(_, Path path, _)) {
            try {
                // For the first %d, Java loads what it knows of languages, while the kernel starts.
                identities.add(new Identity.Dedicated(uid, new Owners.Mapped(processes.userNamespace(
                        "%s %s 1".formatted((Integer) Files.getAttribute(path, "unix:uid"), uid),
                        "%s %s 1".formatted((Integer) Files.getAttribute(path, "unix:gid"), uid)))));
            } catch (IOException e) {
                // Without one, the owner cannot be mapped; what else depends on it, the check will tell.
            }
        }
        identities.add(new Identity.Dedicated(uid, new Owners.Unchanged()));
        return identities;
    }

    private static int dedicatedUid() throws IOException {
        return dedicatedUid(0);
    }

    /// @param turn as [Identity#dedicatedUid] has it
    static int dedicatedUid(int turn) throws IOException {
        return Identity.dedicatedUid(ProcessHandle.current().pid(), turn,
                Files.readAllLines(Path.of("/proc/self/uid_map")));
    }

    private Optional<Sandbox> fence() throws IOException {
        var arch = Seccomp.Arch.of(System.getProperty("os.arch"));
        var prlimit = HostFiles.program("prlimit");
        var setpriv = HostFiles.program("setpriv");
        if (arch.isEmpty()) {
            return refuseArchitecture(Tier.L3);
        }
        if (prlimit.isEmpty() || setpriv.isEmpty()) {
            return refuse(Tier.L3, missing(List.of("prlimit", "setpriv")),
                    "apt-get install util-linux");
        }
        try {
            Landlock.require();
        } catch (SandboxException e) {
            return refuse(Tier.L3, String.valueOf(e.getMessage()), RECENT_LANDLOCK);
        }
        if (user() == 0 && !mayKill()) {
            return refuse(Tier.L3, "root may not end processes of another user here (CAP_KILL), as a worker's are",
                    RIGHTS);
        }
        var identity = user() == 0
                ? new Identity.Dedicated(dedicatedUid(), new Owners.Unchanged())
                : new Identity.KernelsOwn();
        var sandbox = new Sandbox.Fenced(arch.get(), new Fence.Tools(prlimit.get(), setpriv.get()),
                HostFiles.of(Path.of("/")), identity, Path.of(System.getProperty("java.io.tmpdir")));
        var answer = check(sandbox, new Workspace.Scratch("nothing is needed for a check"));
        if (answer.isEmpty()) {
            return Optional.of(sandbox);
        }
        return refuse(Tier.L3, answer.get(), fenceFix(answer.get()));
    }

    private static boolean mayKill() throws IOException {
        return Files.readAllLines(Path.of("/proc/self/status")).stream().filter(line -> line.startsWith(RIGHTS_FIELD))
                .anyMatch(line -> (Long.parseUnsignedLong(line.substring(RIGHTS_FIELD.length()).strip(), 16)
                        & CAP_KILL) != 0);
    }

    /// @return what is wrong; empty when the sandbox holds
    private Optional<String> check(Sandbox sandbox, Workspace workspace) {
        var program = new Program(List.of("/bin/sh", "-c", "cd \"$TMPDIR\" && " + SELF_CHECK, "sh", secret.toString()),
                List.of(), Map.of(), false);
        try {
            var ended = processes.run(sandbox.launch(Profile.DEFAULT, program, workspace), PATIENCE);
            if (ended.exitValue() != 0) {
                return Optional.of(ended.output().strip().lines().limit(OUTPUT_LINES).collect(Collectors.joining("; "))
                        + " (exit status " + ended.exitValue() + ")");
            }
            return ended.output().equals(END)
                    ? Optional.empty()
                    : Optional.of("it does not hold: " + ended.output().strip().replace("\n", ", "));
        } catch (IOException e) {
            return Optional.of(String.valueOf(e.getMessage()));
        }
    }

    private Optional<Sandbox> refuse(Tier tier, String reason, String fix) {
        refused.add(new Refusal(tier, reason, fix));
        return Optional.empty();
    }

    private Optional<Sandbox> refuseArchitecture(Tier tier) {
        return refuse(tier, "there is no filter of system calls for " + System.getProperty("os.arch"),
                "a machine with an x86-64 or 64-bit ARM processor");
    }

    private static String missing(List<String> programs) {
        return programs.stream().filter(program -> HostFiles.program(program).isEmpty()).sorted()
                .collect(Collectors.joining(", ")) + " not found in /usr/bin or /bin";
    }

    static String fenceFix(String said) {
        return NO_RIGHTS.matcher(said).find() ? RIGHTS : RECENT_LANDLOCK;
    }

    static String fix(String said) {
        return FIXES.entrySet().stream().filter(fix -> fix.getKey().matcher(said).find()).map(Map.Entry::getValue)
                .findFirst().orElse("run bwrap --unshare-user --ro-bind / / true to see what it lacks");
    }
}
