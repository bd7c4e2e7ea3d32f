package dev.capsule.channel;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.zeromq.SocketType;
import org.zeromq.ZMQ;
import org.zeromq.ZMsg;

/// With JeroMQ's clients, and with one that sends what we want.
@Timeout(60)
class RouterSocketTest {
    private record Received(List<Byte> identity, List<byte[]> frames) {}

    private final BlockingQueue<Received> received = new LinkedBlockingQueue<>();
    private final Reactor reactor = new Reactor("router-test", Duration.ofSeconds(1));
    private final RouterSocket router = new RouterSocket(reactor,
            new InetSocketAddress(InetAddress.getLoopbackAddress(), 0),
            (_, identity, frames) -> received(identity, frames));
    private final JeroMq clients = new JeroMq();

    @AfterEach
    void close() {
        clients.close();
        reactor.close();
    }

    private void received(byte[] identity, List<byte[]> frames) {
        received.add(new Received(boxed(identity), frames));
    }

    private static List<Byte> boxed(byte[] bytes) {
        var list = new ArrayList<Byte>();
        for (byte b : bytes) {
            list.add(b);
        }
        return list;
    }

    private static byte[] bytes(List<Byte> identity) {
        byte[] bytes = new byte[identity.size()];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = identity.get(i);
        }
        return bytes;
    }

    @Test
    void theFirstMessageOfEachConnectionIsAnnounced() throws InterruptedException {
        var events = new LinkedBlockingQueue<String>();
        var announcing = new RouterSocket(reactor, new InetSocketAddress(InetAddress.getLoopbackAddress(), 0),
                (_, _, frames) -> events.add(new String(frames.getFirst(), UTF_8)), () -> events.add("first of:"));
        for (var name : List.of("a", "b")) {
            try (var peer = RawPeer.connect(announcing.address(), "DEALER", new byte[0])) {
                peer.send(List.of((name + "1").getBytes(UTF_8)));
                peer.send(List.of((name + "2").getBytes(UTF_8)));
                assertEquals(List.of("first of:", name + "1", name + "2"),
                        List.of(events.take(), events.take(), events.take()));
            }
        }
    }

    private ZMQ.Socket client(SocketType type, String identity) {
        return clients.connect(router, type, identity, client -> {
            client.send("hello");
            try {
                var request = received.poll(2, TimeUnit.SECONDS);
                return request != null && router.send(bytes(request.identity), request.frames) && client.recv() != null;
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            }
        });
    }

    @Test
    void dealerSendsAndGetsFramesOfEverySize() throws InterruptedException {
        var dealer = client(SocketType.DEALER, "client");
        var frames = new ArrayList<byte[]>();
        for (int size : new int[]{0, 1, 255, 256, 1_000_000, 60_000_000, 0}) {
            byte[] frame = new byte[size];
            Arrays.fill(frame, (byte) size);
            frames.add(frame);
        }
        var message = new ZMsg();
        frames.forEach(message::add);
        message.send(dealer);
        var request = received.take();
        assertEquals(boxed("client".getBytes(UTF_8)), request.identity);
        assertArrayEquals(frames.toArray(), request.frames.toArray());
        assertTrue(router.send("client".getBytes(UTF_8), request.frames));
        var reply = ZMsg.recvMsg(dealer);
        for (byte[] frame : frames) {
            assertArrayEquals(frame, reply.pop().getData());
        }
        assertTrue(reply.isEmpty());
    }

    @Test
    void requestAndReplyWithReq() throws InterruptedException {
        askAndAnswer();
    }

    private void askAndAnswer() throws InterruptedException {
        var req = client(SocketType.REQ, "asks");
        for (int i = 0; i < 100; i++) {
            req.send("question " + i);
            var request = received.take();
            assertArrayEquals(new Object[]{new byte[0], ("question " + i).getBytes(UTF_8)}, request.frames.toArray());
            assertTrue(router.send(bytes(request.identity), List.of(new byte[0], "answer".getBytes(UTF_8))));
            assertEquals("answer", req.recvStr());
        }
    }

    @Test
    void peersWithoutAnIdentityGetOneEach() throws InterruptedException {
        var dealers = new ArrayList<ZMQ.Socket>();
        for (int i = 0; i < 3; i++) {
            dealers.add(client(SocketType.DEALER, ""));
        }
        for (int i = 0; i < 3; i++) {
            dealers.get(i).send("from " + i);
        }
        for (int i = 0; i < 3; i++) {
            var request = received.take();
            assertEquals(5, request.identity.size());
            assertEquals((byte) 0, request.identity.getFirst());
            router.send(bytes(request.identity), request.frames);
        }
        for (int i = 0; i < 3; i++) {
            assertEquals("from " + i, dealers.get(i).recvStr());
        }
    }

    @Test
    void repliesKeepTheOrderOfTheSendsWhenTheyMustWait() throws InterruptedException {
        var dealer = client(SocketType.DEALER, "client");
        for (int i = 0; i < 3000; i++) {
            assertTrue(router.send("client".getBytes(UTF_8), List.of(("" + i).getBytes(UTF_8), new byte[i * 7])));
        }
        for (int i = 0; i < 3000; i++) {
            assertEquals("" + i, dealer.recvStr());
            assertEquals(i * 7, dealer.recv().length);
        }
    }

    @Test
    void aConversationByteByByteIsUnderstood() throws InterruptedException {
        try (var peer = new RawPeer(router.address())) {
            peer.readGreeting();
            for (byte[] part : List.of(RawPeer.greeting(3, "NULL"), RawPeer.command("READY",
                    RawPeer.ready("DEALER", "slow".getBytes(UTF_8))),
                    RawPeer.message(List.of(new byte[300],
                            new byte[0])))) {
                for (byte b : part) {
                    peer.write(new byte[]{b});
                }
            }
            peer.receive();
            var request = received.take();
            assertArrayEquals(new Object[]{new byte[300], new byte[0]}, request.frames.toArray());
            router.send(bytes(request.identity), request.frames);
            assertArrayEquals(request.frames.toArray(), peer.receive().toArray());
        }
    }

    @Test
    void aSecondConnectionTakesTheIdentityOver() throws InterruptedException {
        try (var first = RawPeer.connect(router.address(), "DEALER", "client".getBytes(UTF_8));
                var second = RawPeer.connect(router.address(), "DEALER", "client".getBytes(UTF_8))) {
            second.send(List.of("new".getBytes(UTF_8)));
            received.take();
            first.awaitClosed();
            assertTrue(router.send("client".getBytes(UTF_8), List.of("reply".getBytes(UTF_8))));
            assertArrayEquals("reply".getBytes(UTF_8), second.receive().getFirst());
        }
    }

    @Test
    void nobodyHasAnUnknownIdentity() {
        assertFalse(router.send("nobody".getBytes(UTF_8), List.of(new byte[1])));
    }

    @Test
    void anExceptionInTheHandlerDisturbsNobody() throws InterruptedException {
        var failing = new LinkedBlockingQueue<String>();
        var other = new RouterSocket(reactor, new InetSocketAddress(InetAddress.getLoopbackAddress(), 0),
                (_, identity, frames) -> {
                    var text = new String(frames.getFirst(), UTF_8);
                    failing.add(text);
                    Thread.currentThread().interrupt();
                    if (text.equals("error")) {
                        throw new StackOverflowError();
                    }
                    throw new IllegalStateException("of the test");
                });
        try (var peer = RawPeer.connect(other.address(), "DEALER", new byte[0])) {
            peer.send(List.of("exception".getBytes(UTF_8)));
            peer.send(List.of("error".getBytes(UTF_8)));
            peer.send(List.of("again".getBytes(UTF_8)));
            assertEquals("exception", failing.take());
            assertEquals("error", failing.take());
            assertEquals("again", failing.take());
        }
        askAndAnswer();
    }

    /// A client that was there first was never answered: its request was handled before the socket had been stored where
    /// the handler looked for it.
    @Test
    void aHandlerCanAnswerBeforeAnybodyHasHoldOfTheSocket() {
        var other = new RouterSocket(reactor, new InetSocketAddress(InetAddress.getLoopbackAddress(), 0),
                RouterSocket::send);
        try (var peer = RawPeer.connect(other.address(), "DEALER", new byte[0])) {
            peer.send(List.of("question".getBytes(UTF_8)));
            assertEquals("question", new String(peer.receive().getFirst(), UTF_8));
        }
    }

    @Test
    void anInterruptedThreadCanSend() throws InterruptedException {
        try (var peer = RawPeer.connect(router.address(), "DEALER", "client".getBytes(UTF_8))) {
            peer.send(List.of(new byte[1]));
            received.take();
            // Channels of another kind are closed by this.
            Thread.currentThread().interrupt();
            assertTrue(router.send("client".getBytes(UTF_8), List.of("one".getBytes(UTF_8))));
            assertTrue(Thread.interrupted());
            assertArrayEquals("one".getBytes(UTF_8), peer.receive().getFirst());
        }
    }

    @Test
    void aClientThatNeverReadsIsDisconnectedAtTheLimit() throws InterruptedException {
        try (var peer = RawPeer.connect(router.address(), "DEALER", "deaf".getBytes(UTF_8))) {
            peer.send(List.of(new byte[1]));
            received.take();
            // The same array each time: the limit is about what would be held if it were not.
            byte[] frame = new byte[1 << 20];
            int sent = 0;
            while (router.send("deaf".getBytes(UTF_8), List.of(frame))) {
                sent++;
            }
            int finalSent = sent;
            assertTrue(sent >= 255 && sent < 300, () -> finalSent + " MiB were taken");
            assertFalse(router.send("deaf".getBytes(UTF_8), List.of(new byte[1])));
            peer.awaitClosed();
        }
    }

    @Test
    void pingIsAnsweredWithItsContext() throws InterruptedException {
        try (var peer = RawPeer.connect(router.address(), "DEALER", "pings".getBytes(UTF_8))) {
            peer.write(RawPeer.command("PING", new byte[]{0, 100, 'c', 't', 'x'}));
            assertArrayEquals("\u0004PONGctx".getBytes(UTF_8), peer.receive().getFirst());
            // Unknown commands may come from later versions.
            peer.write(RawPeer.command("NEWS", new byte[10]));
            peer.send(List.of("still here".getBytes(UTF_8)));
            assertArrayEquals("still here".getBytes(UTF_8), received.take().frames.getFirst());
        }
    }

    /// Each is closed, and a client that was there before goes on.
    @ParameterizedTest
    @ValueSource(strings = {"http", "signature", "version 2", "CURVE", "PUB", "no type", "message first",
            "large handshake", "huge frame", "reserved flag", "leading zero", "long identity", "cut metadata",
            "empty command", "ERROR", "long ping"})
    void malformedPeersAreDisconnectedAndOthersGoOn(String what) throws InterruptedException {
        byte[] greeting = RawPeer.greeting(3, "NULL");
        byte[] ready = RawPeer.command("READY", RawPeer.ready("DEALER", new byte[0]));
        var bytes = switch (what) {
            case "http" -> List.of("GET".getBytes(UTF_8));
            case "signature" -> List.of(new byte[]{(byte) 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0x00});
            case "version 2" -> List.of(Arrays.copyOf(RawPeer.greeting(2, ""), 11));
            case "CURVE" -> List.of(RawPeer.greeting(3, "CURVE"));
            case "PUB" -> List.of(greeting, RawPeer.command("READY", RawPeer.ready("PUB", new byte[0])));
            case "no type" -> List.of(greeting, RawPeer.command("READY", new byte[0]));
            case "message first" -> List.of(greeting, RawPeer.message(List.of(new byte[1])));
            case "large handshake" -> List.of(greeting, RawPeer.command("READY", new byte[5000]));
            case "huge frame" -> List.of(greeting, ready, new byte[]{2, 0x7F, -1, -1, -1, -1, -1, -1, -1});
            case "reserved flag" -> List.of(greeting, ready, new byte[]{64});
            case "leading zero" -> List.of(greeting, RawPeer.command("READY", RawPeer.ready("DEALER", new byte[5])));
            case "long identity" -> {
                byte[] identity = new byte[256];
                Arrays.fill(identity, (byte) 1);
                yield List.of(greeting, RawPeer.command("READY", RawPeer.ready("DEALER", identity)));
            }
            case "cut metadata" -> List.of(greeting, RawPeer.command("READY", new byte[]{3, 'a', 'b'}));
            case "empty command" -> List.of(greeting, ready, new byte[]{4, 0});
            case "ERROR" -> List.of(greeting, ready, RawPeer.command("ERROR", new byte[]{1, '!'}));
            case "long ping" -> List.of(greeting, ready, RawPeer.command("PING", new byte[19]));
            default -> throw new IllegalArgumentException(what);
        };
        try (var good = RawPeer.connect(router.address(), "DEALER", "good".getBytes(UTF_8));
                var bad = new RawPeer(router.address())) {
            bytes.forEach(bad::write);
            bad.awaitClosed();
            good.send(List.of("fine".getBytes(UTF_8)));
            assertArrayEquals("fine".getBytes(UTF_8), received.take().frames.getFirst());
        }
    }
}
