package dev.capsule.sandbox;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.capsule.sandbox.Seccomp.Arch;
import dev.capsule.sandbox.Seccomp.Rule;
import dev.capsule.sandbox.Seccomp.Scope;
import dev.capsule.sandbox.Seccomp.Sockets;
import dev.capsule.sandbox.Seccomp.Test.AnyBit;
import dev.capsule.sandbox.Seccomp.Test.In;
import dev.capsule.sandbox.Seccomp.Test.NotIn;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/// The programs are run, in a machine written for it, over all numbers of system calls.
class SeccompTest {
    private static final int NUMBERS = 1_024;
    private static final int EPERM = Seccomp.ERRNO | 1;
    private static final int ENOSYS = Seccomp.ERRNO | 38;
    private static final int EAFNOSUPPORT = Seccomp.ERRNO | 97;

    /// Of `linux/filter.h` and `linux/seccomp.h`, and nothing of the assembler's: only what programs of libseccomp and ours
    /// use.
    private static int run(byte[] program, int audit, int number, long... arguments) {
        var data = ByteBuffer.allocate(64).order(ByteOrder.LITTLE_ENDIAN).putInt(number).putInt(audit).putLong(0);
        Arrays.stream(Arrays.copyOf(arguments, 6)).forEach(data::putLong);
        var code = ByteBuffer.wrap(program).order(ByteOrder.LITTLE_ENDIAN);
        int accumulator = 0;
        for (int at = 0;; at++) {
            int operand = code.getInt(at * 8 + 4);
            boolean holds;
            switch (Short.toUnsignedInt(code.getShort(at * 8))) {
                case 0x20 -> {
                    accumulator = data.getInt(operand);
                    continue;
                }
                case 0x54 -> {
                    accumulator &= operand;
                    continue;
                }
                case 0x05 -> {
                    at += operand;
                    continue;
                }
                case 0x06 -> {
                    return operand;
                }
                case 0x15 -> holds = accumulator == operand;
                case 0x25 -> holds = Integer.compareUnsigned(accumulator, operand) > 0;
                case 0x35 -> holds = Integer.compareUnsigned(accumulator, operand) >= 0;
                case 0x45 -> holds = (accumulator & operand) != 0;
                default -> throw new AssertionError("instruction " + code.getShort(at * 8) + " at " + at);
            }
            at += Byte.toUnsignedInt(code.get(at * 8 + (holds ? 2 : 3)));
        }
    }

    private static int x86(Sockets sockets, Scope scope, int number, long... arguments) {
        return run(Seccomp.program(Arch.X86_64, sockets, scope), 0xC000003E, number, arguments);
    }

    private static Stream<Arguments> programs() {
        return Stream.of(Arch.values()).flatMap(arch -> Stream.of(Sockets.values()).flatMap(sockets -> Stream
                .of(Scope.values()).map(scope -> Arguments.of(arch, sockets, scope))));
    }

    /// What the rules say, read anew.
    private static int expected(Arch arch, List<Rule> rules, int number, long[] arguments) {
        if (Integer.compareUnsigned(number, Syscall.UNKNOWN) >= 0) {
            return Integer.compareUnsigned(number, Seccomp.X32) >= 0 ? Seccomp.KILL_PROCESS : ENOSYS;
        }
        for (var rule : rules) {
            if (rule.syscall().number(arch) == number
                    && rule.when().stream().allMatch(test -> holds(test, arguments))) {
                return Seccomp.ERRNO | rule.denial().errno;
            }
        }
        return Seccomp.ALLOW;
    }

    private static boolean holds(Seccomp.Test test, long[] arguments) {
        int argument = (int) arguments[test.argument()];
        return switch (test) {
            case AnyBit(_, int mask) -> (argument & mask) != 0;
            case In(_, int mask, var values) -> values.contains(argument & mask);
            case NotIn(_, int mask, var values) -> !values.contains(argument & mask);
        };
    }

    /// Values around all that any rule looks at, with and without something in the half that must not matter.
    private static List<Long> interesting(List<Rule> rules) {
        var values = new TreeSet<Long>();
        for (long value = -2; value < 48; value++) {
            values.add(value);
        }
        for (int bit = 0; bit < 64; bit++) {
            values.add(1L << bit);
        }
        for (var rule : rules) {
            for (var test : rule.when()) {
                switch (test) {
                    case AnyBit(_, int mask) -> values.add((long) mask);
                    case In(_, _, var of) -> of.forEach(value -> values.add((long) value));
                    case NotIn(_, _, var of) -> of.forEach(value -> values.add((long) value));
                }
            }
        }
        values.addAll(List.of(0x1_0000_5412L, 0x5413L, 0100L | 06000, 04755L, 02755L, 01777L, 0644L, 0x1_0000_0000L));
        return List.copyOf(values);
    }

