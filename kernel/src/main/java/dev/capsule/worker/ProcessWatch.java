package dev.capsule.worker;

import dev.capsule.log.Logs;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.lang.foreign.Arena;

/// Notices at once when a process that is not a child ends. (`ProcessHandle.onExit` looks only every few seconds.)
public final class ProcessWatch implements AutoCloseable {
    private static final Logger LOG = Logs.of(ProcessWatch.class);

    private final long pid;
    private final Runnable whenGone;
    private final Posix.Pipe closing;
    private final Thread thread;

    private ProcessWatch(long pid, Runnable whenGone) throws IOException {
        this.pid = pid;
        this.whenGone = whenGone;
        closing = Posix.pipe();
        thread = Thread.ofPlatform().name("watch-" + pid).daemon().unstarted(this::run);
    }

    /// @param whenGone called once, on a thread of the watch; also when there is no such process
    public static ProcessWatch start(long pid, Runnable whenGone) throws IOException {
        var watch = new ProcessWatch(pid, whenGone);
        watch.thread.start();
        return watch;
    }

    private void run() {
        boolean gone;
        try {
            int process = Posix.openProcess(pid);
            if (process < 0) {
                gone = true;
            } else {
                var poll = new Posix.PollSet(2);
                poll.set(0, process, Posix.POLLIN);
                poll.set(1, closing.readEnd(), Posix.POLLIN);
                poll.await(-1);
                gone = poll.ready(0);
                Posix.close(process);
            }
        } catch (IOException e) {
            LOG.log(Level.WARNING, () -> "the end of process " + pid + " is noticed with delay: " + e);
            ProcessHandle.of(pid).ifPresent(process -> process.onExit().join());
            gone = true;
        }
        if (gone) {
            whenGone.run();
        }
    }

    /// Ends the watch; a thread that waited in native code would hold up the end of the virtual machine.
    @Override
    public void close() {
        try (var arena = Arena.ofConfined()) {
            Posix.write(closing.writeEnd(), arena.allocate(1));
        } catch (IOException e) {
            LOG.log(Level.WARNING, () -> "the watch of process " + pid + " goes on: " + e);
        }
    }
}
