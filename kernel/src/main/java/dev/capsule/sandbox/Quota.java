package dev.capsule.sandbox;

import dev.capsule.policy.Limit;
import dev.capsule.policy.Profile.Limits;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/// What a worker may use up that no limit on one process covers, for whoever watches it from outside.
///
/// @param inMemory file systems in memory of the worker's own, by its names; their size is limited, and not how many
///        files they hold. Those that do not exist are left out
/// @param growing directories on disk that must not grow by more than the limit
public record Quota(Limits limits, List<Path> inMemory, Map<Limit, Path> growing) {
    public Quota {
        inMemory = List.copyOf(inMemory);
        growing = Map.copyOf(growing);
    }
}
