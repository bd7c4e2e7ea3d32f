package dev.capsule.channel;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.function.Predicate;
import org.zeromq.SocketType;
import org.zeromq.ZContext;
import org.zeromq.ZMQ;

/// Clients of another implementation.
final class JeroMq implements AutoCloseable {
    /// Enough for an answer over loopback, were it not for what [#connect] says.
    private static final int ANSWER_MILLIS = 2000;

    private final ZContext context = new ZContext();

    /// A client that has got through. About one in thirty connections of JeroMQ 0.6.0 never sends its greeting, to
    /// libzmq's sockets neither, and there is no sign of it: another is made then.
    ///
    /// @param answered sends something, and says whether an answer came
    ZMQ.Socket connect(BoundSocket server, SocketType type, String identity, Predicate<ZMQ.Socket> answered) {
        while (true) {
            var socket = context.createSocket(type);
            socket.setIdentity(identity.getBytes(UTF_8));
            socket.setHWM(0);
            socket.setReceiveTimeOut(ANSWER_MILLIS);
            socket.connect("tcp://127.0.0.1:" + server.address().getPort());
            if (answered.test(socket)) {
                socket.setReceiveTimeOut(-1);
                return socket;
            }
            socket.close();
        }
    }

    @Override
    public void close() {
        context.close();
    }
}
