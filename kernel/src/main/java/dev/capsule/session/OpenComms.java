package dev.capsule.session;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/// The comms that are open in one worker: what both sides say of them passes here, so that nobody need wait for the
/// worker to know. Guarded by the session.
final class OpenComms {
    /// Of more, the oldest are forgotten: the worker's code may open any number.
    static final int MAX = 100_000;

    private final Map<String, String> targets = Bounded.map(MAX);

    void said(CommMessage.Kind kind, String commId, String target) {
        switch (kind) {
            case OPEN -> targets.put(commId, target);
            case MSG -> {
            }
            case CLOSE -> targets.remove(commId);
        }
    }

    boolean has(String commId) {
        return targets.containsKey(commId);
    }

    /// Another process serves, in which these are open.
    void replace(Map<String, String> others) {
        targets.clear();
        targets.putAll(others);
    }

    /// @param target empty for those of every target
    /// @return the targets by the comms' ids
    Map<String, String> list(Optional<String> target) {
        var listed = new LinkedHashMap<>(targets);
        target.ifPresent(wanted -> listed.values().removeIf(other -> !other.equals(wanted)));
        return Collections.unmodifiableMap(listed);
    }
}
