package dev.capsule.worker;

import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.stream.Stream;

/// Starts the processes of workers, and ends all that they started. Both on one thread, `launcher`, that lives as long
/// as the kernel: `setpriv --pdeathsig` kills a worker when the thread that started it ends, and a worker that is just
/// being started must not be taken for the orphan of another.
final class Launcher {
    private static final Logger LOG = System.getLogger(Launcher.class.getName());
    private static final ExecutorService THREAD = Executors
            .newSingleThreadExecutor(Thread.ofPlatform().name("launcher").daemon().factory());

    private static final Set<Long> LIVE = ConcurrentHashMap.newKeySet();

    // Of the thread.
    private static Optional<Guardian> guardian = Optional.empty();

    private Launcher() {}

    static Process start(ProcessBuilder builder) throws IOException {
        try {
            return THREAD.submit(() -> {
                var process = builder.start();
                LIVE.add(process.pid());
                guard();
                return process;
            }).get();
        } catch (ExecutionException e) {
            throw e.getCause() instanceof IOException io ? io : new IOException(e.getCause());
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    /// Kills a worker and its descendants.
    static void kill(Process process) {
        try (Stream<ProcessHandle> descendants = process.descendants()) {
            var tree = descendants.toList();
            // The worker leads its group once it has begun; until then only its own pid is its.
            Posix.kill(-process.pid(), Posix.SIGKILL);
            process.destroyForcibly();
            tree.forEach(ProcessHandle::destroyForcibly);
        }
    }

    /// Ends what a dead worker left behind, also what had left its process group. Returns when it is gone.
    static void bury(Process dead) {
        LIVE.remove(dead.pid());
        CompletableFuture.runAsync(() -> {
            killOrphans();
            guard();
        }, THREAD).join();
    }

    /// What has lost its parent has become a child of the kernel.
    private static void killOrphans() {
        for (var orphans = orphans(); !orphans.isEmpty(); orphans = orphans()) {
            for (var orphan : orphans) {
                orphan.descendants().forEach(ProcessHandle::destroyForcibly);
                orphan.destroyForcibly();
                Posix.reap(orphan.pid());
            }
        }
    }

    private static List<ProcessHandle> orphans() {
        long ours = guardian.map(Guardian::pid).orElse(-1L);
        return ProcessHandle.current().children()
                .filter(child -> !LIVE.contains(child.pid()) && child.pid() != ours).toList();
    }

    private static void guard() {
        if (guardian.isEmpty()) {
            try {
                guardian = Optional.of(new Guardian());
            } catch (IOException e) {
                LOG.log(Level.WARNING, () -> "children of a worker would outlive a kernel that is killed: " + e);
            }
        }
        guardian.ifPresent(started -> started.guard(LIVE));
    }
}
