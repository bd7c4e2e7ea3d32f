package dev.capsule.worker;

import dev.capsule.policy.Limit;
import java.util.Map;

/// Why a worker process is no more.
public sealed interface End {
    /// What a person should read, as the end of a sentence that begins with "the worker …".
    String cause();

    /// The process ended by itself.
    record Exited(int code) implements End {
        @Override
        public String cause() {
            return "exited with code " + code;
        }
    }

    record Signaled(int signal) implements End {
        private static final Map<Integer, String> NAMES = Map.ofEntries(Map.entry(1, "SIGHUP"),
                Map.entry(2, "SIGINT"), Map.entry(3, "SIGQUIT"), Map.entry(4, "SIGILL"), Map.entry(5, "SIGTRAP"),
                Map.entry(6, "SIGABRT"), Map.entry(7, "SIGBUS"), Map.entry(8, "SIGFPE"), Map.entry(9, "SIGKILL"),
                Map.entry(11, "SIGSEGV"), Map.entry(13, "SIGPIPE"), Map.entry(14, "SIGALRM"),
                Map.entry(15, "SIGTERM"), Map.entry(24, "SIGXCPU"), Map.entry(25, "SIGXFSZ"),
                Map.entry(31, "SIGSYS"));

        @Override
        public String cause() {
            return "was killed by " + NAMES.getOrDefault(signal, "signal " + signal);
        }
    }

    /// The process was killed by SIGKILL, and neither by the kernel nor for a limit.
    record Struck(Memory memory) implements End {
        /// Whether the system's memory has run out at the time.
        enum Memory {
            RAN_OUT, ENOUGH, UNKNOWN
        }

        @Override
        public String cause() {
            return cause("the cell itself");
        }

        private String cause(String cell) {
            return "was killed by SIGKILL, by " + switch (memory) {
                case RAN_OUT -> "the system most likely, whose memory ran out at that time (no limit of the profile was"
                        + " exceeded),";
                case ENOUGH -> "someone else than Capsule (" + cell + ", or another program)";
                case UNKNOWN -> "someone else than Capsule (" + cell + ", another program, or the system when its"
                        + " memory runs out)";
            };
        }
    }

    /// The first process of the worker has ended, which runs no cell: the doing of whichever cell may be noticed later.
    ///
    /// @param how that process has ended
    record Unsupervised(End how) implements End {
        @Override
        public String cause() {
            return "lost its supervisor, which "
                    + (how instanceof Struck struck ? struck.cause("a cell") : how.cause());
        }
    }

    /// The process sent what is not in the protocol, and was ended for it.
    record Violation(String message) implements End {
        @Override
        public String cause() {
            return "broke the frame protocol and was ended: " + message;
        }
    }

    /// The process used more than it may, and was ended for it, by the system or by the kernel.
    record LimitExceeded(Limit limit) implements End {
        @Override
        public String cause() {
            return "exceeded the limit \"%s\"".formatted(limit.key());
        }
    }

    /// The kernel could not look after what the process uses, by a fault of its own, and ended it.
    record Unwatched(String message) implements End {
        @Override
        public String cause() {
            return "was ended, since the kernel failed to look after its limits (a bug of Capsule): " + message;
        }
    }

    /// The process could not be started, or ended before it was ready.
    record NotStarted(String message) implements End {
        @Override
        public String cause() {
            return "could not be started: " + message;
        }
    }

    /// @param status as `wait(2)` has it
    static End ofStatus(int status) {
        int signal = status & 0x7f;
        return signal == 0 ? new Exited(status >> 8 & 0xff) : new Signaled(signal);
    }

    /// @param exitValue as [Process#exitValue] gives it
    static End of(int exitValue) {
        return exitValue > 128 && exitValue <= 128 + 64 ? new Signaled(exitValue - 128) : new Exited(exitValue);
    }
}
