package dev.capsule.channel;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/// A client that says what a test wants, byte by byte if need be, and reads when told to. Its code shares nothing with
/// the server's.
final class RawPeer implements AutoCloseable {
    private final Socket socket = new Socket();
    private final DataInputStream in;

    RawPeer(InetSocketAddress address) {
        try {
            socket.connect(address);
            socket.setTcpNoDelay(true);
            in = new DataInputStream(new BufferedInputStream(socket.getInputStream()));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /// A client that has shaken hands.
    static RawPeer connect(InetSocketAddress address, String type, byte[] identity) {
        var peer = new RawPeer(address);
        peer.write(greeting(3, "NULL"));
        peer.write(command("READY", ready(type, identity)));
        peer.readGreeting();
        peer.receive();
        return peer;
    }

    /// A subscriber to everything.
    static RawPeer subscribe(InetSocketAddress address) {
        var peer = connect(address, "SUB", new byte[0]);
        peer.send(List.of(new byte[]{1}));
        return peer;
    }

    static byte[] greeting(int version, String mechanism) {
        byte[] greeting = new byte[64];
        greeting[0] = (byte) 0xFF;
        // Padding: libzmq has a 1 here, for peers of version 1.
        greeting[8] = 1;
        greeting[9] = 0x7F;
        greeting[10] = (byte) version;
        greeting[11] = 1;
        byte[] name = mechanism.getBytes(StandardCharsets.US_ASCII);
        System.arraycopy(name, 0, greeting, 12, name.length);
        return greeting;
    }

    static byte[] ready(String type, byte[] identity) {
        return bytes(out -> {
            property(out, "Socket-Type", type.getBytes(StandardCharsets.US_ASCII));
            property(out, "IDENTITY", identity);
        });
    }

    private static void property(DataOutputStream out, String name, byte[] value) throws IOException {
        out.writeByte(name.length());
        out.writeBytes(name);
        out.writeInt(value.length);
        out.write(value);
    }

    static byte[] command(String name, byte[] data) {
        return bytes(out -> {
            out.writeByte(6);
            out.writeLong(1 + name.length() + data.length);
            out.writeByte(name.length());
            out.writeBytes(name);
            out.write(data);
        });
    }

    static byte[] message(List<byte[]> frames) {
        return bytes(out -> {
            for (int i = 0; i < frames.size(); i++) {
                byte[] frame = frames.get(i);
                int more = i + 1 < frames.size() ? 1 : 0;
                if (frame.length > 255) {
                    out.writeByte(2 + more);
                    out.writeLong(frame.length);
                } else {
                    out.writeByte(more);
                    out.writeByte(frame.length);
                }
                out.write(frame);
            }
        });
    }

    /// Writes with a [DataOutputStream].
    interface Writing {
        void to(DataOutputStream out) throws IOException;
    }

    static byte[] bytes(Writing writing) {
        var bytes = new ByteArrayOutputStream();
        try {
            writing.to(new DataOutputStream(bytes));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return bytes.toByteArray();
    }

    void write(byte[] bytes) {
        try {
            socket.getOutputStream().write(bytes);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    void send(List<byte[]> frames) {
        write(message(frames));
    }

    byte[] readGreeting() {
        try {
            return in.readNBytes(64);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /// The next message, or the next command as one frame.
    List<byte[]> receive() {
        var frames = new ArrayList<byte[]>();
        try {
            int flags;
            do {
                flags = in.readUnsignedByte();
                int length = (flags & 2) != 0 ? Math.toIntExact(in.readLong()) : in.readUnsignedByte();
                byte[] body = new byte[length];
                in.readFully(body);
                frames.add(body);
            } while ((flags & 1) != 0);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return frames;
    }

    /// Waits until the server closes the connection.
    void awaitClosed() {
        try {
            in.transferTo(OutputStream.nullOutputStream());
        } catch (IOException e) {
            // A reset: closed, too.
        }
    }

    @Override
    public void close() {
        try {
            socket.close();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
