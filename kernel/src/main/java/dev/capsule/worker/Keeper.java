package dev.capsule.worker;

import dev.capsule.sandbox.Launch;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;

/// Sees to it that nothing of a process survives it, nor this process, where no process namespace does that: a program in
/// a session of its own that waits for the end of its input, which comes even when this process is killed. Then it ends
/// all that the process has started, however it has hidden, and removes what is left on disk. The process cannot signal
/// it, for it is outside of its fence.
///
/// Whose process has a user of its own, is ended with all that this user has. Else it is marked by a limit that
/// whatever it starts inherits, and that its filter of system calls keeps it from changing
/// ([dev.capsule.sandbox.Seccomp.Scope#SHARED]): the size of message queues, of which it can have none.
final class Keeper implements AutoCloseable {
    private static final String WAIT = """
            trap '' HUP INT TERM
            read -r _
            """;

    /// The system does this in one step, in which nothing can be started; it spares only who asks for it.
    private static final String END_USERS = """
            kill -KILL -1 2>/dev/null
            # Shared memory and semaphores that nobody has removed; they are only this user's.
            find /dev/shm -xdev -type f -user "$(id -u)" -delete 2>/dev/null
            """;

    /// First all are stopped, as one that is not may start another for each that is ended. They still count among those
    /// that their user may have, so that this comes to an end.
    private static final String END_MARKED = """
            mark=$1
            shift
            found=none
            before=
            while [ "$found" != "$before" ]; do
                before=$found
                found=
                for file in $(grep -ls "^Max msgqueue size  *$mark " /proc/[0-9]*/limits); do
                    process=${file#/proc/}
                    found="$found ${process%/limits}"
                done
                [ -z "$found" ] || kill -STOP $found 2>/dev/null
            done
            [ -z "$found" ] || kill -KILL $found 2>/dev/null
            """;

    private static final String REMOVE = """
            [ $# = 0 ] && exit
            chmod -R u+rwx -- "$@" 2>/dev/null
            # Who was just ended may still be in the midst of making a file.
            tries=100
            until rm -rf -- "$@" 2>/dev/null || [ $tries = 0 ]; do tries=$((tries - 1)); done
            """;

    /// Limits are marks below what the system gives everybody. They differ by chance: numbers that each kernel counts on from
    /// its own would meet those of its neighbours, whose workers would end.
    private static final int DEFAULT_LIMIT = 819_200;

    private final long mark;
    private final Child child;
    private final int input;

    private Keeper(long mark, Child child, int input) {
        this.mark = mark;
        this.child = child;
        this.input = input;
    }

    /// Starts what keeps one process, before that.
    static Keeper start(Launch launch) throws IOException {
        long mark = ThreadLocalRandom.current().nextInt(DEFAULT_LIMIT);
        var command = new ArrayList<String>();
        if (launch.user() == Launch.KERNELS_OWN) {
            command.addAll(List.of("/bin/sh", "-c", WAIT + END_MARKED + REMOVE, "sh", Long.toString(mark)));
        } else {
            // The same program that makes the process that user's.
            command.addAll(List.of(launch.command().getFirst(), "--reuid=" + launch.user(), "--regid=" + launch.user(),
                    "--clear-groups", "--bounding-set=-all", "--", "/bin/sh", "-c",
                    WAIT + END_USERS + REMOVE, "sh"));
        }
        launch.leftovers().forEach(path -> command.add(path.toString()));
        var pipe = Posix.pipe();
        int nothing = Posix.openToWrite(Path.of("/dev/null"));
        try {
            return new Keeper(mark,
                    Child.start(new Launch("keeper", command, Map.of("PATH", "/usr/bin:/bin"), Path.of("/")),
                            List.of(pipe.readEnd(), nothing, nothing)),
                    pipe.writeEnd());
        } catch (IOException e) {
            Posix.close(pipe.writeEnd());
            throw e;
        } finally {
            Posix.close(pipe.readEnd());
            Posix.close(nothing);
        }
    }

    /// Takes charge of the process, which must not have started another yet.
    ///
    /// @throws IOException if that is refused: the process must then be ended
    void take(Launch launch, long pid) throws IOException {
        if (launch.user() == Launch.KERNELS_OWN) {
            Posix.limitMessageQueues(pid, mark);
        }
    }

    /// Ends all that the process has started. Returns when that is done.
    @Override
    public void close() {
        Posix.close(input);
        int _ = child.exit().join();
    }
}
