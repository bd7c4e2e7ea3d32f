package dev.capsule.sandbox;

import dev.capsule.sandbox.Bpf.Label;
import dev.capsule.sandbox.Seccomp.Test.AnyBit;
import dev.capsule.sandbox.Seccomp.Test.In;
import dev.capsule.sandbox.Seccomp.Test.NotIn;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Optional;

/// The filter of system calls that every worker runs under, as the program that the kernel's seccomp takes. What no
/// [Rule] names is allowed: this is the second fence, behind namespaces or Landlock, and closes what those leave open.
public final class Seccomp {

    /// An architecture, with the number of it (`AUDIT_ARCH_…` of `linux/audit.h`) that the kernel tells the filter.
    public enum Arch {
        X86_64(0xC000003E), AARCH64(0xC00000B7);

        private final int auditNumber;

        Arch(int auditNumber) {
            this.auditNumber = auditNumber;
        }

        int auditNumber() {
            return auditNumber;
        }

        /// @param name as the property `os.arch` has it
        /// @return empty when there is no filter for it
        static Optional<Arch> of(String name) {
            return switch (name) {
                case "amd64", "x86_64" -> Optional.of(X86_64);
                case "aarch64" -> Optional.of(AARCH64);
                default -> Optional.empty();
            };
        }

        /// @throws IllegalStateException if there is no filter for it
        static Arch ofThisMachine() {
            String name = System.getProperty("os.arch");
            return of(name).orElseThrow(() -> new IllegalStateException("no numbers of system calls for " + name));
        }
    }

    /// Which sockets may be made.
    public enum Sockets {
        /// In a network of its own: Unix, internet, and netlink, which `getifaddrs` needs.
        ISOLATED,
        /// In the host's network: not Unix, whose abstract names belong to the network, the X server's among them.
        HOST,
        /// None at all but connected pairs, which asyncio wakes itself with.
        NONE
    }

    /// What a worker has in common with the other processes of its user.
    public enum Scope {
        /// Nothing: it has namespaces of its own.
        OWN,
        /// Everything that Landlock does not fence: calls that reach another process or a file by its name alone are denied.
        /// So is changing the limit on message queues, by which its processes are told from others.
        SHARED
    }

    /// What becomes of a call that a rule denies.
    enum Denial {
        NOT_PERMITTED(1),
        /// Programs then use an older call in its place, the arguments of which the filter can see.
        NO_SUCH_CALL(38), NO_SUCH_FAMILY(97),
        /// What copies a file then does without its attributes.
        NOT_SUPPORTED(95),
        /// All went well, it is told, and nothing is done.
        PRETENDED(0);

        /// What the call fails with.
        final int errno;

        Denial(int errno) {
            this.errno = errno;
        }
    }

    /// Something about the low 32 bits of an argument, which is all that the kernel takes of the arguments tested here.
    sealed interface Test {
        int argument();

        record AnyBit(int argument, int mask) implements Test {}

        /// @param mask the bits that are compared
        record In(int argument, int mask, List<Integer> values) implements Test {}

        record NotIn(int argument, int mask, List<Integer> values) implements Test {}
    }

    /// A call is denied when all tests of one of its rules hold.
    record Rule(Syscall syscall, Denial denial, List<Test> when) {
        Rule(Syscall syscall, Denial denial, Test... when) {
            this(syscall, denial, List.of(when));
        }
    }

    private static final int ALL_BITS = -1;

    // Of struct seccomp_data.
    private static final int NUMBER_OFFSET = 0;
    private static final int ARCH_OFFSET = 4;
    private static final int ARGUMENTS_OFFSET = 16;
    private static final int ARGUMENT_BYTES = 8;

    static final int ALLOW = 0x7fff0000;
    static final int KILL_PROCESS = 0x80000000;
    static final int ERRNO = 0x00050000;

    /// Calls of the x32 variant have this bit; their numbers mean other calls.
    static final int X32 = 0x40000000;

    /// How many comparisons share one return: jumps reach 255 instructions far.
    private static final int BLOCK = 200;

