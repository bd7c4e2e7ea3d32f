package dev.capsule.jupyter;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.ArrayDeque;
import java.util.HashSet;
import java.util.Locale;
import java.util.Set;
import javax.crypto.Mac;
import org.apache.commons.codec.binary.Hex;
import org.apache.commons.codec.digest.HmacUtils;

/// Signs and verifies messages: HMAC over the header, parent header, metadata and content bytes as they are on the wire,
/// in lower-case hex (Jupyter messaging, "The wire protocol"). Safe for use by several threads.
public final class Signer {
    /// As many digests as jupyter_client's Session remembers.
    private static final int REMEMBERED_SIGNATURES = 65_536;

    private static final byte[] UNSIGNED = {};

    private final boolean signing;
    private final ThreadLocal<Mac> mac;

    // Guarded by itself: the replay guard, oldest signature first in the queue.
    private final Set<String> seen = new HashSet<>();
    private final ArrayDeque<String> seenInOrder = new ArrayDeque<>();

    /// @param scheme `hmac-` and the name of a digest
    /// @param key empty when messages are not signed
    /// @throws WireException if this Java has no such digest
    public Signer(String scheme, String key) {
        signing = !key.isEmpty();
        String algorithm = algorithm(scheme);
        byte[] secret = key.getBytes(StandardCharsets.UTF_8);
        mac = ThreadLocal.withInitial(() -> HmacUtils.getInitializedMac(algorithm, secret));
        if (signing) {
            try {
                mac.get();
            } catch (IllegalArgumentException e) {
                throw new WireException("signature_scheme \"" + scheme
                        + "\" is not supported; use one such as \"hmac-sha256\" or \"hmac-sha512\"", e);
            }
        }
    }

    private static String algorithm(String scheme) {
        if (!scheme.startsWith("hmac-") || scheme.length() == "hmac-".length()) {
            throw new WireException("signature_scheme is \"" + scheme + "\", not of the form \"hmac-sha256\"");
        }
        return "Hmac" + scheme.substring("hmac-".length()).toUpperCase(Locale.ROOT).replace("_", "");
    }

    /// @return the signature as it goes on the wire; empty when messages are not signed
    public byte[] sign(byte[] header, byte[] parentHeader, byte[] metadata, byte[] content) {
        if (!signing) {
            return UNSIGNED;
        }
        var digest = mac.get();
        digest.update(header);
        digest.update(parentHeader);
        digest.update(metadata);
        digest.update(content);
        return Hex.encodeHexString(digest.doFinal()).getBytes(StandardCharsets.US_ASCII);
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
        remember(new String(signature, StandardCharsets.US_ASCII));
    }

    private void remember(String signature) {
        synchronized (seen) {
            if (!seen.add(signature)) {
                throw new WireException("repeated signature");
            }
            seenInOrder.add(signature);
            if (seenInOrder.size() > REMEMBERED_SIGNATURES) {
                seen.remove(seenInOrder.remove());
            }
        }
    }
}
