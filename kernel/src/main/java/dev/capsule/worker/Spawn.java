package dev.capsule.worker;

import java.io.IOException;
import java.lang.foreign.AddressLayout;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/// Starts a process with exactly the descriptors that it is to have, in a session of its own, through `posix_spawn`. [ProcessBuilder] passes on
/// three; and its threads that wait for processes are made by the thread that starts one, whose fences they would get.
final class Spawn implements AutoCloseable {
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT;
    private static final AddressLayout POINTER = ValueLayout.ADDRESS;

    /// More than `posix_spawn_file_actions_t`, `posix_spawnattr_t` and `sigset_t` have in any C library.
    private static final long STRUCT_BYTES = 1_024;
    private static final short POSIX_SPAWN_SETSIGMASK = 8;
    /// Of glibc 2.26 and musl 1.1.24.
    private static final short POSIX_SPAWN_SETSID = 0x80;

    /// Descriptors are moved above those that the process gets before they are given their numbers.
    private static final int CLEAR = 64;

    private static final MethodHandle SPAWN = Posix.call("posix_spawn");
    private static final MethodHandle ACTIONS_INIT = Posix.call("posix_spawn_file_actions_init");
    private static final MethodHandle ADD_DUP2 = Posix.call("posix_spawn_file_actions_adddup2");
    private static final MethodHandle ADD_CLOSE = Posix.call("posix_spawn_file_actions_addclose");
    private static final MethodHandle ADD_CHDIR = Posix.call("posix_spawn_file_actions_addchdir_np");
    /// Of glibc 2.34 and later.
    private static final Optional<MethodHandle> ADD_CLOSEFROM = Posix
            .callIfThere("posix_spawn_file_actions_addclosefrom_np");
    private static final MethodHandle ATTRIBUTES_INIT = Posix.call("posix_spawnattr_init");
    private static final MethodHandle SET_FLAGS = Posix.call("posix_spawnattr_setflags");
    private static final MethodHandle SET_MASK = Posix.call("posix_spawnattr_setsigmask");

    private static final Map<Integer, String> ERRORS = Map.of(2, "no such file", 7, "arguments too long", 8,
            "not a program", 11, "too many processes", 12, "out of memory", 13, "permission denied");

    private final List<String> command;
    private final Map<String, String> environment;
    private final Path directory;
    private final TreeMap<Integer, Integer> descriptors = new TreeMap<>();
    private final List<Integer> inherited;

    private final Arena arena = Arena.ofConfined();
    private final MemorySegment errno = arena.allocate(Posix.CALL_STATE);
    private final MemorySegment actions = arena.allocate(STRUCT_BYTES, Long.BYTES);
    private final MemorySegment attributes = arena.allocate(STRUCT_BYTES, Long.BYTES);
    private final MemorySegment pid = arena.allocate(INT);
    private MemorySegment program = MemorySegment.NULL;
    private MemorySegment arguments = MemorySegment.NULL;
    private MemorySegment variables = MemorySegment.NULL;

    /// @param descriptors open ones of this process in the order of the numbers that the new process finds them at
    /// @throws IOException if this process has too many descriptors
    Spawn(List<String> command, Map<String, String> environment, Path directory,
            List<Integer> descriptors) throws IOException {
        this.command = command;
        this.environment = environment;
        this.directory = directory;
        for (int number = 0; number < descriptors.size(); number++) {
            add(number, descriptors.get(number));
        }
        inherited = ADD_CLOSEFROM.isPresent() ? List.of() : open();
    }

    /// Ahead of the first.
    static void load() {}

    /// Adds a descriptor, which may be closed at once.
    void add(int number, int descriptor) throws IOException {
        descriptors.put(number, Posix.duplicate(descriptor, CLEAR));
    }

    /// What this process has open now. Something opened later may be passed on: that is why the C library's own way is
    /// preferred.
    private static List<Integer> open() throws IOException {
        var open = new ArrayList<Integer>();
        try (var entries = Files.newDirectoryStream(Path.of("/proc/self/fd"))) {
            entries.forEach(entry -> open.add(Integer.valueOf(entry.getFileName().toString())));
        }
        return open;
    }

    /// Writes down all that the call takes, after the last [#add].
    void prepare() throws IOException {
        call("posix_spawnattr_init", ATTRIBUTES_INIT, attributes.address(), 0, 0, 0, 0, 0);
        call("posix_spawnattr_setflags", SET_FLAGS, attributes.address(),
                POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID, 0, 0, 0, 0);
        // The virtual machine's threads block signals that a program would then never get.
        call("posix_spawnattr_setsigmask", SET_MASK, attributes.address(),
                arena.allocate(STRUCT_BYTES, Long.BYTES).address(), 0, 0, 0, 0);
        call("posix_spawn_file_actions_init", ACTIONS_INIT, actions.address(), 0, 0, 0, 0, 0);
        addActions();
        program = arena.allocateFrom(command.getFirst());
        arguments = strings(command);
        var named = new ArrayList<String>();
        environment.forEach((name, value) -> named.add(name + "=" + value));
        variables = strings(named);
    }

    /// Starts the process. Needs no file and no class that is not there yet, so that a thread can call it that may open
    /// nothing any more.
    ///
    /// @return its id
    /// @throws IOException if the program cannot be run; the message names it
    long start() throws IOException {
        call(command.getFirst(), SPAWN, pid.address(), program.address(), actions.address(), attributes.address(),
                arguments.address(), variables.address());
        return pid.get(INT, 0);
    }

    @Override
    public void close() {
        descriptors.values().forEach(Posix::close);
        arena.close();
    }

    private void addActions() throws IOException {
        int end = descriptors.lastKey() + 1;
        for (int number = 0; number < end; number++) {
            var descriptor = descriptors.get(number);
            if (descriptor == null) {
                addClose(number);
            } else {
                call("posix_spawn_file_actions_adddup2", ADD_DUP2, actions.address(), descriptor, number, 0, 0, 0);
            }
        }
        if (ADD_CLOSEFROM.isPresent()) {
            call("posix_spawn_file_actions_addclosefrom_np", ADD_CLOSEFROM.get(), actions.address(), end, 0, 0, 0, 0);
        } else {
            for (int number : inherited) {
                if (number >= end) {
                    addClose(number);
                }
            }
        }
        call("posix_spawn_file_actions_addchdir_np", ADD_CHDIR, actions.address(),
                arena.allocateFrom(directory.toString()).address(), 0, 0, 0, 0);
    }

    private void addClose(int number) throws IOException {
        call("posix_spawn_file_actions_addclose", ADD_CLOSE, actions.address(), number, 0, 0, 0, 0);
    }

    private MemorySegment strings(List<String> values) {
        // One more, which is null.
        var array = arena.allocate(POINTER, values.size() + 1L);
        for (int i = 0; i < values.size(); i++) {
            array.setAtIndex(POINTER, i, arena.allocateFrom(values.get(i)));
        }
        return array;
    }

    private void call(String what, MethodHandle function, long a, long b, long c, long d, long e, long f)
            throws IOException {
        int error;
        try {
            error = (int) (long) function.invokeExact(errno, a, b, c, d, e, f, 0L);
        } catch (Throwable thrown) {
            throw Posix.rethrow(thrown);
        }
        if (error != 0) {
            throw new IOException("%s cannot be started: %s".formatted(what,
                    ERRORS.getOrDefault(error, "errno " + error)));
        }
    }
}
