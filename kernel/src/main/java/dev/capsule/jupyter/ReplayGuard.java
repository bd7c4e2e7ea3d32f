package dev.capsule.jupyter;

import java.util.Arrays;

/// Knows the last signatures that were accepted, by their first 64 bits: nobody can make others that begin with the same. A
/// kernel keeps tens of thousands of them, so they are kept as numbers. Not safe for several threads.
final class ReplayGuard {
    private static final int FIRST_CAPACITY = 256;

    private final int max;
    /// In the order in which they came; round and round once there are as many as may be.
    private long[] signatures;
    private int count;
    private int oldest;
    /// Where each is in `signatures`, counted from 1; 0 is a free slot. A signature is in the slot that its last bits name,
    /// or in one after it with none free in between.
    private int[] slots;

    /// @param max how many are known, a power of two
    ReplayGuard(int max) {
        this.max = max;
        signatures = new long[Math.min(max, FIRST_CAPACITY)];
        slots = new int[2 * signatures.length];
    }

    /// @return whether it is none of those that are known; from now on it is
    boolean accepts(long signature) {
        if (slots[slot(signature)] != 0) {
            return false;
        }
        if (count == max) {
            free(slot(signatures[oldest]));
            put(signature, oldest);
            oldest = (oldest + 1) % max;
        } else {
            if (count == signatures.length) {
                grow();
            }
            put(signature, count);
            count++;
        }
        return true;
    }

    private void put(long signature, int place) {
        signatures[place] = signature;
        slots[slot(signature)] = place + 1;
    }

    private void grow() {
        signatures = Arrays.copyOf(signatures, 2 * count);
        slots = new int[4 * count];
        for (int i = 0; i < count; i++) {
            put(signatures[i], i);
        }
    }

    private int home(long signature) {
        return (int) signature & slots.length - 1;
    }

    private int after(int slot) {
        return slot + 1 & slots.length - 1;
    }

    /// The slot that it is in, or else the one for it.
    private int slot(long signature) {
        int slot = home(signature);
        while (slots[slot] != 0 && signatures[slots[slot] - 1] != signature) {
            slot = after(slot);
        }
        return slot;
    }

    /// Those after it that it kept from their own slot move up.
    private void free(int slot) {
        slots[slot] = 0;
        for (int next = after(slot); slots[next] != 0; next = after(next)) {
            int place = slots[next];
            slots[next] = 0;
            slots[slot(signatures[place - 1])] = place;
        }
    }
}
