package dev.capsule.digest;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Random;
import org.apache.commons.codec.digest.DigestUtils;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// On a machine that has libcrypto, which Debian's Python needs.
class NativeDigestTest {
    @ParameterizedTest
    @ValueSource(strings = {"MD5", "SHA-1", "SHA-224", "SHA-256", "SHA-384", "SHA-512"})
    void isAsJavas(String algorithm) throws NoSuchAlgorithmException {
        var digest = assertInstanceOf(NativeDigest.class, NativeDigest.orJavas(algorithm));
        var random = new Random(1);
        for (int size : new int[]{0, 1, 63, 64, 65_535, 65_536, 65_537, 300_000}) {
            byte[] bytes = new byte[size];
            random.nextBytes(bytes);
            assertArrayEquals(MessageDigest.getInstance(algorithm).digest(bytes), digest.digest(bytes));
        }
    }

    @Test
    void isOfAllPartsSinceTheLast() {
        var digest = NativeDigest.orJavas("SHA-256");
        byte[] bytes = new byte[200_000];
        new Random(2).nextBytes(bytes);
        digest.update(bytes);
        digest.reset();
        int at = 0;
        for (int length = 1; at + length <= bytes.length; at += length, length = 2 * length + 1) {
            digest.update(bytes, at, length);
        }
        digest.update(bytes[at]);
        digest.update(bytes, at + 1, bytes.length - at - 1);
        assertArrayEquals(DigestUtils.sha256(bytes), digest.digest());
    }

    @Test
    void isNotForWhatNobodyHas() {
        assertThrows(IllegalArgumentException.class, () -> NativeDigest.orJavas("SHA-257"));
    }
}
