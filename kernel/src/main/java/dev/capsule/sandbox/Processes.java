package dev.capsule.sandbox;

import java.io.IOException;
import java.time.Duration;

/// What finding out about this machine needs of the package that starts processes.
public interface Processes {
    /// How a process ended.
    ///
    /// @param exitValue as [Process#exitValue] has it
    /// @param output what it wrote on standard output and error, cut
    record Ended(int exitValue, String output) {}

    /// Starts a process and waits for its end.
    ///
    /// @param patience after which it is killed, with all that it has started
    /// @throws IOException if it cannot be started
    Ended run(Launch launch, Duration patience) throws IOException;

    /// Makes a user namespace, as root.
    ///
    /// @param uidMap a line of `/proc/PID/uid_map`
    /// @return its descriptor, which is the caller's to close
    /// @throws IOException if the system refuses it
    int userNamespace(String uidMap, String gidMap) throws IOException;
}
