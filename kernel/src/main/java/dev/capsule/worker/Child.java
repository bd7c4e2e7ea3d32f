package dev.capsule.worker;

import dev.capsule.sandbox.Confinement;
import dev.capsule.sandbox.Launch;
import dev.capsule.sandbox.Launch.Source;
import java.io.IOException;
import java.nio.file.Files;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.stream.Stream;

/// A process that this one has started. The thread that starts it stays until it has ended: what is to die with its
/// parent dies with the thread (`prctl(2)`, `PR_SET_PDEATHSIG`). Only where that thread is fenced in with the process it
/// ends at once, see [Confinement#ownsThread], and a [Keeper] has the process die.
final class Child {
    /// Guards the processes that are children of this one. Held while one is started, so that it is not taken for an
    /// orphan.
    private static final Set<Long> LIVE = new HashSet<>();

    /// Takes the exit status of orphans that have ended, which came to this process when their parents ended.
    static void reapOrphans() {
        synchronized (LIVE) {
            for (long pid = Posix.endedChild(); pid > 0 && !LIVE.contains(pid); pid = Posix.endedChild()) {
                Posix.reap(pid);
            }
        }
    }

    private final long pid;
    private final CompletableFuture<Integer> exit = new CompletableFuture<>();

    /// Guarded by this. Its number may then be another process'.
    private boolean reaped;

    private Child(long pid) {
        this.pid = pid;
    }

    /// Starts a process. Where its thread is fenced in with it, it must not start another, or run what nobody has
    /// vetted, before it is told to by what it reads.
    ///
    /// @param pipes descriptors of this process, in the order of the numbers that the process finds them at, from 0 on
    /// @throws IOException if it cannot be started, or not in the way that the launch asks for
    static Child start(Launch launch, List<Integer> pipes) throws IOException {
        return launch.confinement().ownsThread() ? startKept(launch, pipes) : startAttended(launch, pipes);
    }

    private static Child startAttended(Launch launch, List<Integer> pipes) throws IOException {
        var started = new CompletableFuture<Child>();
        Thread.ofPlatform().name("process").daemon().start(() -> {
            if (complete(started, launch, pipes)) {
                started.join().await(() -> {});
            }
        });
        return join(started);
    }

