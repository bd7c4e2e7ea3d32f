package dev.capsule.sandbox;

/// How a worker is fenced in, the best first.
public enum Tier {
    /// bubblewrap with namespaces of every kind and a `/proc` of its own.
    L1("bubblewrap with its own namespaces and /proc"),
    /// The same where mounting `/proc` is refused, as in many containers.
    L2("bubblewrap with its own namespaces, but the outer /proc: the command lines of all processes can be read"),
    /// No namespaces, as in most pods.
    L3("Landlock without namespaces: no sockets; file names, sizes and times outside can be looked up; chmod and utime "
            + "do nothing; what is in /dev/shm can be reached by its name");

    private final String description;

    Tier(String description) {
        this.description = description;
    }

    /// What it is and what it lacks, in plain words.
    public String describe() {
        return description;
    }
}
