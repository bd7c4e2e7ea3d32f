package dev.capsule.channel;

import java.io.ByteArrayOutputStream;
import java.net.ProtocolException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/// What follows the greeting: `traffic = *(command | message)` (ZMTP 3.1, "Formal Grammar").
sealed interface Traffic {
    record Message(List<byte[]> frames) implements Traffic {}

    /// What the connections say to each other, in a frame of its own.
    ///
    /// @param data all after the name
    @SuppressWarnings("ArrayRecordComponent") // Commands are not compared.
    record Command(String name, byte[] data) implements Traffic {
        /// Reads the body of a command frame.
        ///
        /// @throws ProtocolException if it does not begin with a name
        static Command parse(byte[] body) throws ProtocolException {
            int length = body.length == 0 ? 0 : Byte.toUnsignedInt(body[0]);
            if (length == 0 || 1 + length > body.length) {
                throw new ProtocolException("a command of %d bytes without a name".formatted(body.length));
            }
            return new Command(new String(body, 1, length, StandardCharsets.US_ASCII),
                    Arrays.copyOfRange(body, 1 + length, body.length));
        }

        /// The command as a whole frame.
        ///
        /// @throws IllegalArgumentException if it is above the 255 bytes of a short frame
        byte[] encode() {
            int length = 1 + name.length() + data.length;
            if (length > 255) {
                throw new IllegalArgumentException("command of " + length + " bytes");
            }
            return ByteBuffer.allocate(2 + length).put((byte) FrameDecoder.COMMAND).put((byte) length)
                    .put((byte) name.length()).put(name.getBytes(StandardCharsets.US_ASCII)).put(data).array();
        }

        static Command ready(String socketType) {
            byte[] type = socketType.getBytes(StandardCharsets.US_ASCII);
            var metadata = new ByteArrayOutputStream();
            metadata.write("Socket-Type".length());
            metadata.writeBytes("Socket-Type".getBytes(StandardCharsets.US_ASCII));
            metadata.writeBytes(new byte[]{0, 0, 0, (byte) type.length});
            metadata.writeBytes(type);
            return new Command("READY", metadata.toByteArray());
        }

        /// The metadata of a READY command; names in lower case, as their case has no meaning.
        ///
        /// @throws ProtocolException if the data is not a list of names and values
        Map<String, byte[]> metadata() throws ProtocolException {
            var properties = new HashMap<String, byte[]>();
            var in = ByteBuffer.wrap(data);
            while (in.hasRemaining()) {
                byte[] propertyName = take(in, Byte.toUnsignedInt(in.get()));
                byte[] value = take(in, in.remaining() < 4 ? -1 : in.getInt());
                properties.put(new String(propertyName, StandardCharsets.US_ASCII).toLowerCase(Locale.ROOT), value);
            }
            return properties;
        }

        private static byte[] take(ByteBuffer in, int length) throws ProtocolException {
            if (length < 0 || length > in.remaining()) {
                throw new ProtocolException("READY with malformed metadata");
            }
            byte[] bytes = new byte[length];
            in.get(bytes);
            return bytes;
        }
    }
}
