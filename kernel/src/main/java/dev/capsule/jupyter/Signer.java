package dev.capsule.jupyter;

import dev.capsule.digest.NativeDigest;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/// Signs and verifies messages: HMAC over the header, parent header, metadata and content bytes as they are on the wire,
/// in lower-case hex (Jupyter messaging, "The wire protocol"). Safe for use by several threads.
public final class Signer {
    /// As many digests as jupyter_client's Session remembers.
    private static final int REMEMBERED_SIGNATURES = 65_536;
    private static final int REMEMBERED_DIGITS = 16;

    private static final byte[] UNSIGNED = {};
    private static final byte[] HEX_DIGITS = "0123456789abcdef".getBytes(StandardCharsets.US_ASCII);

    private final boolean signing;
    private final ThreadLocal<Hmac> hmac;

    /// Guarded by itself.
    private final ReplayGuard replayGuard = new ReplayGuard(REMEMBERED_SIGNATURES);

    /// @param scheme `hmac-` and the name of a digest
    /// @param key empty when messages are not signed
    /// @throws WireException if this Java has no such digest
    public Signer(String scheme, String key) {
        signing = !key.isEmpty();
        var digest = Digest.of(scheme);
        byte[] secret = key.getBytes(StandardCharsets.UTF_8);
        hmac = ThreadLocal.withInitial(() -> new Hmac(digest, secret));
    }

    /// @return the signature as it goes on the wire; empty when messages are not signed
    public byte[] sign(byte[] header, byte[] parentHeader, byte[] metadata, byte[] content) {
        if (!signing) {
            return UNSIGNED;
        }
        return hex(hmac.get().sign(header, parentHeader, metadata, content));
    }

    /// Every message has one, so nothing is made on the way.
    private static byte[] hex(byte[] bytes) {
        byte[] hex = new byte[2 * bytes.length];
        for (int i = 0; i < bytes.length; i++) {
            hex[2 * i] = HEX_DIGITS[bytes[i] >> 4 & 0xf];
            hex[2 * i + 1] = HEX_DIGITS[bytes[i] & 0xf];
        }
        return hex;
    }

    /// Accepts a signature once.
    ///
    /// @throws WireException if it is missing, wrong, or was accepted before
    void verify(byte[] signature, byte[] header, byte[] parentHeader, byte[] metadata, byte[] content) {
        if (!signing) {
            return;
        }
        if (signature.length == 0) {
            throw new WireException("unsigned message");
        }
        // The bytes received are signed, not re-encoded JSON, which may differ; the time must not tell how much matched.
        if (!MessageDigest.isEqual(signature, sign(header, parentHeader, metadata, content))) {
            throw new WireException("invalid signature");
        }
        String digits = new String(signature, 0, REMEMBERED_DIGITS, StandardCharsets.US_ASCII);
        synchronized (replayGuard) {
            if (!replayGuard.accepts(Long.parseUnsignedLong(digits, 16))) {
                throw new WireException("repeated signature");
            }
        }
    }

    /// Those of Python's `hashlib` that make an HMAC in practice.
    private enum Digest {
        MD5("MD5", 64), SHA1("SHA-1", 64), SHA224("SHA-224", 64), SHA256("SHA-256", 64), SHA384("SHA-384", 128), SHA512(
                "SHA-512", 128);

        private static final String PREFIX = "hmac-";

        private final String algorithm;
        private final int blockBytes;

        Digest(String algorithm, int blockBytes) {
            this.algorithm = algorithm;
            this.blockBytes = blockBytes;
        }

        static Digest of(String scheme) {
            if (!scheme.startsWith(PREFIX) || scheme.length() == PREFIX.length()) {
                throw new WireException("signature_scheme is \"" + scheme + "\", not of the form \"hmac-sha256\"");
            }
            String name = scheme.substring(PREFIX.length()).toUpperCase(Locale.ROOT);
            return Arrays.stream(values()).filter(digest -> digest.name().equals(name)).findFirst()
                    .orElseThrow(() -> new WireException("signature_scheme \"" + scheme
                            + "\" is not supported; use one such as \"hmac-sha256\" or \"hmac-sha512\""));
        }

        MessageDigest make() {
            try {
                return MessageDigest.getInstance(algorithm);
            } catch (NoSuchAlgorithmException e) {
                throw new IllegalStateException("every Java has " + algorithm, e);
            }
        }
    }

    /// RFC 2104. `Mac` would cost the start of a kernel 20 ms, since it looks through all providers of cryptography; and
    /// copies of digests that have taken in the key would be most of what a kernel makes and throws away. For one thread.
    private static final class Hmac {
        private static final byte INNER = 0x36;
        private static final byte OUTER = 0x5c;
        /// What makes up for the way to another digest.
        private static final int LARGE_BYTES = 1 << 16;

        private final MessageDigest digest;
        /// Once there was a large message.
        private @Nullable MessageDigest large;
        private final byte[] inner;
        private final byte[] outer;

        Hmac(Digest kind, byte[] key) {
            digest = kind.make();
            byte[] block = Arrays.copyOf(key.length > kind.blockBytes ? digest.digest(key) : key, kind.blockBytes);
            inner = padded(block, INNER);
            outer = padded(block, OUTER);
        }

        private static byte[] padded(byte[] block, byte pad) {
            byte[] padded = block.clone();
            for (int i = 0; i < padded.length; i++) {
                padded[i] ^= pad;
            }
            return padded;
        }

        byte[] sign(byte[] header, byte[] parentHeader, byte[] metadata, byte[] content) {
            return digest(digest, outer,
                    digest(digestFor(content), inner, header, parentHeader, metadata, content));
        }

        private MessageDigest digestFor(byte[] content) {
            if (content.length < LARGE_BYTES) {
                return digest;
            }
            if (large == null) {
                large = NativeDigest.orJavas(digest.getAlgorithm());
            }
            return large;
        }

        private static byte[] digest(MessageDigest digest, byte[]... parts) {
            for (byte[] part : parts) {
                digest.update(part);
            }
            return digest.digest();
        }
    }
}