    private static final int SETUID_OR_SETGID = 06000;
    /// `O_CREAT | __O_TMPFILE`: without one of them, `open` has no mode.
    private static final int CREATES = 0100 | 020000000;
    /// `CLONE_NEWNS`, `NEWCGROUP`, `NEWUTS`, `NEWIPC`, `NEWUSER`, `NEWPID`, `NEWNET`
    private static final int NEW_NAMESPACES = 0x7E020000;
    private static final int TIOCSTI = 0x5412;
    private static final int TIOCLINUX = 0x541C;
    /// `FS_IOC_SETFLAGS`, its 32-bit form, and `FS_IOC_FSSETXATTR`: need no more than a file that is open for reading.
    private static final List<Integer> SET_FILE_FLAGS = List.of(0x40086602, 0x40046602, 0x401C5820);

    private static final int RLIMIT_MSGQUEUE = 12;

    /// Of a pointer, too, only the low half is looked at; one whose low half is 0 is rare, and taken for none.
    private static final List<Integer> NULL = List.of(0);

    private static final int AF_UNIX = 1;
    private static final int AF_INET = 2;
    private static final int AF_INET6 = 10;
    private static final int AF_NETLINK = 16;
    private static final int SOCK_TYPE_MASK = 0xf;
    /// `SOCK_STREAM` and `SOCK_SEQPACKET`. A datagram socket of a pair could still be connected to any name.
    private static final List<Integer> CONNECTED_TYPES = List.of(1, 5);

    private static final List<Syscall> ALWAYS_DENIED = List.of(Syscall.PTRACE, Syscall.PROCESS_VM_READV,
            Syscall.PROCESS_VM_WRITEV, Syscall.KCMP, Syscall.PIDFD_GETFD, Syscall.PROCESS_MADVISE, Syscall.MOUNT,
            Syscall.UMOUNT2, Syscall.PIVOT_ROOT, Syscall.CHROOT, Syscall.MOVE_MOUNT, Syscall.OPEN_TREE,
            Syscall.OPEN_TREE_ATTR, Syscall.FSOPEN, Syscall.FSCONFIG, Syscall.FSMOUNT, Syscall.FSPICK,
            Syscall.MOUNT_SETATTR, Syscall.STATMOUNT, Syscall.LISTMOUNT, Syscall.UNSHARE, Syscall.SETNS, Syscall.KEYCTL,
            Syscall.ADD_KEY, Syscall.REQUEST_KEY, Syscall.BPF, Syscall.PERF_EVENT_OPEN, Syscall.USERFAULTFD,
            Syscall.IO_URING_SETUP, Syscall.IO_URING_ENTER, Syscall.IO_URING_REGISTER, Syscall.VMSPLICE,
            Syscall.MEMFD_SECRET, Syscall.KEXEC_LOAD, Syscall.KEXEC_FILE_LOAD, Syscall.INIT_MODULE,
            Syscall.FINIT_MODULE, Syscall.DELETE_MODULE, Syscall.REBOOT, Syscall.SWAPON, Syscall.SWAPOFF, Syscall.ACCT,
            Syscall.QUOTACTL, Syscall.QUOTACTL_FD, Syscall.SYSLOG, Syscall.CLOCK_SETTIME, Syscall.SETTIMEOFDAY,
            Syscall.ADJTIMEX, Syscall.CLOCK_ADJTIME, Syscall.IOPL, Syscall.IOPERM, Syscall.MODIFY_LDT, Syscall.MBIND,
            Syscall.SET_MEMPOLICY, Syscall.GET_MEMPOLICY, Syscall.SET_MEMPOLICY_HOME_NODE, Syscall.MOVE_PAGES,
            Syscall.MIGRATE_PAGES, Syscall.OPEN_BY_HANDLE_AT, Syscall.NAME_TO_HANDLE_AT, Syscall.FANOTIFY_INIT);

    /// Where other processes of the user are in sight: what acts on objects that they share, or on a file that the
    /// user owns without opening it.
    private static final List<Syscall> SHARED_DENIED = List.of(Syscall.SHMGET, Syscall.SHMAT, Syscall.SHMCTL,
            Syscall.SEMGET, Syscall.SEMOP, Syscall.SEMTIMEDOP, Syscall.SEMCTL, Syscall.MSGGET, Syscall.MSGSND,
            Syscall.MSGRCV, Syscall.MSGCTL, Syscall.MQ_OPEN, Syscall.MQ_UNLINK, Syscall.INOTIFY_ADD_WATCH,
            Syscall.CHOWN, Syscall.FCHOWN, Syscall.LCHOWN, Syscall.FCHOWNAT, Syscall.SETXATTR, Syscall.LSETXATTR,
            Syscall.FSETXATTR, Syscall.SETXATTRAT, Syscall.REMOVEXATTR, Syscall.LREMOVEXATTR, Syscall.FREMOVEXATTR,
            Syscall.REMOVEXATTRAT, Syscall.FILE_SETATTR);

