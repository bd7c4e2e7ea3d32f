package dev.capsule.frame;

import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;

/// One message between kernel and worker; `worker/PROTOCOL.md` says what each means.
public sealed interface Frame {

    /// Longer ids are refused.
    int MAX_ID_CHARS = 64;

    /// Longer ids and targets of comms are refused.
    int MAX_COMM_NAME_CHARS = 256;

    /// From the kernel. [InSubshell], [EndSubshell] and [Cancel] to [Refuse] go on control, the rest on requests.
    sealed interface ToWorker extends Frame {}

    /// What one shell or another serves, in its turn.
    sealed interface ToShell extends ToWorker {
        String id();
    }

    /// From the worker.
    sealed interface FromWorker extends Frame {}

    /// To the supervisor of a worker's processes, always in JSON.
    sealed interface ToSupervisor extends Frame {}

    /// Where raw or late output goes.
    enum Stream {
        STDOUT, STDERR;

        /// As Jupyter and the protocol name it.
        public String wireName() {
            return this == STDOUT ? "stdout" : "stderr";
        }
    }

    /// What a message of a comm does.
    enum CommKind {
        OPEN, MSG, CLOSE;

        /// As the protocol names it.
        public String wireName() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /// How the worker buffers descriptors 1 and 2.
    enum Buffering {
        LINE, BLOCK
    }

    /// The kernel's `hello`: what it offers, and the limits of what it accepts in bytes.
    record Offer(List<Encoding> encodings, int headerLimit, long buffersLimit) implements ToWorker {
        public Offer {
            encodings = List.copyOf(encodings);
        }
    }

    /// @param request the front end's name for it, its `msg_id`
    record Execute(String id, String request, int executionCount, boolean silent, boolean storeHistory,
            boolean allowStdin,
            Map<String, String> userExpressions, String code) implements ToShell {
        public Execute {
            userExpressions = Map.copyOf(userExpressions);
        }
    }

    /// @param cursor in Unicode code points
    record Complete(String id, int cursor, String code) implements ToShell {}

    /// @param cursor in Unicode code points
    /// @param detail 0, or 1 for the source too
    record Inspect(String id, int cursor, int detail, String code) implements ToShell {}

    record IsComplete(String id, String code) implements ToShell {}

    /// A message of a comm from a front end.
    ///
    /// @param request the front end's name for it, its `msg_id`
    /// @param content of Jupyter's message, JSON as received; so is the metadata
    record CommRequest(String id, CommKind kind, String request, byte[] content, byte[] metadata,
            List<byte[]> buffers) implements ToShell {
        /// More buffers do not fit beside content and metadata.
        public static final int MAX_BUFFERS = FrameCodec.MAX_BUFFERS - 2;

        public CommRequest {
            buffers = List.copyOf(buffers);
        }
    }

    /// A request for a subshell, which begins with the first.
    record InSubshell(String subshell, ToShell request) implements ToWorker {}

    /// No more is to come for a subshell.
    record EndSubshell(String subshell) implements ToWorker {}

    /// Subshells have changed the state while the main shell had nothing to do: a snapshot may be due.
    record Rest() implements ToWorker {}

    /// Asks for a snapshot of the state as it is.
    record Keep(String id) implements ToWorker {}

    /// Asks for all variables.
    ///
    /// @param limit of the bytes of all parts together
    record Checkpoint(String id, long limit) implements ToWorker {}

    /// Asks the worker to take over variables.
    ///
    /// @param blobs the number of the blob that each is in
    /// @param packages of which the versions are wanted
    record Restore(String id, List<String> names, List<Integer> blobs, List<String> packages) implements ToWorker {
        public Restore {
            names = List.copyOf(names);
            blobs = List.copyOf(blobs);
            packages = List.copyOf(packages);
        }
    }

    /// Answers a [Fetch].
    ///
    /// @param last whether nothing of the blob follows
    record Supply(boolean last, byte[] part) implements ToWorker {}

    /// Cells that the worker does not know of, by their count: they were run after the snapshot that it comes from.
    record Inputs(SortedMap<Integer, String> texts) implements ToWorker {
        public Inputs {
            texts = Collections.unmodifiableSortedMap(new TreeMap<>(texts));
        }
    }

    record Cancel(String id) implements ToWorker {}

    record Flush(Buffering buffering) implements ToWorker {}

    record Delivered(String id) implements ToWorker {}

    /// @param request of the Debug Adapter Protocol: a JSON object
    record Debug(String id, byte[] request) implements ToWorker {}

    record Shutdown() implements ToWorker {}

    /// Answers an [Input].
    record Answer(String id, String value) implements ToWorker {}

