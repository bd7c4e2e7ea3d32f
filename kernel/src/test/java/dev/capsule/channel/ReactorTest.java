package dev.capsule.channel;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class ReactorTest {
    private static final InetSocketAddress ANY_PORT = new InetSocketAddress(InetAddress.getLoopbackAddress(), 0);

    @Test
    void aPortInUseIsNamed() {
        try (var reactor = new Reactor("ports", Duration.ZERO)) {
            var address = new EchoSocket(reactor, ANY_PORT).address();
            var failure = assertThrows(ChannelException.class, () -> new EchoSocket(reactor, address));
            assertTrue(failure.toString().contains("127.0.0.1 port " + address.getPort()), failure::toString);
            assertTrue(failure.toString().contains("in use"), failure::toString);
            assertThrows(ChannelException.class,
                    () -> new EchoSocket(reactor, InetSocketAddress.createUnresolved("no.such.host", 1)));
        }
    }

    @Test
    void theSamePortIsBoundAgainAtOnce() {
        var address = ANY_PORT;
        for (int i = 0; i < 50; i++) {
            var reactor = new Reactor("rebind", Duration.ofSeconds(1));
            address = new EchoSocket(reactor, address).address();
            try (var peer = RawPeer.connect(address, "REQ", new byte[0])) {
                peer.send(List.of(new byte[]{(byte) i}));
                assertArrayEquals(new byte[]{(byte) i}, peer.receive().getFirst());
                // The server closes first, so its side of the connection goes to TIME_WAIT.
                reactor.close();
                peer.awaitClosed();
            }
        }
    }

    @Test
    void closingDeliversWhatWasSentAndLeavesNoThread() throws InterruptedException {
        var identities = new LinkedBlockingQueue<String>();
        var reactor = new Reactor("closing", Duration.ofSeconds(10));
        var router = new RouterSocket(reactor, ANY_PORT,
                (_, identity, frames) -> identities.add(new String(identity, UTF_8)));
        try (var peer = RawPeer.connect(router.address(), "DEALER", "client".getBytes(UTF_8))) {
            peer.send(List.of(new byte[1]));
            byte[] identity = identities.take().getBytes(UTF_8);
            // More than the connection takes at once.
            for (int i = 0; i < 20; i++) {
                assertTrue(router.send(identity, List.of(new byte[1_000_000])));
            }
            assertTrue(router.send(identity, List.of("shutdown_reply".getBytes(UTF_8))));
            var closing = CompletableFuture.runAsync(reactor::close);
            for (int i = 0; i < 20; i++) {
                assertEquals(1_000_000, peer.receive().getFirst().length);
            }
            assertArrayEquals("shutdown_reply".getBytes(UTF_8), peer.receive().getFirst());
            closing.join();
            peer.awaitClosed();
            assertFalse(router.send(identity, List.of(new byte[1])));
        }
        assertTrue(
                Thread.getAllStackTraces().keySet().stream().noneMatch(thread -> thread.getName().equals("closing")));
    }

    /// A connection that is closed with input unread is reset, and what the client had not read by then was lost.
    @Test
    void inputThatIsNotReadAnyMoreDoesNotDestroyWhatWasSent() throws InterruptedException {
        var entered = new LinkedBlockingQueue<byte[]>();
        var leave = new CountDownLatch(1);
        var reactor = new Reactor("unread", Duration.ofSeconds(10));
        var router = new RouterSocket(reactor, ANY_PORT, (_, identity, frames) -> {
            entered.add(identity);
            awaitUninterrupted(leave);
        });
        try (var peer = RawPeer.connect(router.address(), "DEALER", "client".getBytes(UTF_8))) {
            peer.send(List.of(new byte[1]));
            byte[] identity = entered.take();
            peer.send(List.of(new byte[1000]));
            // Fits into the buffers of the connection.
            assertTrue(router.send(identity, List.of(new byte[1_000_000])));
            var closer = Thread.ofPlatform().start(reactor::close);
            while (closer.getState() != Thread.State.TIMED_WAITING) {
                Thread.onSpinWait();
            }
            leave.countDown();
            closer.join();
            assertEquals(1_000_000, peer.receive().getFirst().length);
        }
    }

    private static void awaitUninterrupted(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void closingWaitsForADeafClientNoLongerThanTheLingerTime() throws InterruptedException {
        var identities = new LinkedBlockingQueue<String>();
        var reactor = new Reactor("deaf", Duration.ofMillis(200));
        var router = new RouterSocket(reactor, ANY_PORT,
                (_, identity, frames) -> identities.add(new String(identity, UTF_8)));
        try (var peer = RawPeer.connect(router.address(), "DEALER", "deaf".getBytes(UTF_8))) {
            peer.send(List.of(new byte[1]));
            router.send(identities.take().getBytes(UTF_8), List.of(new byte[50_000_000]));
            long start = System.nanoTime();
            reactor.close();
            var took = Duration.ofNanos(System.nanoTime() - start);
            assertTrue(took.compareTo(Duration.ofMillis(200)) >= 0 && took.compareTo(Duration.ofSeconds(5)) < 0,
                    took::toString);
        }
    }

    @Test
    void closingDoesNotWaitForeverForAHandler() throws InterruptedException {
        var entered = new CountDownLatch(1);
        var leave = new CountDownLatch(1);
        var reactor = new Reactor("stuck", Duration.ZERO);
        var router = new RouterSocket(reactor, ANY_PORT, (_, identity, frames) -> {
            entered.countDown();
            awaitUninterrupted(leave);
        });
        try (var peer = RawPeer.connect(router.address(), "DEALER", new byte[0])) {
            peer.send(List.of(new byte[1]));
            entered.await();
            reactor.close();
            peer.awaitClosed();
        }
        leave.countDown();
    }

    /// An answer that had come before its question was asked was handled after it, and taken for that: the reactor was
    /// with another client's message when it was given the question, and did not look again.
    @Test
    void whatHasArrivedComesBeforeATaskThatIsGivenLater() throws InterruptedException {
        var events = new LinkedBlockingQueue<String>();
        var entered = new CountDownLatch(1);
        var leave = new CountDownLatch(1);
        try (var reactor = new Reactor("order", Duration.ZERO)) {
            var router = new RouterSocket(reactor, ANY_PORT, (_, identity, frames) -> {
                entered.countDown();
                awaitUninterrupted(leave);
                events.add(new String(frames.getFirst(), UTF_8));
            });
            try (var one = RawPeer.connect(router.address(), "DEALER", new byte[0]);
                    var other = RawPeer.connect(router.address(), "DEALER", new byte[0])) {
                one.send(List.of("one".getBytes(UTF_8)));
                entered.await();
                other.send(List.of("other".getBytes(UTF_8)));
                reactor.execute(() -> events.add("task"));
                leave.countDown();
                assertEquals(List.of("one", "other", "task"), List.of(events.take(), events.take(), events.take()));
            }
        }
    }

    @Test
    void aHandlerMayNotClose() throws InterruptedException {
        var outcome = new LinkedBlockingQueue<Class<?>>();
        var reactor = new Reactor("itself", Duration.ZERO);
        var router = new RouterSocket(reactor, ANY_PORT, (_, identity, frames) -> {
            try {
                reactor.close();
            } catch (IllegalStateException e) {
                outcome.add(e.getClass());
            }
        });
        try (var peer = RawPeer.connect(router.address(), "DEALER", new byte[0])) {
            peer.send(List.of(new byte[1]));
            assertEquals(IllegalStateException.class, outcome.take());
        }
        reactor.close();
    }

    @Test
    void clientsAboveTheLimitAreTurnedAway() {
        try (var reactor = new Reactor("crowd", Duration.ZERO)) {
            var address = new EchoSocket(reactor, ANY_PORT).address();
            var peers = new ArrayList<RawPeer>();
            for (int i = 0; i < 255; i++) {
                peers.add(RawPeer.connect(address, "REQ", new byte[0]));
            }
            String log = logOf(() -> {
                for (int i = 0; i < 10; i++) {
                    try (var oneTooMany = new RawPeer(address)) {
                        oneTooMany.awaitClosed();
                    }
                }
                assertEchoes(peers.get(100));
            });
            // There was a line for each, and none said where.
            assertEquals(1, log.lines().count(), log);
            assertTrue(log.contains("port " + address.getPort() + ":") && log.contains(" 256 "), log);
            peers.forEach(RawPeer::close);
        }
    }

    /// Anybody could keep all clients out, without a key, by connections on which nothing was said.
    @Test
    void whoHasNotShakenHandsMakesWay() {
        try (var reactor = new Reactor("idle", Duration.ZERO)) {
            var address = new EchoSocket(reactor, ANY_PORT).address();
            var first = RawPeer.connect(address, "REQ", new byte[0]);
            var idle = new ArrayList<RawPeer>();
            for (int i = 0; i < 254; i++) {
                idle.add(new RawPeer(address));
                // It is accepted, in this order.
                idle.getLast().readGreeting();
            }
            var clients = new ArrayList<RawPeer>(List.of(first));
            for (int i = 0; i < 254; i++) {
                clients.add(RawPeer.connect(address, "REQ", new byte[0]));
                idle.get(i).awaitClosed();
            }
            clients.forEach(ReactorTest::assertEchoes);
            idle.forEach(RawPeer::close);
            clients.forEach(RawPeer::close);
        }
    }

    private static void assertEchoes(RawPeer peer) {
        peer.send(List.of(new byte[]{7}));
        assertArrayEquals(new byte[]{7}, peer.receive().getFirst());
    }

    /// What is logged meanwhile.
    private static String logOf(Runnable action) {
        var before = System.err;
        var written = new ByteArrayOutputStream();
        System.setErr(new PrintStream(written, true, UTF_8));
        try {
            action.run();
        } finally {
            System.setErr(before);
        }
        return written.toString(UTF_8);
    }
}
