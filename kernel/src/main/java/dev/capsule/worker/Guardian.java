package dev.capsule.worker;

import dev.capsule.log.Logs;
import dev.capsule.sandbox.Launch;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeSet;
import java.util.stream.Collectors;

/// A small process that outlives the kernel by a moment: when the kernel is killed, it kills the sessions of the workers
/// without a sandbox, whose processes would otherwise go on, and removes the control groups of the others, which would
/// otherwise stay. It learns of the kernel's end by the end of its input. (What is in a sandbox ends with that, see
/// [Keeper].)
final class Guardian {
    private static final Logger LOG = Logs.of(Guardian.class);

    /// Each line replaces the list of groups: the number of a session, or the directory of a control group. In the lists
    /// of processes, a session's number is the fourth field after the name, which is in parentheses and may have anything
    /// in it. From a control group, who is ending is gone in a moment, and nothing tells when.
    private static final String SCRIPT = """
            IFS='	'
            while read -r line; do groups=$line; done
            sessions=
            directories=
            for group in $groups; do
                case $group in
                /*) directories="$directories	$group" ;;
                *) sessions="$sessions $group" ;;
                esac
            done
            unset IFS
            found=${sessions:+some}
            while [ "$found" ]; do
                found=
                for file in /proc/[0-9]*/stat; do
                    read -r line 2>/dev/null <"$file" || continue
                    set -- ${line##*) }
                    for session in $sessions; do
                        [ "$4" = "$session" ] && [ "$1" != Z ] && found="$found ${line%% *}"
                    done
                done
                [ "$found" ] && kill -s KILL $found
            done
            IFS='	'
            for group in $directories; do
                tries=1000
                until [ $tries = 0 ] || [ ! -d "$group" ] || rmdir "$group" 2>/dev/null; do
                    tries=$((tries - 1))
                    while read -r process; do kill -s KILL "$process"; done <"$group/cgroup.procs"
                done 2>/dev/null
            done
            """;

    private static final TreeSet<String> GROUPS = new TreeSet<>();

    /// Guarded by the class, as are the groups.
    private static Optional<Integer> input = Optional.empty();

    private Guardian() {}

    /// @param session the number of a worker's first process, which leads its session
    static void guard(long session) {
        add(List.of(Long.toString(session)));
    }

    /// @param groups the directories of control groups
    static void guard(List<Path> groups) {
        add(groups.stream().map(Path::toString).toList());
    }

    static void release(long session) {
        remove(List.of(Long.toString(session)));
    }

    static void release(List<Path> groups) {
        remove(groups.stream().map(Path::toString).toList());
    }

    private static synchronized void add(List<String> groups) {
        GROUPS.addAll(groups);
        tell();
    }

    private static synchronized void remove(List<String> groups) {
        GROUPS.removeAll(groups);
        if (GROUPS.isEmpty() && input.isPresent()) {
            // It ends by that, and with it the thread that waits for its end, for which a virtual machine that ends
            // would wait, too.
            Posix.close(input.get());
            input = Optional.empty();
        } else {
            tell();
        }
    }

    private static void tell() {
        try {
            if (input.isEmpty()) {
                input = Optional.of(start());
            }
            byte[] line = GROUPS.stream().collect(Collectors.joining("\t", "", "\n")).getBytes(StandardCharsets.UTF_8);
            try (var arena = Arena.ofConfined()) {
                Posix.write(input.get(), arena.allocateFrom(ValueLayout.JAVA_BYTE, line));
            }
        } catch (IOException e) {
            LOG.log(Level.WARNING, () -> "children of a worker would outlive a kernel that is killed: " + e);
        }
    }

    /// Like all, it gets a session of its own, so a signal to the kernel's process group spares it.
    private static int start() throws IOException {
        var pipe = Posix.pipe();
        int nothing = Posix.openToWrite(Path.of("/dev/null"));
        try {
            Child.start(new Launch("guardian", List.of("/bin/sh", "-c", SCRIPT),
                    Map.of("PATH", "/usr/bin:/bin"), Path.of("/")), List.of(pipe.readEnd(), nothing, nothing));
            return pipe.writeEnd();
        } catch (IOException e) {
            Posix.close(pipe.writeEnd());
            throw e;
        } finally {
            Posix.close(pipe.readEnd());
            Posix.close(nothing);
        }
    }
}
