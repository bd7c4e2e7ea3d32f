package dev.capsule.policy;

import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;

/// Where a user's files of one kind are (XDG base directory specification, 0.8): never in a workspace, which a cell could
/// write.
public enum UserDirectory {
    CONFIG("XDG_CONFIG_HOME", ".config"), DATA("XDG_DATA_HOME", ".local/share"), STATE("XDG_STATE_HOME",
            ".local/state");

    private final String variable;
    private final String belowHome;

    UserDirectory(String variable, String belowHome) {
        this.variable = variable;
        this.belowHome = belowHome;
    }

    /// Capsule's own directory among them.
    ///
    /// @return empty where neither the variable nor `HOME` is an absolute path
    public Optional<Path> in(Map<String, String> env) {
        String given = env.getOrDefault(variable, "");
        // A relative path is to be ignored, says the specification; it would be one in the workspace.
        if (given.startsWith("/")) {
            return Optional.of(Path.of(given, "capsule"));
        }
        String home = env.getOrDefault("HOME", "");
        return home.startsWith("/") ? Optional.of(Path.of(home, belowHome, "capsule")) : Optional.empty();
    }
}
