package dev.capsule.kernel;

import dev.capsule.channel.Reactor;
import dev.capsule.channel.RouterSocket;
import dev.capsule.jupyter.Content;
import dev.capsule.jupyter.Message;
import dev.capsule.jupyter.Request;
import dev.capsule.jupyter.Signer;
import dev.capsule.jupyter.Wire;
import dev.capsule.jupyter.WireException;
import dev.capsule.log.Logs;
import dev.capsule.session.InputRequest;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// Asks the client that runs a cell for input, and finds the question that an answer belongs to. Safe for several
/// threads.
final class Stdin {
    private static final Logger LOG = Logs.of(Stdin.class);

    private final Reactor reactor;
    private final Wire wire;
    private final Signer signer;

    // Guarded by itself: open questions by the id of their input_request, oldest first.
    private final Map<String, Question> questions = new LinkedHashMap<>();

    private record Question(InputRequest request, Message execution) {}

    /// @param reactor of the stdin socket
    Stdin(Reactor reactor, Wire wire, Signer signer) {
        this.reactor = reactor;
        this.wire = wire;
        this.signer = signer;
    }

    /// Asks when the answers that have arrived by now are handled: they belong to earlier questions.
    void ask(RouterSocket socket, InputRequest request, Message execution) {
        reactor.execute(() -> send(socket, request, execution));
    }

    private void send(RouterSocket socket, InputRequest request, Message execution) {
        synchronized (questions) {
            if (!request.isOpen()) {
                // Interrupted meanwhile; nobody would ever forget the question.
                return;
            }
            var msgId = Exchange.send(socket, wire, execution, "input_request",
                    Content.inputRequest(request.prompt(), request.password()));
            if (msgId.isPresent()) {
                questions.put(msgId.get(), new Question(request, execution));
                return;
            }
        }
        // Not with the questions held, for this takes the session's lock, with which questions are forgotten.
        request.refuse("StdinNotImplementedError",
                "input was asked for, but the client that runs this cell is not connected to the stdin channel");
    }

    /// Forgets the questions of an execution that is over.
    void forget(Message execution) {
        synchronized (questions) {
            questions.values().removeIf(question -> question.execution().equals(execution));
        }
    }

    /// Takes a message of the stdin channel.
    void received(byte[] identity, List<byte[]> frames) {
        try {
            var reply = Message.decode(identity, frames, signer);
            if (!reply.header().msgType().equals("input_reply")) {
                throw new WireException(reply.header().msgType() + " is not a message of the stdin channel");
            }
            answer(reply, question(identity, reply.parentMsgId())
                    .orElseThrow(() -> new WireException("an input_reply that answers no open input_request")));
        } catch (WireException e) {
            LOG.log(Level.WARNING, () -> "dropped a message on stdin: " + e.getMessage());
        }
    }

    /// The cell hears of an answer that cannot be taken: nobody would give it another.
    private static void answer(Message reply, InputRequest question) {
        try {
            question.answer(Request.inputReply(reply));
        } catch (WireException e) {
            LOG.log(Level.WARNING, () -> "refused an input_reply: " + e.getMessage());
            question.refuse("ValueError", "the answer was refused: " + e.getMessage());
        }
    }

    /// @param parentMsgId of the question; clients that send none, as jupyter_client, mean the newest one
    private Optional<InputRequest> question(byte[] identity, String parentMsgId) {
        synchronized (questions) {
            String msgId = parentMsgId;
            if (parentMsgId.isEmpty()) {
                for (var entry : questions.entrySet()) {
                    if (Arrays.equals(entry.getValue().execution().identities().getFirst(), identity)) {
                        msgId = entry.getKey();
                    }
                }
            }
            return Optional.ofNullable(questions.remove(msgId)).map(Question::request);
        }
    }
}
