package dev.capsule.session;

import java.util.List;

/// How an execution ended.
public sealed interface Outcome {
    /// The name of the failure of a cell whose worker has ended under it.
    String WORKER_DIED = "WorkerDied";

    /// @param userExpressionsJson a JSON object as in Jupyter's `execute_reply`
    /// @param payloadJson a JSON array
    record Succeeded(byte[] userExpressionsJson, byte[] payloadJson) implements Outcome {
        /// Of what has no user expressions and no payload.
        static final Succeeded EMPTY = new Succeeded(new byte[]{'{', '}'}, new byte[]{'[', ']'});
    }

    /// @param shown whether people have seen it already
    record Failed(String ename, String evalue, List<String> traceback, boolean shown) implements Outcome {
        public Failed {
            traceback = List.copyOf(traceback);
        }

        /// A failure that no code raised: the traceback is its message.
        public static Failed because(String ename, String evalue) {
            return new Failed(ename, evalue, List.of("\u001b[0;31m" + ename + "\u001b[0m: " + evalue), false);
        }
    }
}