    /// Modes could be changed of every file that the user owns, and so could times ([#times]). They stay as they are and
    /// the call succeeds: whatever copies a file makes such a call, and most of it fails as a whole when the call does.
    private static final List<Syscall> SHARED_PRETENDED = List.of(Syscall.CHMOD, Syscall.FCHMOD, Syscall.FCHMODAT,
            Syscall.FCHMODAT2);

    /// Attributes can be read by the name of a file that cannot be opened; what is open may be asked for its own.
    private static final List<Syscall> SHARED_UNSUPPORTED = List.of(Syscall.GETXATTR, Syscall.LGETXATTR,
            Syscall.GETXATTRAT, Syscall.LISTXATTR, Syscall.LLISTXATTR, Syscall.LISTXATTRAT);

    private Seccomp() {}

    /// All rules; where several of one call apply, the first decides.
    static List<Rule> rules(Sockets sockets, Scope scope) {
        var rules = new ArrayList<Rule>();
        files(rules);
        rules.add(new Rule(Syscall.IOCTL, Denial.NOT_PERMITTED, new In(1, ALL_BITS, List.of(TIOCSTI, TIOCLINUX))));
        rules.add(new Rule(Syscall.CLONE, Denial.NOT_PERMITTED, new AnyBit(0, NEW_NAMESPACES)));
        // 0 is Linux itself, -1 asks what it is; others turn off address randomization and the like.
        rules.add(new Rule(Syscall.PERSONALITY, Denial.NOT_PERMITTED, new NotIn(0, ALL_BITS, List.of(0, -1))));
        // To all at once: the snapshots are among them, and whoever means that wants no session any more.
        rules.add(new Rule(Syscall.KILL, Denial.NOT_PERMITTED, new In(0, ALL_BITS, List.of(-1))));
        // Their arguments are behind pointers.
        rules.add(new Rule(Syscall.CLONE3, Denial.NO_SUCH_CALL));
        rules.add(new Rule(Syscall.OPENAT2, Denial.NO_SUCH_CALL));
        sockets(rules, sockets);
        deny(rules, ALWAYS_DENIED, Denial.NOT_PERMITTED);
        switch (scope) {
            case OWN -> {
            }
            case SHARED -> shared(rules);
        }
        return List.copyOf(rules);
    }

    /// A file with such a bit, in a workspace of which the owner is root, is root for whoever runs it outside.
    private static void files(List<Rule> rules) {
        for (var call : List.of(Syscall.CHMOD, Syscall.FCHMOD, Syscall.CREAT, Syscall.MKNOD)) {
            rules.add(new Rule(call, Denial.NOT_PERMITTED, new AnyBit(1, SETUID_OR_SETGID)));
        }
        for (var call : List.of(Syscall.FCHMODAT, Syscall.FCHMODAT2, Syscall.MKNODAT)) {
            rules.add(new Rule(call, Denial.NOT_PERMITTED, new AnyBit(2, SETUID_OR_SETGID)));
        }
        rules.add(new Rule(Syscall.OPEN, Denial.NOT_PERMITTED, new AnyBit(1, CREATES),
                new AnyBit(2, SETUID_OR_SETGID)));
        rules.add(new Rule(Syscall.OPENAT, Denial.NOT_PERMITTED, new AnyBit(2, CREATES),
                new AnyBit(3, SETUID_OR_SETGID)));
    }

    private static void sockets(List<Rule> rules, Sockets sockets) {
        var families = switch (sockets) {
            case ISOLATED -> List.of(AF_UNIX, AF_INET, AF_INET6, AF_NETLINK);
            case HOST -> List.of(AF_INET, AF_INET6, AF_NETLINK);
            case NONE -> List.<Integer>of();
        };
        rules.add(families.isEmpty()
                ? new Rule(Syscall.SOCKET, Denial.NO_SUCH_FAMILY)
                : new Rule(Syscall.SOCKET, Denial.NO_SUCH_FAMILY, new NotIn(0, ALL_BITS, families)));
        rules.add(new Rule(Syscall.SOCKETPAIR, Denial.NO_SUCH_FAMILY, new NotIn(0, ALL_BITS, List.of(AF_UNIX))));
        switch (sockets) {
            case ISOLATED -> {
            }
            case HOST -> pairsStayPairs(rules);
            case NONE -> {
                pairsStayPairs(rules);
                deny(rules, List.of(Syscall.CONNECT, Syscall.BIND, Syscall.LISTEN, Syscall.ACCEPT, Syscall.ACCEPT4),
                        Denial.NOT_PERMITTED);
            }
        }
    }

