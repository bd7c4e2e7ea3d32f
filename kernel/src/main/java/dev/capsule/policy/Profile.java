package dev.capsule.policy;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;

/// What the cells of a session may do, and what of their outputs may leave. Three are built in: [#LOCKED], [#DEFAULT]
/// and [#OPEN]; a user may define more ([Profiles]).
///
/// @param name how it is asked for, such as `default`
/// @param files which of the user's files the worker gets
/// @param network what it reaches beyond its own loopback
/// @param limits what it may use up
/// @param interrupt what is done when a cell does not stop
/// @param outputs what of its outputs reaches the notebook
public record Profile(String name, Files files, Network network, Limits limits, Interrupt interrupt,
        Outputs outputs) {

    /// Which of the user's files the worker gets; the interpreter and its packages can always be read.
    public enum Files {
        /// None: its workspace is empty, and is gone with it.
        NONE,
        /// The notebook's directory, to read and to write.
        WORKSPACE
    }

    /// What the worker reaches beyond its own loopback.
    public enum Network {
        NONE,
        /// All that the machine reaches, with the machine's own services on its loopback.
        HOST
    }

    /// What a worker may use up.
    ///
    /// @param memoryBytes of all its processes together
    /// @param processes threads count, as they do in the system's own limit
    /// @param descriptors open at a time, of each process
    /// @param fileBytes size of each file it writes
    /// @param tmpBytes size of its `/tmp`
    /// @param workspaceGrowthBytes how much larger than at the start its workspace may get
    /// @param cellDeadline how long a cell may run
    /// @param outputBytes of one cell, at once; and as much again in each [Limit#OUTPUT_PERIOD]
    public record Limits(long memoryBytes, int processes, int descriptors, long fileBytes, long tmpBytes,
            long workspaceGrowthBytes, Deadline cellDeadline, long outputBytes) {}

    /// How long a cell may run.
    public sealed interface Deadline {
        record Never() implements Deadline {}

        record After(Duration time) implements Deadline {}
    }

    /// The steps that follow when an interrupted cell goes on, each counted from the interrupt.
    ///
    /// @param signalAfter until its worker is signalled from outside
    /// @param killAfter until its worker is killed; later than the signal
    public record Interrupt(Duration signalAfter, Duration killAfter) {}

    /// What of a worker's outputs reaches the notebook. Its page runs with the user's rights, so an output that the page
    /// executes is a way out of the sandbox.
    ///
    /// @param comms whether widgets and other comms may be opened
    /// @param payloads whether a cell may have the front end do something, such as set the next cell's text; a pager is
    ///        shown like an output
    public record Outputs(MimeTypes mimeTypes, Leave comms, Leave payloads) {}

    public enum Leave {
        WITHHELD, ALLOWED
    }

    /// Which MIME types may leave, and how.
    public sealed interface MimeTypes {
        /// Every one, as it is.
        record Every() implements MimeTypes {}

        /// These; all others are withheld.
        record Only(Map<String, Form> forms) implements MimeTypes {
            public Only {
                forms = Map.copyOf(forms);
            }
        }
    }

    /// How an output of some MIME type leaves.
    public enum Form {
        AS_IS,
        /// In a frame with an origin of its own, so that its scripts run but cannot reach the page.
        FRAMED,
        /// With what front ends would run, load or make a link of shown as text: Markdown may hold HTML, and TeX links.
        ESCAPED
    }

    private static final long MIB = 1L << 20;
    private static final long GIB = 1L << 30;

    private static final Interrupt INTERRUPT = new Interrupt(Duration.ofSeconds(2), Duration.ofSeconds(5));

    /// For code that nobody has read: computes, shows text and pictures, and keeps nothing.
    public static final Profile LOCKED = new Profile("locked", Files.NONE, Network.NONE,
            new Limits(512 * MIB, 64, 256, 64 * MIB, 64 * MIB, 64 * MIB, new Deadline.After(Duration.ofSeconds(30)),
                    MIB),
            INTERRUPT, new Outputs(
                    new MimeTypes.Only(Map.of("text/plain", Form.AS_IS, "image/png", Form.AS_IS, "image/jpeg",
                            Form.AS_IS, "application/json", Form.AS_IS)),
                    Leave.WITHHELD, Leave.WITHHELD));

    /// For a stranger's notebook in a directory of its own.
    public static final Profile DEFAULT = new Profile("default", Files.WORKSPACE, Network.NONE,
            new Limits(2 * GIB, 256, 1024, GIB, 256 * MIB, 4 * GIB, new Deadline.Never(), 256 * MIB),
            INTERRUPT, new Outputs(
                    new MimeTypes.Only(Map.of("text/plain", Form.AS_IS, "image/png", Form.AS_IS, "image/jpeg",
                            Form.AS_IS, "image/gif", Form.AS_IS, "application/json", Form.AS_IS, "text/latex",
                            Form.ESCAPED, "text/markdown", Form.ESCAPED, "text/html", Form.FRAMED, "image/svg+xml",
                            Form.FRAMED)),
                    Leave.WITHHELD, Leave.WITHHELD));

    /// For one's own notebooks: files, environment and limits as in [#DEFAULT], every output.
    public static final Profile OPEN = new Profile("open", DEFAULT.files, DEFAULT.network, DEFAULT.limits, INTERRUPT,
            new Outputs(new MimeTypes.Every(), Leave.ALLOWED, Leave.ALLOWED));

    static final List<Profile> BUILT_IN = List.of(LOCKED, DEFAULT, OPEN);

    /// The same with the network that was asked for when the kernel was launched.
    public Profile withNetwork(Network asked) {
        return new Profile(name, files, asked, limits, interrupt, outputs);
    }

    /// What it allows, in plain words, a line each.
    public List<String> describe() {
        var lines = new ArrayList<String>();
        lines.add("profile " + name);
        lines.add("files: " + switch (files) {
            case NONE -> "none of yours; an empty workspace that is gone with the session";
            case WORKSPACE -> "the notebook's directory, read and write (in it .git, .vscode, .idea and Jupyter's "
                    + "configuration read-only, .ssh, .envrc and .jupyter hidden); Python and its packages, read-only";
        });
        lines.add("network: " + switch (network) {
            case NONE -> "none but a loopback of its own";
            case HOST -> "all that this machine reaches, services on its loopback included";
        });
        lines.add("memory: " + bytes(limits.memoryBytes));
        lines.add("processes and threads: %d, each with up to %d open descriptors".formatted(limits.processes,
                limits.descriptors));
        lines.add("disk: files of up to %s, %s in /tmp, %s more in the workspace than at the start".formatted(
                bytes(limits.fileBytes), bytes(limits.tmpBytes), bytes(limits.workspaceGrowthBytes)));
        lines.add("time: " + switch (limits.cellDeadline) {
            case Deadline.Never() -> "a cell may run for as long as it likes; interrupt ends it";
            case Deadline.After(Duration time) -> "a cell may run for %d s".formatted(time.toSeconds());
        });
        lines.add("interrupt: a cell that goes on for %d s gets a signal from outside, after %d s its worker is killed"
                .formatted(interrupt.signalAfter.toSeconds(), interrupt.killAfter.toSeconds()));
        lines.add("output: %s from each cell, and as much again in each hour".formatted(bytes(limits.outputBytes)));
        lines.add("shown: " + switch (outputs.mimeTypes) {
            case MimeTypes.Every() ->
                "every MIME type as it is; HTML and JavaScript run with the notebook page's rights";
            case MimeTypes.Only(var forms) -> shown(forms);
        });
        lines.add("comms (widgets): " + words(outputs.comms));
        lines.add("payloads (next cell's text): " + words(outputs.payloads));
        return List.copyOf(lines);
    }

    /// What matters most of it, in one line.
    public String summary() {
        return String.join(", ", switch (files) {
            case NONE -> "none of your files";
            case WORKSPACE -> "the notebook's directory";
        }, switch (network) {
            case NONE -> "no network";
            case HOST -> "this machine's network";
        }, bytes(limits.memoryBytes) + " of memory", switch (limits.cellDeadline) {
            case Deadline.Never() -> "cells of any length";
            case Deadline.After(Duration time) -> "cells of up to %d s".formatted(time.toSeconds());
        }, switch (outputs.mimeTypes) {
            case MimeTypes.Every() -> "every kind of output";
            case MimeTypes.Only(var forms) -> forms.size() + " kinds of output";
        }, switch (outputs.comms) {
            case WITHHELD -> "no widgets";
            case ALLOWED -> "widgets";
        });
    }

    private static String shown(Map<String, Form> forms) {
        return forms.isEmpty()
                ? "nothing"
                : new TreeMap<>(forms).entrySet().stream().map(form -> form.getKey() + switch (form.getValue()) {
                    case AS_IS -> "";
                    case FRAMED -> " (in a frame that cannot reach the page)";
                    case ESCAPED -> " (HTML, links and pictures in it as text)";
                }).collect(Collectors.joining(", "));
    }

    private static String words(Leave leave) {
        return leave.name().toLowerCase(Locale.ROOT);
    }

    private static String bytes(long count) {
        if (count % GIB == 0) {
            return count / GIB + " GiB";
        }
        return count % MIB == 0 ? count / MIB + " MiB" : count + " bytes";
    }
}