    @ParameterizedTest
    @MethodSource("programs")
    void doesWhatTheRulesSayForEveryNumber(Arch arch, Sockets sockets, Scope scope) {
        byte[] program = Seccomp.program(arch, sockets, scope);
        var rules = Seccomp.rules(sockets, scope);
        var values = interesting(rules);
        var random = new Random(25);
        for (int number = 0; number < NUMBERS; number++) {
            for (int i = 0; i < values.size(); i++) {
                var arguments = new long[6];
                for (int a = 0; a < arguments.length; a++) {
                    // Each value comes in each place; the others vary.
                    arguments[a] = values.get(a == i % 6 ? i : random.nextInt(values.size()));
                }
                int answer = run(program, arch.auditNumber(), number, arguments);
                assertEquals(expected(arch, rules, number, arguments), answer, arch + " call " + number + " "
                        + Arrays.toString(arguments));
            }
        }
    }

    @ParameterizedTest
    @MethodSource("programs")
    void killsForeignArchitecturesAndX32(Arch arch, Sockets sockets, Scope scope) {
        byte[] program = Seccomp.program(arch, sockets, scope);
        // i386, x86-64, arm, aarch64, riscv64
        for (int audit : List.of(0x40000003, 0xC000003E, 0x40000028, 0xC00000B7, 0xC00000F3, 0, -1)) {
            for (int number : List.of(0, 1, 59, 101)) {
                if (audit != arch.auditNumber()) {
                    assertEquals(Seccomp.KILL_PROCESS, run(program, audit, number));
                }
            }
        }
        for (int number : List.of(0x40000000, 0x40000065, 0x7fffffff, 0x80000000, -1)) {
            assertEquals(Seccomp.KILL_PROCESS, run(program, arch.auditNumber(), number));
        }
        for (int number : List.of(470, 471, 1_000, 0x3fffffff)) {
            assertEquals(ENOSYS, run(program, arch.auditNumber(), number));
        }
    }

    /// By number and bit, so that a slip in the tables or rules shows.
    @Test
    void answersAsAPersonWouldExpect() {
        var isolated = Sockets.ISOLATED;
        assertEquals(Seccomp.ALLOW, x86(isolated, Scope.OWN, 0));
        assertEquals(Seccomp.ALLOW, x86(isolated, Scope.OWN, 59));
        assertEquals(EPERM, x86(isolated, Scope.OWN, 101));
        assertEquals(ENOSYS, x86(isolated, Scope.OWN, 435));
        // clone: a thread, a process, a process in a user namespace
        assertEquals(Seccomp.ALLOW, x86(isolated, Scope.OWN, 56, 0x3D0F00));
        assertEquals(Seccomp.ALLOW, x86(isolated, Scope.OWN, 56, 17));
        assertEquals(EPERM, x86(isolated, Scope.OWN, 56, 0x10000011));
        // kill: a process, all, all with something above the 32 bits that count
        assertEquals(Seccomp.ALLOW, x86(isolated, Scope.OWN, 62, 17, 9));
        assertEquals(EPERM, x86(isolated, Scope.OWN, 62, -1, 9));
        assertEquals(EPERM, x86(isolated, Scope.OWN, 62, 0xffffffffL, 15));
        // ioctl: TCGETS, TIOCSTI, TIOCSTI with something above the 32 bits that count
        assertEquals(Seccomp.ALLOW, x86(isolated, Scope.OWN, 16, 0, 0x5401));
        assertEquals(EPERM, x86(isolated, Scope.OWN, 16, 0, 0x5412));
        assertEquals(EPERM, x86(isolated, Scope.OWN, 16, 0, 0x1_0000_5412L));
        // openat to read, where the mode means nothing; to create; to create set-uid; without a name, set-gid
        assertEquals(Seccomp.ALLOW, x86(isolated, Scope.OWN, 257, -100, 0, 0, 07777));
        assertEquals(Seccomp.ALLOW, x86(isolated, Scope.OWN, 257, -100, 0, 0101, 0755));
        assertEquals(EPERM, x86(isolated, Scope.OWN, 257, -100, 0, 0101, 04755));
        assertEquals(EPERM, x86(isolated, Scope.OWN, 257, -100, 0, 020200001, 02755));
        // chmod, fchmodat2
        assertEquals(Seccomp.ALLOW, x86(isolated, Scope.OWN, 90, 0, 0755));
        assertEquals(EPERM, x86(isolated, Scope.OWN, 90, 0, 04755));
        assertEquals(EPERM, x86(isolated, Scope.OWN, 452, 0, 0, 02644));
        // socket: inet, unix, vsock
        assertEquals(Seccomp.ALLOW, x86(isolated, Scope.OWN, 41, 2, 1, 0));
        assertEquals(Seccomp.ALLOW, x86(isolated, Scope.OWN, 41, 1, 1, 0));
        assertEquals(EAFNOSUPPORT, x86(isolated, Scope.OWN, 41, 40, 1, 0));
        assertEquals(EAFNOSUPPORT, x86(Sockets.HOST, Scope.OWN, 41, 1, 1, 0));
        assertEquals(EAFNOSUPPORT, x86(Sockets.NONE, Scope.SHARED, 41, 2, 1, 0));
        // socketpair: stream (close-on-exec), datagram
        assertEquals(Seccomp.ALLOW, x86(Sockets.NONE, Scope.SHARED, 53, 1, 1 | 02000000, 0));
        assertEquals(EPERM, x86(Sockets.NONE, Scope.SHARED, 53, 1, 2, 0));
        // personality: ask, Linux, without address randomization
        assertEquals(Seccomp.ALLOW, x86(isolated, Scope.OWN, 135, 0xffffffffL));
        assertEquals(Seccomp.ALLOW, x86(isolated, Scope.OWN, 135, 0));
        assertEquals(EPERM, x86(isolated, Scope.OWN, 135, 0x40000));
        // prlimit64 of the caller, of another
        assertEquals(Seccomp.ALLOW, x86(Sockets.NONE, Scope.SHARED, 302, 0, 7));
        assertEquals(EPERM, x86(Sockets.NONE, Scope.SHARED, 302, 4_242, 7));
        assertEquals(Seccomp.ALLOW, x86(isolated, Scope.OWN, 302, 4_242, 7));
        // setpriority of the caller, of another, of all that the user has
        assertEquals(Seccomp.ALLOW, x86(Sockets.NONE, Scope.SHARED, 141, 0, 0, 10));
        assertEquals(EPERM, x86(Sockets.NONE, Scope.SHARED, 141, 0, 4_242, 10));
        assertEquals(EPERM, x86(Sockets.NONE, Scope.SHARED, 141, 2, 0, 10));
        // chmod and utimensat, which Landlock lets through to every file of the user's
        assertEquals(Seccomp.ERRNO, x86(Sockets.NONE, Scope.SHARED, 90, 0, 0));
        assertEquals(EPERM, x86(Sockets.NONE, Scope.SHARED, 90, 0, 04755));
        assertEquals(Seccomp.ERRNO, x86(Sockets.NONE, Scope.SHARED, 280));
    }

