package dev.capsule.worker;

import dev.capsule.log.Logs;
import dev.capsule.policy.Profile.Limits;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;

/// The control group of one worker: the system counts the memory of all its processes together and their number, and
/// keeps both within the limits. Version 2 where part of its hierarchy was handed to this user, version 1 where this
/// process is root's. Groups are made below the kernel's own, so that what limits the kernel limits its workers, too.
final class Cgroup {
    private static final Logger LOG = Logs.of(Cgroup.class);

    /// The kernel's process, by which those that are left of a dead one are known, and a count.
    private static final Pattern NAME = Pattern.compile("capsule-(\\d+)-\\d+");
    private static final String PROCESSES = "cgroup.procs";
    /// The C library's words for ESRCH, in the locale that Java has its own in.
    private static final String NO_PROCESS = "No such process";

    /// Ending all that is in a group takes one round, or two when something was being started; never this many.
    private static final int ROUNDS = 100;

    /// Where groups can be made.
    ///
    /// @param parents by controller; always those of `memory` and `pids`, perhaps `cpu`
    record Place(Version version, Map<String, Path> parents) {
        enum Version {
            ONE, TWO
        }

        Place {
            parents = Map.copyOf(parents);
        }

        String describe() {
            return "control groups, version %s, below %s".formatted(version == Version.ONE ? "1" : "2",
                    parents.get("memory"));
        }

        private Set<Path> directories() {
            return new LinkedHashSet<>(parents.values());
        }
    }

    private final Place place;
    private final String name;

    private Cgroup(Place place, String name) {
        this.place = place;
        this.name = name;
    }

    /// Finds out by making a group where groups can be made; removes what dead kernels have left there.
    ///
    /// @param groups `/proc/self/cgroup`
    /// @param mounts `/proc/self/mountinfo`
    static Optional<Place> find(Path groups, Path mounts) {
        try {
            var own = own(Files.readAllLines(groups), Files.readAllLines(mounts));
            for (var candidate : candidates(own)) {
                if (holds(candidate)) {
                    candidate.directories().forEach(Cgroup::sweep);
                    return Optional.of(candidate);
                }
            }
        } catch (IOException e) {
            LOG.log(Level.DEBUG, () -> "no control groups: " + e);
        }
        return Optional.empty();
    }

    /// @return this process' own directory in the hierarchy of each controller; that of version 2 under no name
    static Map<String, Path> own(List<String> groups, List<String> mounts) {
        var own = new LinkedHashMap<String, Path>();
        for (String line : groups) {
            // number:controllers:path
            String[] group = line.split(":", 3);
            for (String controller : group[1].split(",", -1)) {
                for (String mount : mounts) {
                    directory(controller, group[2], mount).ifPresent(path -> own.put(controller, path));
                }
            }
        }
        return own;
    }

    private static Optional<Path> directory(String controller, String group, String mount) {
        // … root mount-point … - type source options
        String[] halves = mount.split(" - ", 2);
        String[] left = halves[0].split(" ", -1);
        String[] right = halves[1].split(" ", -1);
        boolean matches = controller.isEmpty()
                ? right[0].equals("cgroup2")
                : right[0].equals("cgroup") && List.of(right[2].split(",")).contains(controller);
        if (!matches) {
            return Optional.empty();
        }
        // A container may see only a part of the hierarchy.
        String below = left[3].equals("/") ? group : group.startsWith(left[3]) ? group.substring(left[3].length()) : "";
        return Optional.of(Path.of(left[4], below));
    }

    private static List<Place> candidates(Map<String, Path> own) {
        var candidates = new ArrayList<Place>();
        Path unified = own.get("");
        if (unified != null) {
            candidates.add(unified(unified));
            // Where the kernel is in a leaf of what was handed over, as the rule against processes in inner groups wants.
            candidates.add(unified(unified.resolveSibling("")));
        }
        if (own.containsKey("memory") && own.containsKey("pids")) {
            var parents = new LinkedHashMap<>(own);
            parents.keySet().retainAll(List.of("memory", "pids", "cpu"));
            candidates.add(new Place(Place.Version.ONE, parents));
        }
        return candidates;
    }

    private static Place unified(Path directory) {
        return new Place(Place.Version.TWO, Map.of("memory", directory, "pids", directory, "cpu", directory));
    }

    private static boolean holds(Place place) {
        if (place.version() == Place.Version.TWO && !enables(place.parents().getOrDefault("memory", Path.of("/")))) {
            return false;
        }
        var group = new Cgroup(place, name(0));
        try {
            group.make();
            return Files.isWritable(group.file("memory", group.memoryFile()))
                    && Files.isWritable(group.file("pids", "pids.max"));
        } catch (IOException e) {
            LOG.log(Level.DEBUG, () -> "no control group can be made: " + e);
            return false;
        } finally {
            group.directories().forEach(Cgroup::removeEmpty);
        }
    }

    private static boolean enables(Path directory) {
        var control = directory.resolve("cgroup.subtree_control");
        try {
            if (!Files.isWritable(directory) || !Files.isWritable(directory.resolve(PROCESSES))) {
                return false;
            }
            if (!Files.readString(control).matches("(?s).*\\bmemory\\b.*\\bpids\\b.*")) {
                Files.writeString(control, "+memory +pids");
            }
            return true;
        } catch (IOException e) {
            return false;
        }
    }

    private static String name(int number) {
        return "capsule-%s-%s".formatted(ProcessHandle.current().pid(), number);
    }

