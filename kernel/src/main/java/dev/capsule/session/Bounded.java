package dev.capsule.session;

import java.util.LinkedHashMap;
import java.util.Map;

/// A map that forgets its oldest entries.
final class Bounded<V> extends LinkedHashMap<String, V> {
    private static final long serialVersionUID = 1L;

    private final int max;

    private Bounded(int max) {
        this.max = max;
    }

    static <V> Map<String, V> map(int max) {
        return new Bounded<>(max);
    }

    @Override
    protected boolean removeEldestEntry(Map.Entry<String, V> eldest) {
        return size() > max;
    }
}
