package dev.capsule.worker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.capsule.policy.Profile;
import dev.capsule.sandbox.Launch;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

class CgroupTest {
    private static final Path GROUPS = Path.of("/proc/self/cgroup");
    private static final Path MOUNTS = Path.of("/proc/self/mountinfo");

    @Test
    void ownGroupsOfVersionOneAreFound() {
        var mounts = List.of(
                "24 1 0:22 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory",
                "25 1 0:23 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct",
                "26 1 0:24 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids", "27 1 0:25 / / rw - ext4 /dev/vda rw");
        assertEquals(
                Map.of("memory", Path.of("/sys/fs/cgroup/memory/jobs/7"), "cpu", Path.of("/sys/fs/cgroup/cpu,cpuacct"),
                        "cpuacct", Path.of("/sys/fs/cgroup/cpu,cpuacct"), "pids", Path.of("/sys/fs/cgroup/pids/a:b")),
                Cgroup.own(List.of("4:memory:/jobs/7", "2:cpu,cpuacct:/", "8:pids:/a:b", "1:name=systemd:/"), mounts));
    }

    /// A container sees the part of the hierarchy that is its own as if it were the whole.
    @Test
    void theGroupOfAContainerIsBelowWhatItSees() {
        assertEquals(Map.of("", Path.of("/sys/fs/cgroup/leaf")),
                Cgroup.own(List.of("0::/docker/1f/leaf"),
                        List.of("24 1 0:22 /docker/1f /sys/fs/cgroup rw - cgroup2 cgroup rw")));
        assertEquals(Map.of("", Path.of("/sys/fs/cgroup/user.slice")), Cgroup.own(List.of("0::/user.slice"),
                List.of("24 1 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup rw,nsdelegate")));
    }

    @Test
    void withoutAHierarchyThereIsNoPlace() throws IOException {
        var nothing = Files.createTempFile("cgroup", "");
        try {
            assertEquals(Optional.empty(), Cgroup.find(nothing, nothing));
        } finally {
            Files.delete(nothing);
        }
    }

    @Test
    void whatIsInAGroupEndsWithItAndNothingIsLeft() throws IOException {
        var place = Cgroup.find(GROUPS, MOUNTS);
        assumeTrue(place.isPresent(), "no control group can be made here");
        var group = Cgroup.make(place.get(), 1_000, Profile.LOCKED.limits(), 0);
        var child = start("exec tail -f /dev/null");
        assertTrue(group.add(child.pid()));
        assertTrue(group.processes().contains(child.pid()));
        assertEquals(0, group.killsForMemory());
        group.close();
        assertEquals(128 + Posix.SIGKILL, child.exit().join());
        assertTrue(group.directories().stream().noneMatch(Files::exists), group.directories()::toString);
        assertFalse(group.directories().isEmpty());
    }

    /// What has ended, and was not waited for, is in no group's list: it was put into the group again and again, as its own
    /// descendant, until the stack was full. So a worker was that ended at once.
    @Test
    @Timeout(60)
    void whatHasEndedButIsThereIsPutIntoAGroupOnce() throws IOException {
        var place = Cgroup.find(GROUPS, MOUNTS);
        assumeTrue(place.isPresent(), "no control group can be made here");
        var group = Cgroup.make(place.get(), 1_001, Profile.LOCKED.limits(), 0);
        var child = start("true & exec tail -f /dev/null");
        List<Long> started = List.of();
        while (started.isEmpty() || ProcessTree.threads(started.getFirst()) > 0) {
            started = ProcessTree.children(child.pid());
        }
        group.addTree(child.pid());
        assertTrue(group.processes().contains(child.pid()));
        group.close();
        assertEquals(128 + Posix.SIGKILL, child.exit().join());
    }

    private static Child start(String script) throws IOException {
        int nothing = Posix.openToWrite(Path.of("/dev/null"));
        try {
            return Child.start(new Launch("sh", List.of("/bin/sh", "-c", script), Map.of(), Path.of("/")),
                    List.of(nothing, nothing, nothing));
        } finally {
            Posix.close(nothing);
        }
    }
}
