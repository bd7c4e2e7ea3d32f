package dev.capsule.session;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Optional;
import org.junit.jupiter.api.Test;

class CommandTest {
    @Test
    void deathsAndRecycleStandAlone() {
        assertEquals(Optional.of(new Command.Deaths()), Command.parse(" %deaths\n"));
        assertEquals(Optional.of(new Command.Recycle()), Command.parse("%recycle"));
        assertEquals(Optional.of(new Command.Malformed("%recycle takes nothing: now")),
                Command.parse("%recycle now"));
        assertEquals(Optional.empty(), Command.parse("x = 1\n%recycle"));
    }

    /// IPython was handed the line then, and knew no such magic: the kernel's own commands were none with a comment.
    @Test
    void aCommentMayFollow() {
        assertEquals(Optional.of(new Command.Undo(1)), Command.parse("%undo # why"));
        assertEquals(Optional.of(new Command.Undo(3)), Command.parse("%undo 3\t#why # not\n"));
        assertEquals(Optional.of(new Command.Recycle()), Command.parse("%recycle #"));
        assertEquals(Optional.of(new Command.Checkpoint("a")), Command.parse("%checkpoint a # before training"));
        assertEquals(Optional.of(new Command.Malformed("%goto has no cell; %snapshots lists where it can go")),
                Command.parse("%goto # back"));
        assertEquals(Optional.of(new Command.Transact(Transaction.ROLLBACK_ALWAYS,
                "#%%transaction rollback_always # a dry run\nx = 1")),
                Command.parse("%%transaction rollback_always # a dry run\nx = 1"));
        assertEquals(Optional.empty(), Command.parse("%undo# why"));
        assertEquals(Optional.empty(), Command.parse("%undo # why\nx = 1"));
    }
}
