package dev.capsule.sandbox;

import java.util.Locale;

/// The system calls that the filter knows by name, with their numbers (Linux 6.17: `arch/x86/entry/syscalls/syscall_64.tbl`
/// and `scripts/syscall.tbl`).
enum Syscall {
    // Look into and steer other processes.
    PTRACE(101, 117), PROCESS_VM_READV(310, 270), PROCESS_VM_WRITEV(311, 271), KCMP(312, 272), PIDFD_GETFD(438,
            438), PROCESS_MADVISE(440, 440),
    // Mounts and roots.
    MOUNT(165, 40), UMOUNT2(166, 39), PIVOT_ROOT(155, 41), CHROOT(161, 51), MOVE_MOUNT(429, 429), OPEN_TREE(428,
            428), OPEN_TREE_ATTR(467, 467), FSOPEN(430, 430), FSCONFIG(431, 431), FSMOUNT(432,
                    432), FSPICK(433, 433), MOUNT_SETATTR(442, 442), STATMOUNT(457, 457), LISTMOUNT(458, 458),
    // Namespaces and processes.
    UNSHARE(272, 97), SETNS(308, 268), CLONE(56, 220), CLONE3(435, 435), PERSONALITY(135, 92), KILL(62, 129),
    // Large interfaces of the kernel that hold most of its holes, and some that a filter of other calls does not see.
    KEYCTL(250, 219), ADD_KEY(248, 217), REQUEST_KEY(249, 218), BPF(321, 280), PERF_EVENT_OPEN(298, 241), USERFAULTFD(
            323, 282), IO_URING_SETUP(425, 425), IO_URING_ENTER(426,
                    426), IO_URING_REGISTER(427, 427), VMSPLICE(278, 75), MEMFD_SECRET(447, 447),
    // The machine.
    KEXEC_LOAD(246, 104), KEXEC_FILE_LOAD(320, 294), INIT_MODULE(175, 105), FINIT_MODULE(313, 273), DELETE_MODULE(176,
            106), REBOOT(169, 142), SWAPON(167, 224), SWAPOFF(168, 225), ACCT(163, 89), QUOTACTL(179, 60), QUOTACTL_FD(
                    443, 443), SYSLOG(103, 116), CLOCK_SETTIME(227, 112), SETTIMEOFDAY(164, 170), ADJTIMEX(159,
                            171), CLOCK_ADJTIME(305, 266), IOPL(172, -1), IOPERM(173, -1), MODIFY_LDT(154, -1),
    // Placement of memory.
    MBIND(237, 235), SET_MEMPOLICY(238, 237), GET_MEMPOLICY(239, 236), SET_MEMPOLICY_HOME_NODE(450,
            450), MOVE_PAGES(279, 239), MIGRATE_PAGES(256, 238),
    // Files by handle, and watches on whole mounts.
    OPEN_BY_HANDLE_AT(304, 265), NAME_TO_HANDLE_AT(303, 264), FANOTIFY_INIT(300, 262), INOTIFY_ADD_WATCH(254, 27),
    // Files and their modes.
    OPEN(2, -1), OPENAT(257, 56), OPENAT2(437, 437), CREAT(85, -1), MKNOD(133, -1), MKNODAT(259, 33), CHMOD(90,
            -1), FCHMOD(91, 52), FCHMODAT(268, 53), FCHMODAT2(452, 452),
    // Owners, times and attributes, which Landlock does not cover.
    CHOWN(92, -1), FCHOWN(93, 55), LCHOWN(94, -1), FCHOWNAT(260, 54), UTIME(132, -1), UTIMES(235, -1), FUTIMESAT(261,
            -1), UTIMENSAT(280, 88), SETXATTR(188, 5), LSETXATTR(189, 6), FSETXATTR(190,
                    7), SETXATTRAT(463, 463), REMOVEXATTR(197, 14), LREMOVEXATTR(198,
                            15), FREMOVEXATTR(199, 16), REMOVEXATTRAT(466, 466), GETXATTR(191, 8), LGETXATTR(192,
                                    9), GETXATTRAT(464, 464), LISTXATTR(194,
                                            11), LLISTXATTR(195,
                                                    12), LISTXATTRAT(465, 465), FILE_SETATTR(469, 469), IOCTL(16, 29),
    // Sockets.
    SOCKET(41, 198), SOCKETPAIR(53, 199), CONNECT(42, 203), BIND(49, 200), LISTEN(50, 201), ACCEPT(43,
            202), ACCEPT4(288, 242),
    // Limits and priorities, which may be another process'.
    PRLIMIT64(302, 261), SETRLIMIT(160, 164), SETPRIORITY(141, 140), IOPRIO_SET(251, 30), SCHED_SETAFFINITY(203,
            122), SCHED_SETSCHEDULER(144, 119), SCHED_SETPARAM(142, 118), SCHED_SETATTR(314, 274),
    // System V and POSIX objects that all processes of a user share.
    SHMGET(29, 194), SHMAT(30, 196), SHMCTL(31, 195), SEMGET(64, 190), SEMOP(65, 193), SEMTIMEDOP(220, 192), SEMCTL(66,
            191), MSGGET(68,
                    186), MSGSND(69, 189), MSGRCV(70, 188), MSGCTL(71, 187), MQ_OPEN(240, 180), MQ_UNLINK(241, 181),
    // For the kernel's own use.
    SECCOMP(317, 277), PRCTL(157, 167), CLOSE(3, 57);

    /// The first number that neither architecture has a call for.
    static final int UNKNOWN = 470;

    private final int onX86;
    private final int onArm;

    Syscall(int onX86, int onArm) {
        this.onX86 = onX86;
        this.onArm = onArm;
    }

    /// @return negative where the architecture does not have it
    int number(Seccomp.Arch arch) {
        return switch (arch) {
            case X86_64 -> onX86;
            case AARCH64 -> onArm;
        };
    }

    /// As the system's headers have it, such as `process_vm_readv`
    String title() {
        return name().toLowerCase(Locale.ROOT);
    }
}