    /// `Path.touch` of Python took a change of time that had succeeded for a proof that there is the file, and made none.
    @Test
    void givingAFileThePresentTimeByItsNameFailsAndOtherChangesOfTimesDoNothing() {
        int pretended = Seccomp.ERRNO;
        // utimensat of a name, now and at a time; of an open file, now and at a time
        assertEquals(EPERM, x86(Sockets.NONE, Scope.SHARED, 280, -100, 0x7000, 0));
        assertEquals(pretended, x86(Sockets.NONE, Scope.SHARED, 280, -100, 0x7000, 0x8000));
        assertEquals(pretended, x86(Sockets.NONE, Scope.SHARED, 280, 3, 0, 0));
        assertEquals(pretended, x86(Sockets.NONE, Scope.SHARED, 280, 3, 0, 0x8000));
        // utime, utimes and futimesat
        assertEquals(EPERM, x86(Sockets.NONE, Scope.SHARED, 132, 0x7000, 0));
        assertEquals(pretended, x86(Sockets.NONE, Scope.SHARED, 235, 0x7000, 0x8000));
        assertEquals(EPERM, x86(Sockets.NONE, Scope.SHARED, 261, -100, 0x7000, 0));
        assertEquals(Seccomp.ALLOW, x86(Sockets.NONE, Scope.OWN, 280, -100, 0x7000, 0));
    }

    /// Landlock does not keep from reading them by a name, which told a browser's download addresses, for one.
    @Test
    void attributesAreReadOfOpenFilesOnlyWhereOthersAreInReach() {
        int notSupported = Seccomp.ERRNO | 95;
        for (int number : List.of(191, 192, 194, 195, 464, 465)) {
            assertEquals(notSupported, x86(Sockets.NONE, Scope.SHARED, number));
            assertEquals(Seccomp.ALLOW, x86(Sockets.NONE, Scope.OWN, number));
        }
        // fgetxattr, flistxattr
        assertEquals(Seccomp.ALLOW, x86(Sockets.NONE, Scope.SHARED, 193));
        assertEquals(Seccomp.ALLOW, x86(Sockets.NONE, Scope.SHARED, 196));
    }

