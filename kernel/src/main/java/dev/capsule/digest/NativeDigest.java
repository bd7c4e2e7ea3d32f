package dev.capsule.digest;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.lang.ref.Reference;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.ProviderException;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Optional;

/// A digest by OpenSSL's libcrypto (EVP_DigestInit(3)), which nearly every Python needs itself. It is some ten times as fast
/// as Java's, whose quick ones are for the JVM's second compiler, which a kernel goes without. For one thread at a time.
public final class NativeDigest extends MessageDigest {
    /// Gathered where C can read them before it is called, whose calls take a microsecond.
    private static final int CHUNK_BYTES = 1 << 16;

    private final Functions functions;
    private final Arena arena = Arena.ofAuto();
    private final MemorySegment errno = arena.allocate(Linker.Option.captureStateLayout());
    private final MemorySegment chunk = arena.allocate(CHUNK_BYTES);
    private final long kind;
    private final MemorySegment context;
    private int filled;

    @SuppressWarnings("restricted")
    private NativeDigest(String algorithm, Functions functions) {
        super(algorithm);
        this.functions = functions;
        kind = made(call(functions.kind, arena.allocateFrom(algorithm.replace("-", "")).address(), 0, 0));
        context = MemorySegment.ofAddress(made(call(functions.open, 0, 0, 0))).reinterpret(arena, functions::close);
        engineReset();
    }

    /// @param algorithm as Java has it, such as `SHA-256`
    /// @return Java's own when this machine has no libcrypto, or that does not have the algorithm or refuses it
    /// @throws IllegalArgumentException if Java does not have it either
    public static MessageDigest orJavas(String algorithm) {
        if (Functions.FOUND.isPresent()) {
            try {
                return new NativeDigest(algorithm, Functions.FOUND.get());
            } catch (ProviderException _) {
                // Some allow only what is safe.
            }
        }
        try {
            return MessageDigest.getInstance(algorithm);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalArgumentException(e);
        }
    }

    @Override
    protected void engineUpdate(byte input) {
        engineUpdate(new byte[]{input}, 0, 1);
    }

    @Override
    protected void engineUpdate(byte[] input, int offset, int length) {
        for (int at = offset, end = offset + length; at < end;) {
            int taken = Math.min(CHUNK_BYTES - filled, end - at);
            MemorySegment.copy(input, at, chunk, JAVA_BYTE, filled, taken);
            at += taken;
            filled += taken;
            if (filled == CHUNK_BYTES) {
                take();
            }
        }
    }

    @Override
    protected byte[] engineDigest() {
        take();
        var length = chunk.asSlice(CHUNK_BYTES - JAVA_INT.byteSize());
        done(call(functions.end, context.address(), chunk.address(), length.address()));
        byte[] digest = chunk.asSlice(0, length.get(JAVA_INT, 0)).toArray(JAVA_BYTE);
        engineReset();
        return digest;
    }

    @Override
    protected void engineReset() {
        filled = 0;
        done(call(functions.begin, context.address(), kind, 0));
    }

    private void take() {
        done(call(functions.update, context.address(), chunk.address(), filled));
        filled = 0;
    }

    private long call(MethodHandle function, long a, long b, long c) {
        try {
            return Functions.call(function, errno, a, b, c);
        } finally {
            Reference.reachabilityFence(this);
        }
    }

    private static long made(long pointer) {
        if (pointer == 0) {
            throw new ProviderException("libcrypto makes no such digest");
        }
        return pointer;
    }

    /// Of an `int` only the lower half counts.
    private static void done(long result) {
        if ((int) result != 1) {
            throw new ProviderException("libcrypto has failed to make a digest");
        }
    }

    /// Of the libcrypto that is here. It is trusted with what we give it.
    @SuppressWarnings("restricted")
    private static final class Functions {
        private static final List<String> LIBRARIES = List.of("libcrypto.so.3", "libcrypto.so.1.1");
        private static final Linker LINKER = Linker.nativeLinker();
        /// That of everything else the kernel calls, since each further one would take milliseconds.
        private static final FunctionDescriptor FORM = FunctionDescriptor.of(JAVA_LONG, JAVA_LONG, JAVA_LONG,
                JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG);
        private static final Linker.Option ERRNO = Linker.Option.captureCallState("errno");

        static final Optional<Functions> FOUND = find();

        final MethodHandle kind;
        final MethodHandle open;
        final MethodHandle begin;
        final MethodHandle update;
        final MethodHandle end;
        private final MethodHandle close;

        private Functions(SymbolLookup library) {
            kind = function(library, "EVP_get_digestbyname");
            open = function(library, "EVP_MD_CTX_new");
            begin = function(library, "EVP_DigestInit_ex");
            update = function(library, "EVP_DigestUpdate");
            end = function(library, "EVP_DigestFinal_ex");
            close = function(library, "EVP_MD_CTX_free");
        }

        private static Optional<Functions> find() {
            for (String name : LIBRARIES) {
                try {
                    return Optional.of(new Functions(SymbolLookup.libraryLookup(name, Arena.global())));
                } catch (IllegalArgumentException | NoSuchElementException _) {
                    // Not here, or with other functions.
                }
            }
            return Optional.empty();
        }

        private static MethodHandle function(SymbolLookup library, String name) {
            return LINKER.downcallHandle(library.findOrThrow(name), FORM, ERRNO);
        }

        static long call(MethodHandle function, MemorySegment errno, long a, long b, long c) {
            try {
                return (long) function.invokeExact(errno, a, b, c, 0L, 0L, 0L, 0L);
            } catch (Throwable e) {
                throw new IllegalStateException(e);
            }
        }

        void close(MemorySegment context) {
            try (var arena = Arena.ofConfined()) {
                call(close, arena.allocate(Linker.Option.captureStateLayout()), context.address(), 0, 0);
            }
        }
    }
}
