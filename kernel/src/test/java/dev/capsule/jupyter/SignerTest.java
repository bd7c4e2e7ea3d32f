package dev.capsule.jupyter;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import org.apache.commons.codec.binary.Hex;
import org.apache.commons.codec.digest.HmacUtils;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SignerTest {
    private static final byte[] HEADER = bytes("{\"msg_id\":\"1\"}");
    private static final byte[] EMPTY = bytes("{}");
    private static final byte[] CONTENT = bytes("{\"code\":\"é\"}");

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /// Computed with Python: hmac.new(b"secret", header + b"{}{}" + content, "sha256").hexdigest()
    @Test
    void signsAsPythonDoes() {
        var signature = new Signer("hmac-sha256", "secret").sign(HEADER, EMPTY, EMPTY, CONTENT);
        assertEquals("ba95035fc1c6e1cd28e979d79a8057944610640d55e91dc92745e2822f31afc3",
                new String(signature, StandardCharsets.US_ASCII));
    }

    @Test
    void signsAsJavaDoes() {
        for (String name : List.of("md5", "sha1", "sha224", "sha256", "sha384", "sha512")) {
            for (int length : List.of(1, 63, 64, 65, 127, 128, 129, 1_000)) {
                String key = "k".repeat(length);
                var signature = new Signer("hmac-" + name, key).sign(HEADER, EMPTY, EMPTY, CONTENT);
                var mac = HmacUtils.getInitializedMac("Hmac" + name.toUpperCase(Locale.ROOT), bytes(key));
                for (byte[] part : List.of(HEADER, EMPTY, EMPTY, CONTENT)) {
                    mac.update(part);
                }
                assertEquals(Hex.encodeHexString(mac.doFinal()), new String(signature, StandardCharsets.US_ASCII),
                        () -> name + " with a key of " + length);
            }
        }
        assertThrows(WireException.class, () -> new Signer("hmac-rot13", "secret"));
        assertThrows(WireException.class, () -> new Signer("sha256", "secret"));
    }

    /// Large messages go another way.
    @ParameterizedTest
    @ValueSource(ints = {65_535, 65_536, 65_537, 131_072, 1_000_003})
    void signsLargeMessagesAsJavaDoes(int bytes) {
        byte[] content = new byte[bytes];
        new Random(bytes).nextBytes(content);
        for (String name : List.of("md5", "sha1", "sha224", "sha256", "sha384", "sha512")) {
            var signer = new Signer("hmac-" + name, "secret");
            var mac = HmacUtils.getInitializedMac("Hmac" + name.toUpperCase(Locale.ROOT), bytes("secret"));
            for (byte[] part : List.of(HEADER, EMPTY, EMPTY, content)) {
                mac.update(part);
            }
            var expected = Hex.encodeHexString(mac.doFinal());
            for (int i = 0; i < 2; i++) {
                assertEquals(expected,
                        new String(signer.sign(HEADER, EMPTY, EMPTY, content), StandardCharsets.US_ASCII), name);
            }
        }
    }

    @Test
    void acceptsASignatureOnce() {
        var signer = new Signer("hmac-sha256", "secret");
        var signature = signer.sign(HEADER, EMPTY, EMPTY, CONTENT);
        signer.verify(signature, HEADER, EMPTY, EMPTY, CONTENT);
        var repeated = assertThrows(WireException.class,
                () -> signer.verify(signature, HEADER, EMPTY, EMPTY, CONTENT));
        assertEquals("repeated signature", repeated.getMessage());
    }

    @Test
    void refusesMissingAndWrongSignatures() {
        var signer = new Signer("hmac-sha256", "secret");
        assertThrows(WireException.class, () -> signer.verify(new byte[0], HEADER, EMPTY, EMPTY, CONTENT));
        var other = new Signer("hmac-sha256", "other").sign(HEADER, EMPTY, EMPTY, CONTENT);
        assertThrows(WireException.class, () -> signer.verify(other, HEADER, EMPTY, EMPTY, CONTENT));
    }

    @Test
    void anEmptyKeySignsAndRefusesNothing() {
        var signer = new Signer("hmac-sha256", "");
        assertArrayEquals(new byte[0], signer.sign(HEADER, EMPTY, EMPTY, CONTENT));
        signer.verify(bytes("whatever"), HEADER, EMPTY, EMPTY, CONTENT);
        signer.verify(bytes("whatever"), HEADER, EMPTY, EMPTY, CONTENT);
    }
}
