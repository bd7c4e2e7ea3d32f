package dev.capsule.session;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/// Which state a snapshot shows, when several shells run cells at once.
class SnapshotsTest {
    private final Snapshots snapshots = new Snapshots(0);

    private void begins(String id) {
        snapshots.runs(id, Optional.empty(), id);
    }

    private void runs(String... ids) {
        for (String id : ids) {
            begins(id);
            snapshots.settled(id);
        }
    }

    private String wayBack() {
        return snapshots.from(snapshots.present())
                .map(way -> way.to().pid() + " without " + way.lost()).orElse("none");
    }

    @Test
    void oneShowsWhatWasSettledBeforeIt() {
        runs("a");
        assertEquals(List.of(), snapshots.made(1, "a"));
        assertEquals("1 without []", wayBack());
        runs("b");
        assertEquals("1 without [b]", wayBack());
    }

    @Test
    void theNextCellMayHaveBeenGivenMeanwhile() {
        runs("a");
        begins("b");
        assertEquals(List.of(), snapshots.made(1, "a"));
        assertEquals("1 without []", wayBack());
    }

    /// The main shell's was sent first, and the worker has begun it last.
    @Test
    void cellsOfSeveralShellsMayBeginInAnotherOrderThanTheyWereSent() {
        begins("main");
        begins("beside");
        snapshots.settled("beside");
        snapshots.settled("main");
        assertEquals(List.of(), snapshots.made(1, "main"));
        assertEquals(Optional.of(1), snapshots.of(snapshots.present()).map(Snapshots.Snapshot::pid));
    }

    /// The cell that was sent first has not begun yet: no state that is kept here is without it and with the other.
    @Test
    void oneThatShowsOnlyTheLaterOfTwoCellsIsNotKept() {
        begins("main");
        runs("beside");
        assertEquals(List.of(1), snapshots.made(1, "beside"));
        assertEquals("none", wayBack());
    }

    @Test
    void cellsThatRunAreNotAmongWhatIsLost() {
        runs("a");
        snapshots.made(1, "a");
        begins("main");
        runs("beside");
        begins("another");
        assertEquals("1 without [beside]", wayBack());
    }

    @Test
    void oneOfAnUnknownCellIsNotKept() {
        runs("a");
        assertEquals(List.of(7), snapshots.made(7, "never"));
    }

    /// Each cell was remembered for as long as its worker lived: 170 bytes, 600 times a second.
    @Test
    void whatIsFarBackAndHasNoSnapshotIsTakenTogether() {
        snapshots.made(1, "");
        runMany(10_000);
        var way = snapshots.from(snapshots.present()).orElseThrow();
        assertEquals(1, way.to().pid());
        assertTrue(way.lost().size() <= 2_001, "" + way.lost().size());
        assertTrue(way.lost().getFirst().startsWith("the cells up to many"), way.lost().getFirst());
        assertEquals("many9999", way.lost().getLast());
    }

    @Test
    void noSnapshotIsForgotten() {
        snapshots.made(1, "");
        runMany(500);
        snapshots.made(2, "many499");
        runMany(10_000);
        var way = snapshots.from(snapshots.present()).orElseThrow();
        assertEquals(2, way.to().pid());
        assertTrue(way.lost().size() <= 2_001, "" + way.lost().size());
        snapshots.gone(2);
        way = snapshots.from(snapshots.present()).orElseThrow();
        assertEquals(1, way.to().pid());
        assertTrue(way.snapshotsGone());
    }

    /// What was between two snapshots was never looked at again.
    @Test
    void allThatIsFarBackIsTakenTogether() {
        snapshots.made(1, "");
        for (int pid = 2; pid < 30; pid++) {
            runMany(1_300);
            snapshots.made(pid, "many1299");
        }
        runMany(2_000);
        for (int pid = 29; pid > 1; pid--) {
            snapshots.gone(pid);
        }
        var way = snapshots.from(snapshots.present()).orElseThrow();
        assertTrue(way.lost().size() < 2_050, "" + way.lost().size());
        assertTrue(way.snapshotsGone());
    }

    @Test
    void noCellIsTakenBackThatIsTakenTogetherWithOthers() {
        snapshots.made(1, "");
        for (int number = 1; number <= 5_000; number++) {
            snapshots.runs("c" + number, Optional.of(number), "In [" + number + "]");
            snapshots.settled("c" + number);
        }
        assertTrue(snapshots.back(900).isPresent());
        for (int cells = 2_100; cells < 5_100; cells++) {
            assertEquals(Optional.empty(), snapshots.back(cells));
        }
    }

    @Test
    void aCellThatRunsForLongIsNotTakenForOneThatEnded() {
        begins("long");
        runMany(5_000);
        assertEquals(List.of(1), snapshots.made(1, "many4999"));
        snapshots.settled("long");
        runMany(5_000);
        assertEquals(List.of(), snapshots.made(2, "many4999"));
    }

    private void runMany(int count) {
        for (int number = 0; number < count; number++) {
            runs("many" + number);
        }
    }
}