    private static void pairsStayPairs(List<Rule> rules) {
        rules.add(new Rule(Syscall.SOCKETPAIR, Denial.NOT_PERMITTED, new NotIn(1, SOCK_TYPE_MASK, CONNECTED_TYPES)));
    }

    private static void shared(List<Rule> rules) {
        deny(rules, SHARED_DENIED, Denial.NOT_PERMITTED);
        deny(rules, SHARED_PRETENDED, Denial.PRETENDED);
        deny(rules, SHARED_UNSUPPORTED, Denial.NOT_SUPPORTED);
        times(rules);
        rules.add(new Rule(Syscall.IOCTL, Denial.NOT_PERMITTED, new In(1, ALL_BITS, SET_FILE_FLAGS)));
        // By an argument that is 0 for the caller.
        for (var call : List.of(Syscall.PRLIMIT64, Syscall.SCHED_SETAFFINITY, Syscall.SCHED_SETSCHEDULER,
                Syscall.SCHED_SETPARAM, Syscall.SCHED_SETATTR)) {
            rules.add(new Rule(call, Denial.NOT_PERMITTED, new NotIn(0, ALL_BITS, List.of(0))));
        }
        for (var call : List.of(Syscall.SETPRIORITY, Syscall.IOPRIO_SET)) {
            rules.add(new Rule(call, Denial.NOT_PERMITTED, new NotIn(1, ALL_BITS, List.of(0))));
        }
        // Nor may a process change what it is known by after its end.
        rules.add(new Rule(Syscall.PRLIMIT64, Denial.NOT_PERMITTED, new In(1, ALL_BITS, List.of(RLIMIT_MSGQUEUE))));
        rules.add(new Rule(Syscall.SETRLIMIT, Denial.NOT_PERMITTED, new In(0, ALL_BITS, List.of(RLIMIT_MSGQUEUE))));
        // What the 0 stands for: a process or its group (0, 1), but not all that the user has (2).
        rules.add(new Rule(Syscall.SETPRIORITY, Denial.NOT_PERMITTED, new NotIn(0, ALL_BITS, List.of(0, 1))));
        rules.add(new Rule(Syscall.IOPRIO_SET, Denial.NOT_PERMITTED, new NotIn(0, ALL_BITS, List.of(1, 2))));
    }

    /// Times are left alone like modes. But who gives a file, by its name, the present time may take success for a proof
    /// that there is one, as `Path.touch` of Python does, which makes none then; so that fails.
    private static void times(List<Rule> rules) {
        for (var call : List.of(Syscall.UTIME, Syscall.UTIMES)) {
            rules.add(new Rule(call, Denial.NOT_PERMITTED, new In(1, ALL_BITS, NULL)));
            rules.add(new Rule(call, Denial.PRETENDED, new NotIn(1, ALL_BITS, NULL)));
        }
        for (var call : List.of(Syscall.FUTIMESAT, Syscall.UTIMENSAT)) {
            // Without a name, it is about an open file.
            rules.add(new Rule(call, Denial.NOT_PERMITTED, new NotIn(1, ALL_BITS, NULL), new In(2, ALL_BITS, NULL)));
            rules.add(new Rule(call, Denial.PRETENDED, new In(1, ALL_BITS, NULL)));
            rules.add(new Rule(call, Denial.PRETENDED, new NotIn(2, ALL_BITS, NULL)));
        }
    }

    private static void deny(List<Rule> rules, List<Syscall> calls, Denial denial) {
        for (var call : calls) {
            rules.add(new Rule(call, denial));
        }
    }

