package dev.capsule.kernel;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;

import dev.capsule.channel.Reactor;
import dev.capsule.channel.RouterSocket;
import dev.capsule.jupyter.Content;
import dev.capsule.jupyter.Header;
import dev.capsule.jupyter.Message;
import dev.capsule.jupyter.Signer;
import dev.capsule.jupyter.Wire;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class ExchangeTest {
    private static InetSocketAddress anyPort() {
        return new InetSocketAddress(InetAddress.getLoopbackAddress(), 0);
    }

    /// The last 1,000 messages of comms are remembered for their late output: with buffers of some megabytes they filled
    /// the memory.
    @Test
    void whatARequestBringsIsNotKept() {
        try (var reactor = new Reactor("exchange-test", Duration.ZERO)) {
            var wire = new Wire(new Signer("hmac-sha256", ""), "somebody");
            var header = new Header("{}".getBytes(UTF_8), "1", "comm_msg", "", Optional.empty());
            var message = new Message(List.of(new byte[]{1}), header, Content.empty(), Content.empty(),
                    "{\"comm_id\":\"c\"}".getBytes(UTF_8), List.of(new byte[1 << 20]));
            try (var exchange = new Exchange(message, new RouterSocket(reactor, anyPort(), (_, _, _) -> {}), wire,
                    new Iopub(wire, reactor, anyPort()))) {
                assertSame(header, exchange.request().header());
                assertEquals(List.of(), exchange.request().buffers());
                assertEquals(2, exchange.request().content().length);
            }
        }
    }
}
