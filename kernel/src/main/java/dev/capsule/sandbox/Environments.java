package dev.capsule.sandbox;

import dev.capsule.policy.Profile;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/// The environment of a worker: nothing of the kernel's own is in it, as tokens and passwords are often kept there.
final class Environments {
    private static final String SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin";

    /// Libraries start a thread for each processor, in each process.
    private static final int LIBRARY_THREADS_SHARE = 16;

    private Environments() {}

    static Map<String, String> of(Profile profile, Program program, int processors, Path home, Path tmp) {
        var environment = new HashMap<String, String>();
        var interpreter = Path.of(program.command().getFirst()).getParent();
        environment.put("PATH", interpreter == null || SYSTEM_PATH.contains(interpreter + ":")
                ? SYSTEM_PATH
                : interpreter + ":" + SYSTEM_PATH);
        environment.put("HOME", home.toString());
        environment.put("USER", "user");
        environment.put("LANG", "C.UTF-8");
        environment.put("TMPDIR", tmp.toString());
        // Packages are read-only; without this, Python tries to write beside each.
        environment.put("PYTHONDONTWRITEBYTECODE", "1");
        int threads = Math.max(1, Math.min(processors,
                profile.limits().processes() / LIBRARY_THREADS_SHARE));
        environment.put("OPENBLAS_NUM_THREADS", Integer.toString(threads));
        environment.put("OMP_NUM_THREADS", Integer.toString(threads));
        environment.putAll(program.environment());
        return environment;
    }
}