    @Test
    void programsAreShort() {
        programs().map(Arguments::get).forEach(of -> {
            int instructions = Seccomp.program((Arch) of[0], (Sockets) of[1], (Scope) of[2]).length / 8;
            assertTrue(instructions < 340, () -> Arrays.toString(of) + ": " + instructions);
        });
    }

    /// What libseccomp makes of the same rules. It resolves the names of calls by its own tables, too.
    @ParameterizedTest
    @MethodSource("programs")
    void libseccompMakesTheSameOfTheRules(Arch arch, Sockets sockets, Scope scope, @TempDir Path directory)
            throws IOException, InterruptedException {
        Path python = Path.of("/usr/bin/python3");
        assumeTrue(Files.isExecutable(python) && execute(python, "-c", "import seccomp").isEmpty(),
                "kernelspec/prerequisites test installs python3-seccomp");
        var rules = Seccomp.rules(sockets, scope);
        var lines = new ArrayList<String>();
        rules.forEach(rule -> lines.add(line(rule)));
        Files.write(directory.resolve("rules"), lines);
        assertEquals("", execute(python, "src/test/python/libseccomp.py",
                arch.name().toLowerCase(java.util.Locale.ROOT), directory.resolve("rules").toString(),
                directory.resolve("program").toString(), directory.resolve("unknown").toString()));
        byte[] theirs = Files.readAllBytes(directory.resolve("program"));
        byte[] ours = Seccomp.program(arch, sockets, scope);
        // Calls that are newer than this libseccomp.
        var unknown = Files.readAllLines(directory.resolve("unknown"));
        var skipped = Arrays.stream(Syscall.values()).filter(call -> unknown.contains(call.title()))
                .map(call -> call.number(arch)).filter(number -> number >= 0).toList();
        assertTrue(skipped.size() < 10, unknown::toString);
        var random = new Random(7);
        // Without what is above 32 bits, which libseccomp also compares.
        var values = interesting(rules).stream().map(value -> value & 0xffffffffL).distinct().toList();
        for (int number = 0; number < Syscall.UNKNOWN; number++) {
            if (skipped.contains(number)) {
                continue;
            }
            for (int i = 0; i < values.size(); i++) {
                var arguments = new long[6];
                for (int a = 0; a < arguments.length; a++) {
                    arguments[a] = values.get(a == i % 6 ? i : random.nextInt(values.size()));
                }
                var allowed = answersInAnyOrder(arch, rules, number, arguments);
                int their = run(theirs, arch.auditNumber(), number, arguments);
                int our = run(ours, arch.auditNumber(), number, arguments);
                if (!allowed.contains(their) || !allowed.contains(our)) {
                    fail("%s call %d %s: libseccomp answers %x, we %x".formatted(arch, number,
                            Arrays.toString(arguments), their, our));
                }
            }
        }
        assertEquals(Seccomp.KILL_PROCESS, run(theirs, 0x40000003, 1));
    }

    /// To libseccomp, the rules of one call have no order.
    private static List<Integer> answersInAnyOrder(Arch arch, List<Rule> rules, int number, long[] arguments) {
        var answers = rules.stream()
                .filter(rule -> rule.syscall().number(arch) == number
                        && rule.when().stream().allMatch(test -> holds(test, arguments)))
                .map(rule -> Seccomp.ERRNO | rule.denial().errno).toList();
        return answers.isEmpty() ? List.of(Seccomp.ALLOW) : answers;
    }

    /// `name errno test…`, a test being `any:ARG:MASK`, `in:ARG:MASK:VALUE,…` or `not:ARG:MASK:VALUE,…`
    private static String line(Rule rule) {
        var line = new StringBuilder(rule.syscall().title()).append(' ').append(rule.denial().errno);
        for (var test : rule.when()) {
            line.append(' ').append(switch (test) {
                case AnyBit(int argument, int mask) -> "any:%d:%d".formatted(argument, Integer.toUnsignedLong(mask));
                case In(int argument, int mask, var values) -> "in:%d:%d:%s".formatted(argument,
                        Integer.toUnsignedLong(mask), unsigned(values));
                case NotIn(int argument, int mask, var values) -> "not:%d:%d:%s".formatted(argument,
                        Integer.toUnsignedLong(mask), unsigned(values));
            });
        }
        return line.toString();
    }

    private static String unsigned(List<Integer> values) {
        return String.join(",", values.stream().map(Integer::toUnsignedString).toList());
    }

    private static String execute(Path program, String... arguments) throws IOException, InterruptedException {
        var command = new ArrayList<>(List.of(program.toString()));
        command.addAll(List.of(arguments));
        var process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        int exit = process.waitFor();
        return exit == 0 ? said : said + "exit status " + exit;
    }
}
