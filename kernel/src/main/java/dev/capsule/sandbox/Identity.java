package dev.capsule.sandbox;

import dev.capsule.sandbox.Staging.Owners;
import java.util.List;

/// The system's user that a worker runs as.
public sealed interface Identity {
    /// The kernel's own, who is not root.
    record KernelsOwn() implements Identity {}

    /// One of its own, which has no name and no files; the kernel is root's.
    ///
    /// @param uid also the number of its group; at [Tier#L3] the first of those that the workers take turns in
    /// @param workspace whose the files of the workspace appear to be
    record Dedicated(int uid, Owners workspace) implements Identity {}

    /// Numbers that nobody is given: neither people nor services nor containers (systemd, "Users, Groups, UIDs and GIDs on
    /// systemd Systems").
    int FIRST_UNUSED = 1_879_048_192;

    /// How many the kernel of Linux gives process ids (`PID_MAX_LIMIT`).
    int PROCESSES = 1 << 22;

    /// How many of them there are for the workers of one kernel, which take turns.
    int TURNS = 64;

    /// In a container with few users, those of one kernel are this far apart: kernels that are started one after the other
    /// have neighbouring numbers.
    int STRIDE = 4_099;

    /// A user for the workers of one kernel.
    ///
    /// @param kernelPid tells kernels that run at the same time apart
    /// @param turn tells users of one kernel apart, from 0 on
    /// @param uidMap the lines of `/proc/self/uid_map`
    static int dedicatedUid(long kernelPid, int turn, List<String> uidMap) {
        long end = 0;
        for (String line : uidMap) {
            String[] parts = line.strip().split(" +", -1);
            end = Math.max(end, Long.parseLong(parts[0]) + Long.parseLong(parts[2]));
        }
        if (end >= FIRST_UNUSED + (long) TURNS * PROCESSES) {
            return FIRST_UNUSED + turn % TURNS * PROCESSES + (int) (kernelPid % PROCESSES);
        }
        // A container with few users of its own; the last of them are the least likely to be used.
        long span = Math.max(1, end / 4);
        return (int) (end - 1 - (kernelPid + (long) STRIDE * turn) % span);
    }
}