    /// @return the filter, as bubblewrap's `--seccomp` and the call `seccomp` take it
    public static byte[] program(Arch arch, Sockets sockets, Scope scope) {
        var bpf = new Bpf();
        prologue(bpf, arch);
        var byCall = new EnumMap<Syscall, List<Rule>>(Syscall.class);
        for (var rule : rules(sockets, scope)) {
            if (rule.syscall().number(arch) >= 0) {
                byCall.computeIfAbsent(rule.syscall(), _ -> new ArrayList<>()).add(rule);
            }
        }
        // Calls with tests come first: some of them are frequent, and the others are always denied.
        var tested = new EnumMap<Syscall, List<Rule>>(Syscall.class);
        var plain = new EnumMap<Denial, List<Syscall>>(Denial.class);
        byCall.forEach((call, rules) -> {
            if (rules.getFirst().when().isEmpty()) {
                plain.computeIfAbsent(rules.getFirst().denial(), _ -> new ArrayList<>()).add(call);
            } else {
                tested.put(call, rules);
            }
        });
        tested.forEach((call, rules) -> tested(bpf, call.number(arch), rules));
        plain.forEach((denial, calls) -> {
            for (int from = 0; from < calls.size(); from += BLOCK) {
                plain(bpf, arch, denial, calls.subList(from, Math.min(calls.size(), from + BLOCK)));
            }
        });
        bpf.emit(Bpf.RETURN, ALLOW);
        return bpf.assemble();
    }

    private static void prologue(Bpf bpf, Arch arch) {
        var ours = new Label();
        bpf.emit(Bpf.LOAD, ARCH_OFFSET);
        bpf.jump(Bpf.JUMP_IF_EQUAL, arch.auditNumber(), ours, bpf.next());
        bpf.emit(Bpf.RETURN, KILL_PROCESS);
        bpf.set(ours);
        bpf.emit(Bpf.LOAD, NUMBER_OFFSET);
        var known = new Label();
        var small = new Label();
        bpf.jump(Bpf.JUMP_IF_GREATER_OR_EQUAL, Syscall.UNKNOWN, bpf.next(), known);
        bpf.jump(Bpf.JUMP_IF_GREATER_OR_EQUAL, X32, bpf.next(), small);
        bpf.emit(Bpf.RETURN, KILL_PROCESS);
        bpf.set(small);
        bpf.emit(Bpf.RETURN, ERRNO | Denial.NO_SUCH_CALL.errno);
        bpf.set(known);
    }

    private static void tested(Bpf bpf, int number, List<Rule> rules) {
        var otherCall = new Label();
        bpf.jump(Bpf.JUMP_IF_EQUAL, number, bpf.next(), otherCall);
        for (var rule : rules) {
            var nextRule = new Label();
            for (var test : rule.when()) {
                test(bpf, test, nextRule);
            }
            bpf.emit(Bpf.RETURN, ERRNO | rule.denial().errno);
            bpf.set(nextRule);
        }
        if (rules.stream().noneMatch(rule -> rule.when().isEmpty())) {
            bpf.emit(Bpf.RETURN, ALLOW);
        }
        bpf.set(otherCall);
    }

    private static void test(Bpf bpf, Test test, Label fails) {
        bpf.emit(Bpf.LOAD, ARGUMENTS_OFFSET + ARGUMENT_BYTES * test.argument());
        switch (test) {
            case AnyBit(_, int mask) -> bpf.jump(Bpf.JUMP_IF_ANY_BIT, mask, bpf.next(), fails);
            case In(_, int mask, var values) -> {
                var holds = new Label();
                bpf.emit(Bpf.AND, mask);
                for (int value : values.subList(0, values.size() - 1)) {
                    bpf.jump(Bpf.JUMP_IF_EQUAL, value, holds, bpf.next());
                }
                bpf.jump(Bpf.JUMP_IF_EQUAL, values.getLast(), bpf.next(), fails);
                bpf.set(holds);
            }
            case NotIn(_, int mask, var values) -> {
                bpf.emit(Bpf.AND, mask);
                for (int value : values) {
                    bpf.jump(Bpf.JUMP_IF_EQUAL, value, fails, bpf.next());
                }
            }
        }
    }

    private static void plain(Bpf bpf, Arch arch, Denial denial, List<Syscall> calls) {
        var denied = new Label();
        var rest = new Label();
        for (var call : calls.subList(0, calls.size() - 1)) {
            bpf.jump(Bpf.JUMP_IF_EQUAL, call.number(arch), denied, bpf.next());
        }
        bpf.jump(Bpf.JUMP_IF_EQUAL, calls.getLast().number(arch), denied, rest);
        bpf.set(denied);
        bpf.emit(Bpf.RETURN, ERRNO | denial.errno);
        bpf.set(rest);
    }
}