    private static Child startKept(Launch launch, List<Integer> pipes) throws IOException {
        var keeper = Keeper.start(launch);
        var started = new CompletableFuture<Child>();
        try {
            // Only now that there is somebody to remove them if this process is killed.
            for (Path path : launch.leftovers()) {
                makeFor(launch.user(), path);
            }
            var task = new CompletableFuture<Path>();
            var starter = Thread.ofPlatform().name("process").daemon().start(() -> {
                // Before the fence, from behind which it cannot be read.
                try {
                    task.complete(ownTask());
                } catch (UncheckedIOException e) {
                    task.completeExceptionally(e);
                    return;
                }
                complete(started, launch, pipes);
            });
            starter.join();
            // A thread that has ended for Java is there for the system a moment longer, and nothing tells when no more.
            while (Files.exists(task.join())) {
                Thread.onSpinWait();
            }
            var child = join(started);
            Thread.ofPlatform().name("process").daemon().start(() -> child.await(keeper::close));
            child.giveTo(keeper, launch);
            return child;
        } catch (IOException e) {
            if (!started.isDone() || started.isCompletedExceptionally()) {
                keeper.close();
            }
            throw e;
        } catch (CompletionException e) {
            keeper.close();
            throw new IOException(e.getCause());
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    /// The directory is that user's from the first moment: were this process killed before, the keeper could not remove
    /// it. So it is made by a thread that makes files as that user, and ends.
    private static void makeFor(int user, Path path) throws IOException {
        var made = new CompletableFuture<Path>();
        Thread.ofPlatform().name("directory").daemon().start(() -> {
            try {
                if (user != Launch.KERNELS_OWN) {
                    Posix.makeFilesAs(user);
                }
                made.complete(Files.createDirectory(path,
                        PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------"))));
            } catch (IOException | RuntimeException | Error e) {
                made.completeExceptionally(e);
            }
        });
        Path _ = join(made);
    }

    private static Path ownTask() {
        try {
            return Path.of("/proc").resolve(Files.readSymbolicLink(Path.of("/proc/thread-self")));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static boolean complete(CompletableFuture<Child> started, Launch launch, List<Integer> pipes) {
        try {
            return started.complete(spawn(launch, pipes));
        } catch (IOException | RuntimeException | Error e) {
            started.completeExceptionally(e);
            return false;
        }
    }

    private static <T> T join(CompletableFuture<T> future) throws IOException {
        try {
            return future.join();
        } catch (CompletionException e) {
            throw e.getCause() instanceof IOException io ? io : new IOException(e.getCause());
        }
    }

    private void giveTo(Keeper keeper, Launch launch) throws IOException {
        try {
            keeper.take(launch, pid);
        } catch (IOException e) {
            signal(Posix.SIGKILL);
            if (exit.join() == 128 + Posix.SIGKILL) {
                throw e;
            }
            // It had ended already.
        }
    }

    private static Child spawn(Launch launch, List<Integer> pipes) throws IOException {
        if (launch.user() != Launch.KERNELS_OWN) {
            Posix.giveTo(launch.user(), pipes.get(1));
            Posix.giveTo(launch.user(), pipes.get(2));
        }
        try (var spawn = new Spawn(launch.command(), launch.environment(), launch.directory(), pipes)) {
            var places = new TreeMap<Integer, Path>();
            for (var entry : launch.descriptors().entrySet()) {
                switch (entry.getValue()) {
                    case Source.Content(byte[] bytes) -> add(spawn, entry.getKey(), Posix.memoryFile(bytes));
                    case Source.Place(Path path) -> places.put(entry.getKey(), path);
                }
            }
            if (places.isEmpty()) {
                spawn.prepare();
                launch.confinement().enter();
            } else {
                launch.confinement().enter();
                // Only now: they may be mounts that the thread has just made.
                for (var place : places.entrySet()) {
                    add(spawn, place.getKey(), Posix.openPlace(place.getValue()));
                }
                spawn.prepare();
            }
            synchronized (LIVE) {
                long pid = spawn.start();
                LIVE.add(pid);
                return new Child(pid);
            }
        }
    }

    private static void add(Spawn spawn, int number, int descriptor) throws IOException {
        try {
            spawn.add(number, descriptor);
        } finally {
            Posix.close(descriptor);
        }
    }

    /// Waits for the end and takes the exit status.
    ///
    /// @param afterwards done before the end is told
    private void await(Runnable afterwards) {
        int value;
        try {
            Posix.awaitEnd(pid);
            afterwards.run();
            synchronized (this) {
                synchronized (LIVE) {
                    value = Posix.reap(pid);
                    // Before the number can be that of another child.
                    LIVE.remove(pid);
                }
                reaped = true;
            }
        } catch (IOException e) {
            exit.completeExceptionally(e);
            return;
        }
        exit.complete(value);
    }

    long pid() {
        return pid;
    }

    /// Completes with the exit status, as [Process#exitValue] has it, when the process has ended.
    CompletableFuture<Integer> exit() {
        return exit;
    }

    /// @return the process `depth` generations down, each the first child of the one before; empty when there is none
    Optional<Long> descendant(int depth) {
        Optional<ProcessHandle> process = handle();
        for (int i = 0; i < depth; i++) {
            process = process.flatMap(parent -> parent.children().min((a, b) -> Long.compare(a.pid(), b.pid())));
        }
        return process.map(ProcessHandle::pid);
    }

    private synchronized Optional<ProcessHandle> handle() {
        return reaped ? Optional.empty() : ProcessHandle.of(pid);
    }

    synchronized void signal(int signal) {
        if (!reaped) {
            Posix.kill(pid, signal);
        }
    }

    /// Ends the process and all that it started and that can be found, now.
    void killTree() {
        List<Long> tree = handle().map(Child::descendants).orElse(List.of());
        synchronized (this) {
            if (!reaped) {
                // A worker leads its group once it has begun; until then only its own pid is its.
                Posix.kill(-pid, Posix.SIGKILL);
                Posix.kill(pid, Posix.SIGKILL);
            }
        }
        tree.forEach(descendant -> Posix.kill(descendant, Posix.SIGKILL));
    }

    private static List<Long> descendants(ProcessHandle process) {
        try (Stream<ProcessHandle> descendants = process.descendants()) {
            return descendants.map(ProcessHandle::pid).toList();
        }
    }

    /// @return the orphans that workers have left, which are now children of this process
    static List<Long> adopted() {
        synchronized (LIVE) {
            return orphans();
        }
    }

    /// Ends what workers started and what has left their process groups: such orphans are now children of this process.
    static void killOrphans() {
        synchronized (LIVE) {
            for (var orphans = orphans(); !orphans.isEmpty(); orphans = orphans()) {
                for (long orphan : orphans) {
                    ProcessHandle.of(orphan).map(Child::descendants).orElse(List.of())
                            .forEach(descendant -> Posix.kill(descendant, Posix.SIGKILL));
                    Posix.kill(orphan, Posix.SIGKILL);
                    int _ = Posix.reap(orphan);
                }
            }
        }
    }

    private static List<Long> orphans() {
        var orphans = new ArrayList<Long>();
        try (Stream<ProcessHandle> children = ProcessHandle.current().children()) {
            children.map(ProcessHandle::pid).filter(child -> !LIVE.contains(child)).forEach(orphans::add);
        }
        return orphans;
    }
}
