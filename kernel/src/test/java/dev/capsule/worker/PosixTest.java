package dev.capsule.worker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Test;

class PosixTest {
    /// Each kernel had more than two megabytes of zeros, for output that most of them never read.
    @Test
    void reservedMemoryIsNotTakenBeforeItIsUsed() throws Exception {
        long pid = ProcessHandle.current().pid();
        long before = ProcessTree.anonymousBytes(pid);
        var reserved = Posix.reserve(1 << 30);
        long taken = ProcessTree.anonymousBytes(pid) - before;
        assertTrue(taken < 1 << 28, () -> taken + " bytes");
        long last = reserved.byteSize() - 1;
        reserved.set(ValueLayout.JAVA_BYTE, last, (byte) 7);
        assertEquals(7, reserved.get(ValueLayout.JAVA_BYTE, last));
        assertEquals(0, reserved.get(ValueLayout.JAVA_BYTE, 0));
    }
}
