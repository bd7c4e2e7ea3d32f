package dev.capsule.worker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.lang.ref.WeakReference;
import org.junit.jupiter.api.Test;

class HeapTest {
    private static final int MEBIBYTE = 1 << 20;

    /// The JVM let the old objects of a busy session grow by 12 MB a minute, and would have gone on up to 768.
    @Test
    void whatIsOfNoMoreUseIsCollectedWhenThereIsMuchOfIt() {
        var heap = new Heap();
        var lost = new WeakReference<>(new byte[100 * MEBIBYTE]);
        heap.tidy();
        assertNull(lost.get());
    }

    @Test
    void nothingIsCollectedWhileThereIsLittleMoreThanTheLastTime() {
        var heap = new Heap();
        byte[] ofUse = new byte[100 * MEBIBYTE];
        heap.tidy();
        var lost = new WeakReference<>(new byte[10 * MEBIBYTE]);
        heap.tidy();
        assertNotNull(lost.get());
        assertEquals(100 * MEBIBYTE, ofUse.length);
    }
}
