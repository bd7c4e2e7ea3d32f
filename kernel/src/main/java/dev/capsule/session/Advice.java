package dev.capsule.session;

import dev.capsule.policy.Limit;
import dev.capsule.policy.Profile;
import dev.capsule.policy.Profile.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/// What a person is told when a cell meets what its profile does not allow. The cell itself sees an ordinary error of its
/// language; which one is recognized here, in the kernel, by its name and text.
///
/// @param file the user's file of profiles; empty when there is no place for one
/// @param kept whether there is a sandbox, so that errors may be its doing
/// @param directory the notebook's, which cells see if the profile lets them
public record Advice(Profile profile, Optional<Path> file, Kept kept, Path directory) {

    /// Whether cells are in a sandbox.
    public enum Kept {
        SANDBOXED, FREE
    }

    /// What has become of the variables when a cell was stopped.
    enum Variables {
        KEPT, AS_BEFORE
    }

    private enum Cause {
        MEMORY, DESCRIPTORS, PROCESSES, FILE_SIZE, TMP, KILLED, SIGNALS, NETWORK, FILES
    }

    /// @param error matches the error's name and text, `NAME: TEXT`
    /// @param traceback is found in the traceback, too
    private record Hint(Pattern error, Pattern traceback, Cause cause) {}

    private static final Pattern ANY = Pattern.compile("");
    private static final Pattern FORKING = Pattern.compile("fork|_execute_child|posix_spawn|Popen");
    private static final Pattern SIGNALS = Pattern.compile("(?:\\u001b\\[[\\d;]*m|\\W)kill(?:pg)?\\W");
    private static final Pattern SOCKETS = Pattern.compile("socket|sock\\b");
    private static final List<Hint> HINTS = List.of(
            hint("^\\w*MemoryError\\b|\\[Errno 12\\]|Cannot allocate memory|std::bad_alloc", ANY, Cause.MEMORY),
            hint("\\[Errno 24\\]", ANY, Cause.DESCRIPTORS), hint("can't start new thread", ANY, Cause.PROCESSES),
            hint("\\[Errno 11\\]", FORKING, Cause.PROCESSES), hint("\\[Errno 27\\]|SIGXFSZ", ANY, Cause.FILE_SIZE),
            hint("\\[Errno 28\\]|database or disk is full", ANY, Cause.TMP),
            hint("SIGKILL|status (-9|137)\\b|^BrokenProcessPool|terminated abruptly", ANY, Cause.KILLED),
            hint("\\[Errno (101|-[235])\\]|^gaierror|Network is unreachable|Failed to resolve|"
                    + "Temporary failure in name resolution|Name or service not known", ANY, Cause.NETWORK),
            hint("\\[Errno (1|13|97)\\]", SOCKETS, Cause.NETWORK),
            hint("\\[Errno 1\\]", SIGNALS, Cause.SIGNALS),
            hint("^\\w+: \\[Errno (1|2|13|30)\\] [^']*'/", ANY, Cause.FILES));

    private static final Pattern PATH = Pattern.compile("'(/[^']*)'");
    private static final int READ_ONLY = 30;

    /// What cells see of this machine or have of their own: what is missing there is missing.
    private static final List<Path> VISIBLE = Stream.of("/tmp", "/dev", "/proc", "/usr", "/etc", "/bin", "/lib",
            "/lib64", "/sbin", "/home/user", "/workspace").map(Path::of).toList();

    private static Hint hint(String error, Pattern traceback, Cause cause) {
        return new Hint(Pattern.compile(error), traceback, cause);
    }

    /// A limit, its value and how to raise it; begins in the middle of a sentence.
    String raise(Limit limit) {
        return limit.explain(profile, file);
    }

    /// How an execution has failed that exceeded a limit.
    ///
    /// @param outcome how it ended
    Outcome failed(Limit limit, Outcome outcome, Variables variables) {
        String what = outcome instanceof Outcome.Failed(var ename, var evalue, _, _)
                && ename.equals(Outcome.WORKER_DIED)
                        ? evalue + "\nCapsule: "
                        : "the cell was stopped; the variables are %s: ".formatted(switch (variables) {
                            case KEPT -> "kept";
                            case AS_BEFORE -> "as they were before it";
                        });
        return Outcome.Failed.because("LimitExceeded", what + raise(limit));
    }

    /// Adds to an error's traceback what its cause in the profile is, if that is one.
    ///
    /// @param killedForMemory whether a process was ended for the memory of all; asked only if it counts, for it reads files
    Outcome.Failed explain(Outcome.Failed failed, BooleanSupplier killedForMemory) {
        if (kept == Kept.FREE) {
            return failed;
        }
        String error = failed.ename() + ": " + failed.evalue();
        for (var hint : HINTS) {
            if (hint.error.matcher(error).find()
                    && failed.traceback().stream().anyMatch(line -> hint.traceback.matcher(line).find())) {
                var text = text(hint.cause, error, killedForMemory);
                if (text.isPresent()) {
                    var traceback = new ArrayList<>(failed.traceback());
                    traceback.add("\u001b[0;33mCapsule\u001b[0m: " + text.get());
                    return new Outcome.Failed(failed.ename(), failed.evalue(), traceback, failed.shown());
                }
            }
        }
        return failed;
    }

    private Optional<String> text(Cause cause, String error, BooleanSupplier killedForMemory) {
        return switch (cause) {
            case MEMORY -> Optional.of(raise(Limit.MEMORY));
            case DESCRIPTORS -> Optional.of(raise(Limit.DESCRIPTORS));
            case PROCESSES -> Optional.of(raise(Limit.PROCESSES) + " (threads count, and so do processes "
                    + "that have ended and were not waited for)");
            case FILE_SIZE -> Optional.of(raise(Limit.FILE_SIZE));
            case TMP -> Optional.of("if this was in /tmp: " + raise(Limit.TMP));
            case KILLED -> killedForMemory.getAsBoolean() ? Optional.of(raise(Limit.MEMORY)) : Optional.empty();
            case SIGNALS ->
                Optional.of("cells can signal what they have started, one by one or as a group, and not all "
                        + "processes at once (-1), for the copies of the session's state are among these");
            case NETWORK -> network();
            case FILES -> files(error);
        };
    }

    private Optional<String> network() {
        return switch (profile.network()) {
            case NONE ->
                Optional.of("cells have no network but a loopback of their own; capsule install --network host gives a "
                        + "kernel whose cells have this machine's");
            case HOST -> Optional.empty();
        };
    }

    private Optional<String> files(String error) {
        Matcher matcher = PATH.matcher(error);
        if (!matcher.find()) {
            return Optional.empty();
        }
        var path = Path.of(matcher.group(1)).normalize();
        boolean readOnly = error.contains("[Errno " + READ_ONLY + "]");
        boolean visible = VISIBLE.stream().anyMatch(path::startsWith)
                || (profile.files() == Files.WORKSPACE && path.startsWith(directory));
        if (visible && !readOnly) {
            return Optional.empty();
        }
        return Optional.of(switch (profile.files()) {
            case NONE -> "cells of profile \"%s\" see none of your files; they can write in /tmp and in their workspace"
                    .formatted(profile.name());
            case WORKSPACE -> ("of your files, cells see those in %s, and write only there and in /tmp; put there what "
                    + "they need").formatted(directory);
        });
    }
}
