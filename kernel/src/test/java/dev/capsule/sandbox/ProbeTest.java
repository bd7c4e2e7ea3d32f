package dev.capsule.sandbox;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.capsule.sandbox.Probe.Result;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// What becomes of what the system says; the system itself is asked in `SandboxTest`.
class ProbeTest {
    private static final Workspace NONE = new Workspace.Scratch("nothing is needed");

    /// Says one thing after the other, the last one again and again.
    private static Processes saying(Processes.Ended... answers) {
        var left = new ArrayDeque<>(List.of(answers));
        return new Processes() {
            @Override
            public Ended run(Launch launch, Duration patience) {
                return left.size() > 1 ? left.remove() : left.element();
            }

            @Override
            public int userNamespace(String uidMap, String gidMap) throws IOException {
                throw new IOException("none here");
            }
        };
    }

    private static final Processes.Ended HOLDS = new Processes.Ended(0, "end\n");

    @Test
    void theFirstThatHoldsIsTaken() throws IOException {
        var found = assertInstanceOf(Result.Available.class,
                Probe.run(saying(HOLDS), List.of(Tier.L1, Tier.L2, Tier.L3), NONE));
        assertEquals(Tier.L1, found.sandbox().tier());
        assertEquals(List.of(), found.refused());
    }

    @Test
    void aBetterOneThatIsMissingIsNamedWithItsReasonAndFix() throws IOException {
        var found = assertInstanceOf(Result.Available.class, Probe.run(
                saying(new Processes.Ended(1, "bwrap: Can't mount proc on /newroot/proc: Operation not permitted\n"),
                        HOLDS),
                List.of(Tier.L1, Tier.L2, Tier.L3), NONE));
        assertEquals(Tier.L2, found.sandbox().tier());
        assertEquals(
                "L1 is not available: bwrap: Can't mount proc on /newroot/proc: Operation not permitted (exit status "
                        + "1); fix: the container hides parts of /proc: start it with --security-opt systempaths=unconfined "
                        + "(Docker) or procMount: Unmasked (Kubernetes)",
                found.refused().getFirst().toString());
    }

    @Test
    void anOlderBubblewrapIsAskedAgainInItsOwnWords() throws IOException {
        var found = assertInstanceOf(Result.Available.class, Probe.run(
                saying(new Processes.Ended(1, "bwrap: Unknown option --bind-fd\n"), HOLDS), List.of(Tier.L1), NONE));
        assertEquals(false, assertInstanceOf(Sandbox.Namespaces.class, found.sandbox()).tools().bindsDescriptors());
    }

    @Test
    void aSandboxWithAHoleIsRefused() throws IOException {
        var found = assertInstanceOf(Result.Unavailable.class,
                Probe.run(saying(new Processes.Ended(0, "/etc/shadow can be read\nend\n")), List.of(Tier.L1), NONE));
        assertTrue(found.message().contains("it does not hold: /etc/shadow can be read"), found::message);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            bwrap: Unknown option --size                                                         | bubblewrap 0.8
            bwrap: setting up uid map: Permission denied                                         | AppArmor
            bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted                         | AppArmor
            bwrap: Creating new namespace failed: nesting depth or limits exceeded (ENOSPC)      | max_user_namespaces
            bwrap: No permissions to create new namespace, likely because the kernel does not... | unprivileged_userns_clone
            bwrap: something new                                                                 | run bwrap""")
    void eachReasonHasItsFix(String said, String fix) {
        assertTrue(Probe.fix(said).contains(fix), () -> Probe.fix(said));
    }

    /// Whatever was wrong, a later Linux was asked for.
    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            fchown failed with errno 1                                                 | --cap-add CHOWN
            setpriv: setgroups failed: Operation not permitted (exit status 127)       | --cap-add SETGID
            landlock_restrict_self failed with errno 1                                 | Linux 6.12""")
    void eachReasonForNoFenceHasItsFix(String said, String fix) {
        assertTrue(Probe.fenceFix(said).contains(fix), () -> Probe.fenceFix(said));
    }
}
