package dev.capsule.cli;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.jar.Attributes;
import java.util.jar.JarFile;

/// Capsule as one jar, which holds the Python worker and the logos too.
record Program(Path jar) {
    static final String JAR = "capsule.jar";
    static final String WORKER = "worker/python/";
    /// Of this machine, beside the jar.
    static final String SQLITE = "libsqlitejdbc.so";
    /// For the JVM's compiler, beside the jar: what it compiles, and when.
    static final String COMMANDS = "compiler/commands";
    private static final String COMPILER = "compiler/";
    private static final String LIBRARIES = "org/sqlite/native/Linux/";
    private static final String LOGOS = "kernelspec/";
    private static final int HASH_BYTES = 6;

    /// Whether this is the packaged jar, and not a directory of classes.
    boolean isPackaged() {
        return Files.isRegularFile(jar);
    }

    String version() {
        if (!isPackaged()) {
            return "(not packaged)";
        }
        try (var file = new JarFile(jar.toFile())) {
            var manifest = file.getManifest();
            var version = manifest == null
                    ? null
                    : manifest.getMainAttributes().getValue(Attributes.Name.IMPLEMENTATION_VERSION);
            return Objects.requireNonNullElse(version, "0");
        } catch (IOException e) {
            throw new UncheckedIOException("reading " + jar, e);
        }
    }

    /// The name of the directory that holds this very build: its version and a part of the jar's SHA-256.
    String release() throws IOException {
        try (var in = new DigestInputStream(Files.newInputStream(jar), MessageDigest.getInstance("SHA-256"))) {
            in.transferTo(OutputStream.nullOutputStream());
            return version() + "-" + HexFormat.of().formatHex(in.getMessageDigest().digest(), 0, HASH_BYTES);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java has SHA-256", e);
        }
    }

    /// Writes the jar and what is needed beside it into a directory, which is made.
    void unpackTo(Path directory) throws IOException {
        Files.createDirectories(directory);
        Files.copy(jar, directory.resolve(JAR), StandardCopyOption.REPLACE_EXISTING);
        for (var entry : besideJar().entrySet()) {
            var file = directory.resolve(entry.getKey());
            Files.createDirectories(file.resolveSibling(""));
            Files.write(file, entry.getValue());
        }
    }

    private Map<String, byte[]> besideJar() throws IOException {
        var files = new LinkedHashMap<String, byte[]>();
        entries(WORKER).forEach((name, content) -> files.put(WORKER + name, content));
        entries(COMPILER).forEach((name, content) -> files.put(COMPILER + name, content));
        String machine = System.getProperty("os.arch").equals("aarch64") ? "aarch64/" : "x86_64/";
        files.putAll(entries(LIBRARIES + machine));
        return files;
    }

    /// Whether a directory holds all that [#unpackTo] writes, unchanged.
    boolean isUnpackedIn(Path directory) throws IOException {
        if (!sameBytes(directory.resolve(JAR), Files.readAllBytes(jar))) {
            return false;
        }
        for (var entry : besideJar().entrySet()) {
            if (!sameBytes(directory.resolve(entry.getKey()), entry.getValue())) {
                return false;
            }
        }
        return true;
    }

    /// The logos by their file name.
    Map<String, byte[]> logos() throws IOException {
        return entries(LOGOS);
    }

    static boolean sameBytes(Path file, byte[] content) throws IOException {
        return Files.isRegularFile(file) && Files.size(file) == content.length
                && Arrays.equals(Files.readAllBytes(file), content);
    }

    private Map<String, byte[]> entries(String prefix) throws IOException {
        var entries = new LinkedHashMap<String, byte[]>();
        try (var file = new JarFile(jar.toFile())) {
            for (var entry : file.stream().filter(it -> it.getName().startsWith(prefix) && !it.isDirectory())
                    .toList()) {
                entries.put(entry.getName().substring(prefix.length()), file.getInputStream(entry).readAllBytes());
            }
        }
        if (entries.isEmpty()) {
            throw new FileNotFoundException(jar + " has no " + prefix + "; build it again");
        }
        return entries;
    }
}
