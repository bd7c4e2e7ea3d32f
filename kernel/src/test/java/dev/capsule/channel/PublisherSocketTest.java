package dev.capsule.channel;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.function.Supplier;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.zeromq.SocketType;
import org.zeromq.ZMQ;

@Timeout(60)
class PublisherSocketTest {
    private static final Pattern NOTE = Pattern.compile("\\[(\\d+) lines, (\\d+) bytes dropped]\n");

    /// Two frames: the topic `stream.NAME`, and the text.
    private record Stream(String name) implements Publication.TextStream {
        @Override
        public byte[] topic() {
            return ("stream." + name).getBytes(UTF_8);
        }

        @Override
        public List<byte[]> frames(byte[] utf8) {
            return List.of(topic(), utf8);
        }

        @Override
        public byte[] droppedNote(long lines, long bytes) {
            return "[%d lines, %d bytes dropped]\n".formatted(lines, bytes).getBytes(UTF_8);
        }
    }

    private final Reactor reactor = new Reactor("publisher-test", Duration.ofSeconds(1));
    private final JeroMq clients = new JeroMq();

    @AfterEach
    void close() {
        clients.close();
        reactor.close();
    }

    private PublisherSocket publisher(PublisherSocket.Limits limits) {
        return new PublisherSocket(reactor, new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), limits,
                prefix -> List.of(prefix, "welcome".getBytes(UTF_8)));
    }

    private static PublisherSocket.Limits limits(int textMiB, int roomMiB, Duration stall) {
        return new PublisherSocket.Limits(256L << 20, (long) textMiB << 20, (long) roomMiB << 20, stall);
    }

    /// A client that was welcomed by its first message.
    private ZMQ.Socket subscriber(PublisherSocket publisher, String prefix) {
        return clients.connect(publisher, SocketType.SUB, "", sub -> {
            sub.subscribe(prefix);
            var first = sub.recvStr();
            if (first != null) {
                assertEquals(prefix + " welcome", first + " " + sub.recvStr());
            }
            return first != null;
        });
    }

    private static Publication plain(String topic, String text) {
        return new Publication.Plain(List.of(topic.getBytes(UTF_8), text.getBytes(UTF_8)));
    }

    private static Publication text(String stream, String text) {
        return new Publication.Text(new Stream(stream), text.getBytes(UTF_8));
    }

    private static String receive(ZMQ.Socket sub) {
        return sub.recvStr() + " " + sub.recvStr();
    }

    private static String receive(RawPeer peer) {
        var frames = peer.receive();
        return new String(frames.get(0), UTF_8) + " " + new String(frames.get(1), UTF_8);
    }

    @Test
    void whatIsPublishedTogetherIsSentAtTheEnd() {
        var publisher = publisher(PublisherSocket.Limits.DEFAULT);
        var sub = subscriber(publisher, "");
        publisher.together(() -> {
            publisher.publish(plain("status", "busy"));
            publisher.together(() -> publisher.publish(text("stdout", "a")));
            publisher.publish(text("stdout", "b"));
            assertTrue(publisher.backlogBytes() > 0);
        });
        assertEquals(0, publisher.backlogBytes());
        publisher.publish(plain("status", "idle"));
        assertEquals("status busy", receive(sub));
        assertEquals("stream.stdout ab", receive(sub));
        assertEquals("status idle", receive(sub));
    }

    @Test
    void anotherThreadsPublicationKeepsItsPlace() {
        var publisher = publisher(PublisherSocket.Limits.DEFAULT);
        var sub = subscriber(publisher, "");
        publisher.together(() -> {
            publisher.publish(plain("status", "1"));
            CompletableFuture.runAsync(() -> publisher.publish(plain("status", "2"))).join();
            publisher.publish(plain("status", "3"));
        });
        for (int i = 1; i <= 3; i++) {
            assertEquals("status " + i, receive(sub));
        }
    }

    /// Who waited for room while it kept back what takes the room would have waited until the peer counted as stalled.
    @Test
    void whoWaitsForRoomKeepsNothingBack() {
        var publisher = publisher(limits(64, 1, Duration.ofMinutes(5)));
        var sub = subscriber(publisher, "");
        publisher.together(() -> {
            for (int i = 0; i < 20; i++) {
                try {
                    publisher.awaitRoom();
                } catch (InterruptedException e) {
                    throw new IllegalStateException(e);
                }
                publisher.publish(plain("display", "x".repeat(1 << 20)));
            }
            publisher.publish(plain("status", "idle"));
        });
        for (int i = 0; i < 20; i++) {
            assertEquals("display ".length() + (1 << 20), receive(sub).length());
        }
        assertEquals("status idle", receive(sub));
    }

    @Test
    void everySubscriberGetsItsWelcomeFirst() {
        var publisher = publisher(PublisherSocket.Limits.DEFAULT);
        var stop = new CountDownLatch(1);
        var flood = CompletableFuture.runAsync(() -> {
            for (int i = 0; stop.getCount() > 0; i++) {
                publisher.publish(plain("status", "" + i));
            }
        });
        for (int i = 0; i < 3; i++) {
            var sub = subscriber(publisher, "");
            int first = Integer.parseInt(receive(sub).substring("status ".length()));
            assertEquals("status " + (first + 1), receive(sub));
            sub.close();
        }
        stop.countDown();
        flood.join();
    }

    /// Who asked for something as soon as it had connected could miss that the kernel was idle afterwards, because its
    /// subscription was still on its way. JupyterLab then never learned what the kernel is.
    @Test
    void whoHasConnectedIsWaitedForUntilItSubscribes() {
        var publisher = publisher(limits(1, 1, Duration.ofSeconds(50)));
        try (var peer = new RawPeer(publisher.address())) {
            var published = CompletableFuture.runAsync(() -> {
                awaitSubscriptions(publisher);
                publisher.publish(plain("status", "idle"));
            });
            peer.write(RawPeer.greeting(3, "NULL"));
            peer.readGreeting();
            peer.write(RawPeer.command("READY", RawPeer.ready("SUB", new byte[0])));
            peer.receive();
            peer.send(List.of("\u0001status".getBytes(UTF_8)));
            assertEquals("status welcome", receive(peer));
            assertEquals("status idle", receive(peer));
            published.join();
        }
    }

    @Test
    void whoNeverSubscribesIsNotWaitedForForEver() {
        var publisher = publisher(limits(1, 1, Duration.ofMillis(50)));
        try (var peer = RawPeer.connect(publisher.address(), "SUB", new byte[0])) {
            awaitSubscriptions(publisher);
            peer.send(List.of("\u0001status".getBytes(UTF_8)));
            assertEquals("status welcome", receive(peer));
        }
    }

    private static void awaitSubscriptions(PublisherSocket publisher) {
        try {
            publisher.awaitSubscriptions();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void subscriptionsArePrefixesAndCanBeCancelled() {
        var publisher = publisher(PublisherSocket.Limits.DEFAULT);
        var sub = subscriber(publisher, "stream.");
        sub.subscribe("status");
        assertEquals("status welcome", receive(sub));
        publisher.publish(text("stdout", "one"));
        publisher.publish(plain("strea", "too short"));
        publisher.publish(plain("status", "two"));
        publisher.publish(plain("other", "not wanted"));
        assertEquals("stream.stdout one", receive(sub));
        assertEquals("status two", receive(sub));
        sub.unsubscribe("stream.");
        // Its welcome says that the cancellation before it was seen, too.
        sub.subscribe("stat");
        assertEquals("stat welcome", receive(sub));
        publisher.publish(text("stdout", "three"));
        publisher.publish(plain("status", "four"));
        assertEquals("status four", receive(sub));
    }

    @Test
    void commandsOfNewerPeersSubscribe() {
        var publisher = publisher(PublisherSocket.Limits.DEFAULT);
        try (var peer = RawPeer.connect(publisher.address(), "XSUB", new byte[0])) {
            peer.write(RawPeer.command("SUBSCRIBE", "a".getBytes(UTF_8)));
            assertEquals("a welcome", receive(peer));
            peer.write(RawPeer.command("SUBSCRIBE", "b".getBytes(UTF_8)));
            assertEquals("b welcome", receive(peer));
            peer.write(RawPeer.command("CANCEL", "a".getBytes(UTF_8)));
            // What the user of an XSUB says, and what is no subscription, is of no interest.
            peer.send(List.of(new byte[0]));
            peer.send(List.of(new byte[]{1}, new byte[]{1}));
            // Subscribed to already, and told of again.
            peer.write(RawPeer.command("SUBSCRIBE", "b".getBytes(UTF_8)));
            assertEquals("b welcome", receive(peer));
            publisher.publish(plain("a", "1"));
            publisher.publish(plain("b", "2"));
            assertEquals("b 2", receive(peer));
        }
    }

    @Test
    void tooManySubscriptionsDisconnect() {
        var publisher = publisher(PublisherSocket.Limits.DEFAULT);
        try (var peer = RawPeer.connect(publisher.address(), "SUB", new byte[0])) {
            for (int i = 0; i <= 1024; i++) {
                peer.send(List.of(new byte[]{1, (byte) (i >> 8), (byte) i}));
            }
            peer.awaitClosed();
        }
    }

    /// 80 MB of lines, of which a client that never reads may let 16 MiB wait.
    @Test
    void aClientThatNeverReadsSlowsNobodyAndIsToldWhatItMissed() throws InterruptedException {
        var publisher = publisher(limits(16, 4, Duration.ofMillis(200)));
        int lines = 40_000;
        var sub = subscriber(publisher, "");
        try (var deaf = RawPeer.subscribe(publisher.address())) {
            assertEquals(" welcome", receive(deaf));
            var healthy = CompletableFuture.supplyAsync(() -> collect(() -> receive(sub)));
            publisher.publish(plain("status", "busy"));
            for (int i = 0; i < lines; i++) {
                publisher.awaitRoom();
                publisher.publish(text("stdout", line(i)));
            }
            publisher.publish(plain("status", "idle"));
            var complete = new StringBuilder();
            for (int i = 0; i < lines; i++) {
                complete.append(line(i));
            }
            // All of it, while the other has not read a byte.
            assertEquals(complete.toString(), healthy.join());

            var late = collect(() -> receive(deaf));
            var notes = NOTE.matcher(late);
            long dropped = 0;
            while (notes.find()) {
                dropped += Long.parseLong(notes.group(1));
            }
            assertTrue(dropped > 0);
            var kept = NOTE.matcher(late).replaceAll("");
            assertEquals(complete.length(), kept.length() + dropped * line(0).length());
            assertOrdered(kept);
        }
    }

    private static String line(int i) {
        return "%06d %s\n".formatted(i, "x".repeat(2040));
    }

    private static void assertOrdered(String text) {
        int last = -1;
        for (var line : text.lines().toList()) {
            int number = Integer.parseInt(line.substring(0, 6));
            assertTrue(number > last, () -> "line " + number);
            last = number;
        }
    }

    /// The text between `busy` and `idle`.
    private static String collect(Supplier<String> messages) {
        assertEquals("status busy", messages.get());
        var all = new StringBuilder();
        for (var next = messages.get(); !next.equals("status idle"); next = messages.get()) {
            assertTrue(next.startsWith("stream.stdout "), next);
            all.append(next, "stream.stdout ".length(), next.length());
        }
        return all.toString();
    }

    @Test
    void aSlowClientThatReadsGetsEveryLine() throws InterruptedException {
        var publisher = publisher(limits(8, 1, Duration.ofSeconds(20)));
        int pieces = 640;
        var piece = line(1).repeat(32);
        try (var slow = RawPeer.subscribe(publisher.address())) {
            assertEquals(" welcome", receive(slow));
            var received = CompletableFuture.supplyAsync(() -> collect(() -> {
                var message = receive(slow);
                // Slower than the publisher: it sorts what it reads.
                assertTrue(message.chars().boxed().sorted().count() > 0);
                return message;
            }));
            publisher.publish(plain("status", "busy"));
            long most = 0;
            for (int i = 0; i < pieces; i++) {
                publisher.awaitRoom();
                publisher.publish(text("stdout", piece));
                most = Math.max(most, publisher.backlogBytes());
            }
            publisher.publish(plain("status", "idle"));
            assertEquals(piece.repeat(pieces), received.join());
            assertTrue(most > 1 << 20, "it must have been slower");
            assertTrue(most < 8 << 20, "and been waited for");
        }
    }

    @Test
    void whatWaitsForAClientThatNeverReadsIsBounded() {
        var publisher = publisher(limits(64, 16, Duration.ofSeconds(1)));
        try (var deaf = RawPeer.subscribe(publisher.address())) {
            assertEquals(" welcome", receive(deaf));
            var piece = "y".repeat((1 << 16) - 1) + "\n";
            for (int i = 0; i < 1 << 14; i++) {
                publisher.publish(text(i % 100 == 0 ? "stderr" : "stdout", piece));
            }
            publisher.publish(plain("status", "idle"));
            long waiting = publisher.backlogBytes();
            assertTrue(waiting > 64 << 20 && waiting < 66 << 20, () -> waiting + " bytes");
            String last;
            long lines = 0;
            do {
                last = receive(deaf);
                for (var line : last.lines().toList()) {
                    var note = NOTE.matcher(line + "\n");
                    lines += note.find() ? Long.parseLong(note.group(1)) : 1;
                }
            } while (!last.equals("status idle"));
            assertEquals((1 << 14) + 1, lines);
            assertEquals(0, publisher.backlogBytes());
        }
    }

    @Test
    void aStalledClientIsWaitedForOnce() throws InterruptedException {
        var publisher = publisher(limits(64, 1, Duration.ofMillis(500)));
        try (var deaf = RawPeer.subscribe(publisher.address())) {
            assertEquals(" welcome", receive(deaf));
            var piece = "y".repeat(1 << 16);
            long start = System.nanoTime();
            for (int i = 0; i < 500; i++) {
                publisher.publish(text("stdout", piece));
                publisher.awaitRoom();
            }
            var took = Duration.ofNanos(System.nanoTime() - start);
            assertTrue(took.compareTo(Duration.ofMillis(500)) >= 0, took::toString);
            // Were it waited for each time, this would take minutes.
            assertTrue(took.compareTo(Duration.ofSeconds(10)) < 0, took::toString);
        }
    }

    @Test
    void whoWaitsForAClientThatGoesAwayGoesOn() throws InterruptedException {
        var publisher = publisher(limits(64, 1, Duration.ofDays(1)));
        var deaf = RawPeer.subscribe(publisher.address());
        assertEquals(" welcome", receive(deaf));
        while (publisher.backlogBytes() < 2 << 20) {
            publisher.publish(text("stdout", "y".repeat(1 << 16)));
        }
        var waiting = CompletableFuture.runAsync(() -> {
            try {
                publisher.awaitRoom();
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            }
        });
        deaf.close();
        waiting.join();
    }

    @Test
    void aClientThatLetsTooManyMessagesWaitIsDisconnected() {
        var publisher = publisher(new PublisherSocket.Limits(8 << 20, 1 << 20, 1 << 20, Duration.ofSeconds(1)));
        var sub = subscriber(publisher, "");
        try (var deaf = RawPeer.subscribe(publisher.address())) {
            assertEquals(" welcome", receive(deaf));
            byte[] image = new byte[1 << 20];
            for (int i = 0; i < 50; i++) {
                publisher.publish(new Publication.Plain(List.of("display".getBytes(UTF_8), image)));
                assertEquals("display", sub.recvStr());
                assertArrayEquals(image, sub.recv());
            }
            deaf.awaitClosed();
        }
    }

    @Test
    void aFailingWelcomeDisturbsNobody() {
        var publisher = new PublisherSocket(reactor, new InetSocketAddress(InetAddress.getLoopbackAddress(), 0),
                PublisherSocket.Limits.DEFAULT, prefix -> {
                    if (prefix.length == 1) {
                        throw new IllegalStateException("of the test");
                    }
                    return prefix.length == 0 ? List.of() : List.of(prefix, "welcome".getBytes(UTF_8));
                });
        var sub = subscriber(publisher, "ready");
        sub.subscribe("x");
        sub.subscribe("");
        sub.subscribe("still ready");
        assertEquals("still ready welcome", receive(sub));
        publisher.publish(plain("x", "1"));
        assertEquals("x 1", receive(sub));
    }

    @Test
    void manyThreadsPublishInOneOrderForAll() {
        var publisher = publisher(PublisherSocket.Limits.DEFAULT);
        var subs = List.of(subscriber(publisher, ""), subscriber(publisher, ""));
        var threads = new ArrayList<CompletableFuture<Void>>();
        for (int t = 0; t < 4; t++) {
            int thread = t;
            threads.add(CompletableFuture.runAsync(() -> {
                for (int i = 0; i < 2000; i++) {
                    publisher.publish(plain("" + thread, "" + i));
                }
            }));
        }
        threads.forEach(CompletableFuture::join);
        for (int i = 0; i < 8000; i++) {
            assertEquals(receive(subs.get(0)), receive(subs.get(1)));
        }
    }
}
