package dev.capsule.channel;

import java.net.ProtocolException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/// The 64 bytes that open a connection in both directions: signature, version, mechanism (ZMTP 3.0, "Formal Grammar").
final class Greeting {
    static final int BYTES = 64;

    private static final int MAJOR = 10;
    private static final int MECHANISM = 12;
    private static final int AS_SERVER = 32;
    private static final byte[] NULL = Arrays.copyOf("NULL".getBytes(StandardCharsets.US_ASCII), AS_SERVER - MECHANISM);

    private Greeting() {}

    /// Version 3.0, so that newer peers subscribe by messages as 3.0 has it and not by commands.
    static byte[] ours() {
        byte[] greeting = new byte[BYTES];
        greeting[0] = (byte) 0xFF;
        greeting[9] = 0x7F;
        greeting[MAJOR] = 3;
        System.arraycopy(NULL, 0, greeting, MECHANISM, NULL.length);
        return greeting;
    }

    /// Looks at the first `arrived` bytes. What cannot become a greeting is refused before all of it is here: an older
    /// peer, or one of another protocol, may send less than 64 bytes and wait.
    ///
    /// @throws ProtocolException if this is not ZMTP, older than 3, or has another mechanism than NULL
    static void check(byte[] greeting, int arrived) throws ProtocolException {
        // The eight bytes between these two are padding, which must not be interpreted.
        if ((arrived > 0 && greeting[0] != (byte) 0xFF) || (arrived > 9 && greeting[9] != 0x7F)) {
            throw new ProtocolException("not ZMTP: it does not begin with the signature FF … 7F");
        }
        // Later versions are valid and speak ours ("Version Negotiation").
        if (arrived > MAJOR && Byte.toUnsignedInt(greeting[MAJOR]) < 3) {
            throw new ProtocolException("ZMTP %d; at least 3 is needed".formatted(greeting[MAJOR]));
        }
        if (arrived >= AS_SERVER && !Arrays.equals(greeting, MECHANISM, AS_SERVER, NULL, 0, NULL.length)) {
            throw new ProtocolException("a security mechanism other than NULL");
        }
    }
}