    /// Refuses or cancels an [Input].
    record Refuse(String id, String ename, String evalue) implements ToWorker {}

    /// The worker's `hello`.
    ///
    /// @param pid the live process as it sees itself, which may be in a process namespace of its own; so in the others
    record Hello(int protocol, Encoding encoding, int pid, String languageName, String languageVersion,
            String implementation, List<String> offers) implements FromWorker {
        public Hello {
            offers = List.copyOf(offers);
        }
    }

    /// A copy of the live process sleeps.
    ///
    /// @param after the execution whose effects it is the last to show; empty when there was none
    record Snapshot(int pid, String after) implements FromWorker {}

    /// @param reason what would not be in a copy, for a person
    record NoSnapshot(String after, String reason) implements FromWorker {}

    /// The process that was woken from a snapshot serves.
    ///
    /// @param comms the targets of those that are open in it, by their ids
    /// @param cut how many sockets and pipes were open when it was copied, and are closed in it
    record Revived(int pid, Map<String, String> comms, int cut) implements FromWorker {
        public Revived {
            comms = Map.copyOf(comms);
        }
    }

    /// From the supervisor alone: a process has ended.
    ///
    /// @param status as `wait(2)` has it
    record Died(int pid, int status) implements FromWorker {}

    /// The process is taken charge of, and may start others.
    record Begin() implements ToSupervisor {}

    record Kill(int pid, int number) implements ToSupervisor {}

    record Ready() implements FromWorker {}

    /// Something has happened in the debugger.
    record DebugEvent(DebugMessage message) implements FromWorker {}

    /// @param ack whether the worker waits for [Delivered]; so in the other emitted frames
    record Result(String id, MimeBundle bundle, boolean ack) implements FromWorker {}

    record Display(String id, MimeBundle bundle, Optional<String> displayId, boolean ack) implements FromWorker {}

    record UpdateDisplay(String id, MimeBundle bundle, String displayId, boolean ack) implements FromWorker {}

    /// An error that does not end the execution, or that is shown before the execution ends with it.
    record ShownError(String id, String ename, String evalue, List<String> traceback, boolean ack)
            implements
                FromWorker {
        public ShownError {
            traceback = List.copyOf(traceback);
        }
    }

    /// A message of a comm to the front ends.
    ///
    /// @param target empty unless it opens the comm
    /// @param data a JSON value; the metadata is an object
    record Comm(String id, CommKind kind, String commId, String target, byte[] data, byte[] metadata,
            List<byte[]> buffers, boolean ack) implements FromWorker {
        /// @throws FrameException if a name is too long, or what is to be JSON is not
        public Comm {
            if (commId.length() > MAX_COMM_NAME_CHARS || target.length() > MAX_COMM_NAME_CHARS) {
                throw new FrameException("comm id or target of over %d characters".formatted(MAX_COMM_NAME_CHARS));
            }
            Encoding.checkJson("data of a comm", data);
            Encoding.checkJson("metadata of a comm", metadata, '{');
            buffers = List.copyOf(buffers);
        }
    }

    /// @param text UTF-8
    record LateStream(String id, Stream stream, byte[] text) implements FromWorker {}

    /// @param waits whether to clear only when the next output comes
    record ClearOutput(String id, boolean waits, boolean ack) implements FromWorker {}

    /// A piece of a blob of a [Checkpoint].
    record Part(String id, int blob, byte[] bytes) implements FromWorker {}

    /// Wants the next piece of a blob for a [Restore].
    record Fetch(String id, int blob) implements FromWorker {}

    /// Opens a promise of the worker's, to be settled by [Answer] or [Refuse].
    ///
    /// @param execution the execution that asks
    record Input(String id, String execution, String prompt, boolean password) implements FromWorker {}

    /// Settles a promise of the kernel's; what the header and buffers hold depends on what was asked.
    record Resolve(String id, Fields fields, List<byte[]> buffers) implements FromWorker {
        public Resolve {
            buffers = List.copyOf(buffers);
        }

        /// Checks that what goes to clients as it is is JSON: an object of user expressions and a payload array.
        ///
        /// @throws FrameException if not
        public void checkExecution() {
            if (buffers.size() != 2) {
                throw new FrameException("resolved execution has %d buffers, not 2".formatted(buffers.size()));
            }
            Encoding.checkJson("user expressions", buffers.getFirst(), '{');
            Encoding.checkJson("payload", buffers.getLast(), '[');
        }
    }

    /// @param shown whether people have seen it already, as a [ShownError] or otherwise
    record Reject(String id, String ename, String evalue, List<String> traceback, boolean shown)
            implements
                FromWorker {
        public Reject {
            traceback = List.copyOf(traceback);
        }
    }
}
