package dev.capsule.session;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.capsule.policy.Limit;
import dev.capsule.policy.Profile;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class AdviceTest {
    private static final Path FILE = Path.of("/home/ada/.config/capsule/profiles.json");
    private static final Path NOTEBOOKS = Path.of("/home/ada/notebooks");

    private static Advice advice(Profile profile, Advice.Kept kept) {
        return new Advice(profile, Optional.of(FILE), kept, NOTEBOOKS);
    }

    private static Outcome.Failed error(String ename, String evalue, String line) {
        return new Outcome.Failed(ename, evalue, List.of("Traceback", line, ename + ": " + evalue), false);
    }

    /// @return the line that is added; empty when none is
    private static String hint(String ename, String evalue, String line) {
        var before = error(ename, evalue, line);
        var after = advice(Profile.DEFAULT, Advice.Kept.SANDBOXED).explain(before, () -> false);
        assertEquals(before.traceback(), after.traceback().subList(0, before.traceback().size()));
        return after.traceback().size() == before.traceback().size() ? "" : after.traceback().getLast();
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {"MemoryError | `` | x | memory",
            "_ArrayMemoryError | Unable to allocate 8.00 GiB for an array | x | memory",
            "OSError | [Errno 24] Too many open files: 'x' | x | descriptors",
            "BlockingIOError | [Errno 11] Resource temporarily unavailable | pid = os.fork() | processes",
            "RuntimeError | can't start new thread | x | processes",
            "OSError | [Errno 27] File too large | x | fileSize",
            "OSError | [Errno 28] No space left on device | x | tmp",
            "OperationalError | database or disk is full | x | tmp"})
    void anErrorThatALimitCausesNamesIt(String ename, String evalue, String line, String limit) {
        String said = hint(ename, evalue, line);
        assertTrue(said.contains("the limit \"%s\" of profile \"default\" is ".formatted(limit)), said);
        assertTrue(said.contains(FILE.toString()), said);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "BlockingIOError | [Errno 11] Resource temporarily unavailable | os.read(pipe, 1)",
            "ValueError | x | os.fork()", "FileNotFoundError | [Errno 2] No such file or directory: 'data.csv' | x",
            "FileNotFoundError | [Errno 2] No such file or directory: '/tmp/data.csv' | x",
            "FileNotFoundError | [Errno 2] No such file or directory: '/home/ada/notebooks/data.csv' | x",
            "PermissionError | [Errno 13] Permission denied: 'x' | x",
            "PermissionError | [Errno 1] Operation not permitted | os.chmod(skill, 0o4755)",
            "CalledProcessError | Command 'x' died with <Signals.SIGKILL: 9>. | x"})
    void anErrorOfTheCellsOwnIsLeftAlone(String ename, String evalue, String line) {
        assertEquals("", hint(ename, evalue, line));
    }

    @Test
    void aChildThatWasKilledForMemoryIsTheLimits() {
        var said = advice(Profile.DEFAULT, Advice.Kept.SANDBOXED)
                .explain(error("CalledProcessError", "Command 'x' died with <Signals.SIGKILL: 9>.", "x"), () -> true)
                .traceback().getLast();
        assertTrue(said.contains("the limit \"memory\""), said);
    }

    /// The files that tell whether one was killed for memory were read for every error, and so for every interrupt.
    @Test
    void onlyWhereAChildWasKilledItIsAskedWhatFor() {
        var error = error("KeyboardInterrupt", "", "x");
        assertEquals(error, advice(Profile.DEFAULT, Advice.Kept.SANDBOXED).explain(error, Assertions::fail));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {"os.kill(-1, 9)", "os.killpg(1, 9)",
            "os\u001b[38;5;241m.\u001b[39mkill\u001b[43m(\u001b[49m"})
    void aSignalThatIsForbiddenIsExplained(String line) {
        assertTrue(hint("PermissionError", "[Errno 1] Operation not permitted", line).contains("not all processes"));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {"gaierror | [Errno -2] Name or service not known",
            "OSError | [Errno 101] Network is unreachable",
            "URLError | <urlopen error [Errno -3] Temporary failure in name resolution>"})
    void aNetworkThatIsNotThereIsExplained(String ename, String evalue) {
        assertTrue(hint(ename, evalue, "x").contains("capsule install --network host"));
        var error = error(ename, evalue, "x");
        assertEquals(error, advice(Profile.DEFAULT.withNetwork(Profile.Network.HOST), Advice.Kept.SANDBOXED)
                .explain(error, () -> false));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "FileNotFoundError | [Errno 2] No such file or directory: '/home/ada/data.csv'",
            "FileNotFoundError | [Errno 2] No such file or directory: '/home/ada/notebooks/../data.csv'",
            "PermissionError | [Errno 13] Permission denied: '/home/ada/data.csv'",
            "OSError | [Errno 30] Read-only file system: '/usr/lib/x'"})
    void aFileOutsideOfTheWorkspaceIsExplained(String ename, String evalue) {
        String said = hint(ename, evalue, "x");
        assertTrue(said.contains("those in " + NOTEBOOKS), said);
    }

    @Test
    void withoutASandboxNothingIsItsDoing() {
        var error = error("MemoryError", "", "x");
        assertEquals(error, advice(Profile.DEFAULT, Advice.Kept.FREE).explain(error, () -> false));
    }

    @Test
    void aLimitIsNamedHoweverTheCellEnds() {
        var advice = advice(Profile.LOCKED, Advice.Kept.SANDBOXED);
        var stopped = (Outcome.Failed) advice.failed(Limit.CELL_DEADLINE, error("KeyboardInterrupt", "", "x"),
                Advice.Variables.KEPT);
        assertEquals("LimitExceeded", stopped.ename());
        assertEquals(
                "the cell was stopped; the variables are kept: the limit \"cellDeadline\" of profile \"locked\" is 30 s; "
                        + "to raise it: {\"locked\": {\"cellDeadline\": \"5 min\"}} in " + FILE
                        + ", and restart the kernel",
                stopped.evalue());
        var undone = (Outcome.Failed) advice.failed(Limit.CELL_DEADLINE, error("KeyboardInterrupt", "", "x"),
                Advice.Variables.AS_BEFORE);
        assertTrue(
                undone.evalue().startsWith("the cell was stopped; the variables are as they were before it: the limit"),
                undone.evalue());
        var died = (Outcome.Failed) advice.failed(Limit.MEMORY, error(Outcome.WORKER_DIED, "all is lost", "x"),
                Advice.Variables.KEPT);
        assertTrue(died.evalue().startsWith("all is lost\nCapsule: the limit \"memory\""), died.evalue());
    }
}