    /// Makes a group for a worker.
    ///
    /// @param number tells this kernel's groups apart; from 1 on
    /// @param overhead how many processes there are beside those that are limited
    static Cgroup make(Place place, int number, Limits limits, int overhead) throws IOException {
        var group = new Cgroup(place, name(number));
        try {
            group.make();
            Files.writeString(group.file("memory", group.memoryFile()), Long.toString(limits.memoryBytes()));
            Files.writeString(group.file("pids", "pids.max"), Integer.toString(limits.processes() + overhead));
            group.limitSwap(limits.memoryBytes());
        } catch (IOException e) {
            group.directories().forEach(Cgroup::removeEmpty);
            throw e;
        }
        return group;
    }

    private void make() throws IOException {
        for (Path directory : directories()) {
            Files.createDirectory(directory);
        }
    }

    private void limitSwap(long memoryBytes) throws IOException {
        // Of memory and swap together in version 1; neither is there when the system does not count swap.
        var file = place.version() == Place.Version.ONE
                ? file("memory", "memory.memsw.limit_in_bytes")
                : file("memory", "memory.swap.max");
        if (Files.exists(file)) {
            Files.writeString(file, Long.toString(place.version() == Place.Version.ONE ? memoryBytes : 0));
        }
    }

    private String memoryFile() {
        return place.version() == Place.Version.ONE ? "memory.limit_in_bytes" : "memory.max";
    }

    /// Its directories; in version 1 one in the hierarchy of each controller.
    List<Path> directories() {
        return place.directories().stream().map(parent -> parent.resolve(name)).toList();
    }

    private Path file(String controller, String file) {
        return place.parents().getOrDefault(controller, Path.of("/")).resolve(name).resolve(file);
    }

    /// Moves a process, with all of its threads, into the group. What it starts from then on is in it, too.
    ///
    /// @return false when there is no such process any more
    boolean add(long pid) throws IOException {
        try {
            for (Path directory : directories()) {
                Files.writeString(directory.resolve(PROCESSES), Long.toString(pid));
            }
            return true;
        } catch (IOException e) {
            if (String.valueOf(e.getMessage()).endsWith(NO_PROCESS)) {
                return false;
            }
            throw e;
        }
    }

    /// Adds a process and what it has started. First the parent: what it starts afterwards is in the group by itself, what
    /// it has started before is found.
    void addTree(long pid) throws IOException {
        if (!add(pid)) {
            return;
        }
        for (long started : ProcessTree.below(ProcessTree.children(pid)).keySet()) {
            if (!processes().contains(started)) {
                addTree(started);
            }
        }
    }

    Set<Long> processes() throws IOException {
        var pids = new LinkedHashSet<Long>();
        for (String line : Files.readAllLines(file("pids", PROCESSES))) {
            pids.add(Long.valueOf(line));
        }
        return pids;
    }

    /// How many processes and threads are in it.
    int tasks() throws IOException {
        return Integer.parseInt(Files.readString(file("pids", "pids.current")).strip());
    }

    /// How many processes the system has ended because the group was out of memory.
    long killsForMemory() throws IOException {
        var file = place.version() == Place.Version.ONE
                ? file("memory", "memory.oom_control")
                : file("memory", "memory.events");
        for (String line : Files.readAllLines(file)) {
            if (line.startsWith("oom_kill ")) {
                return Long.parseLong(line.substring("oom_kill ".length()).strip());
            }
        }
        return 0;
    }

    /// What its processes have in memory that is of no file.
    long anonymousBytes() throws IOException {
        String field = place.version() == Place.Version.ONE ? "rss " : "anon ";
        for (String line : Files.readAllLines(file("memory", "memory.stat"))) {
            if (line.startsWith(field)) {
                return Long.parseLong(line.substring(field.length()).strip());
            }
        }
        return 0;
    }

    /// Ends whatever is in the group, and removes it.
    void close() {
        try {
            Files.writeString(file("pids", "pids.max"), "0");
            for (int i = 0; i < ROUNDS && end(processes()); i++) {
            }
        } catch (IOException e) {
            LOG.log(Level.WARNING, () -> "control group " + name + ": " + e);
        }
        directories().forEach(Cgroup::removeEmpty);
    }

    private static boolean end(Set<Long> pids) throws IOException {
        pids.forEach(pid -> Posix.kill(pid, Posix.SIGKILL));
        for (long pid : pids) {
            int process = Posix.openProcess(pid);
            if (process >= 0) {
                var poll = new Posix.PollSet(1);
                poll.set(0, process, Posix.POLLIN);
                poll.await(-1);
                Posix.close(process);
            }
        }
        return !pids.isEmpty();
    }

    private static void removeEmpty(Path directory) {
        try {
            Files.deleteIfExists(directory);
        } catch (DirectoryNotEmptyException e) {
            LOG.log(Level.WARNING, () -> "control group " + directory + " is left behind: something is in it");
        } catch (IOException e) {
            LOG.log(Level.WARNING, () -> "control group " + directory + " is left behind: " + e);
        }
    }

    /// What a kernel and its guardian have left that were both killed. Nothing is ended: a process id may be another's by
    /// now, or of another container.
    private static void sweep(Path parent) {
        try (var entries = Files.newDirectoryStream(parent, "capsule-*")) {
            for (Path entry : entries) {
                var matcher = NAME.matcher(entry.getFileName().toString());
                if (matcher.matches() && !Files.exists(Path.of("/proc", matcher.group(1)))) {
                    Files.delete(entry);
                }
            }
        } catch (NoSuchFileException e) {
            // Another kernel was faster.
        } catch (FileSystemException e) {
            LOG.log(Level.DEBUG, () -> "not removed: " + e);
        } catch (IOException e) {
            LOG.log(Level.WARNING, () -> "control groups of dead kernels: " + e);
        }
    }
}
