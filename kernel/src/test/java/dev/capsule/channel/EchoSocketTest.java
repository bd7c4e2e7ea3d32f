package dev.capsule.channel;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.zeromq.SocketType;
import org.zeromq.ZMQ;

@Timeout(60)
class EchoSocketTest {
    private final Reactor reactor = new Reactor("echo-test", Duration.ofSeconds(1));
    private final EchoSocket echo = new EchoSocket(reactor,
            new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));

    @AfterEach
    void close() {
        reactor.close();
    }

    @Test
    void pingsAreAnswered() {
        try (var clients = new JeroMq()) {
            var req = clients.connect(echo, SocketType.REQ, "", EchoSocketTest::isAnswered);
            for (int i = 0; i < 100; i++) {
                req.send("ping " + i);
                assertEquals("ping " + i, req.recvStr());
            }
            var dealer = clients.connect(echo, SocketType.DEALER, "", EchoSocketTest::isAnswered);
            dealer.sendMore("a");
            dealer.send("b");
            assertEquals("a", dealer.recvStr());
            assertEquals("b", dealer.recvStr());
        }
    }

    private static boolean isAnswered(ZMQ.Socket client) {
        client.send("hello");
        return "hello".equals(client.recvStr());
    }

    @Test
    void aClientThatAsksAgainBeforeItReadsGetsEveryAnswer() {
        try (var peer = RawPeer.connect(echo.address(), "REQ", new byte[0])) {
            for (int i = 0; i < 50; i++) {
                peer.send(List.of(new byte[0], ("" + i).getBytes(UTF_8)));
            }
            for (int i = 0; i < 50; i++) {
                assertArrayEquals(("" + i).getBytes(UTF_8), peer.receive().get(1));
            }
        }
    }
}
