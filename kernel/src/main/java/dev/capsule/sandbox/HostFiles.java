package dev.capsule.sandbox;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/// What of the system's own files there is for every worker to read: programs, libraries, and the little of `/etc` that
/// they need. Nothing of it is secret.
///
/// @param links of the root directory, such as `/bin` to `usr/bin`
/// @param trees to be read where they are
/// @param processors how many the machine has
public record HostFiles(List<Link> links, List<Path> trees, int processors) {
    public record Link(Path path, Path target) {}

    private static final List<String> PROGRAMS = List.of("bin", "sbin", "lib", "lib32", "lib64", "libx32");
    private static final List<String> OF_ETC = List.of("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d",
            "localtime", "ssl/certs", "ssl/openssl.cnf", "pki/tls/certs", "pki/ca-trust", "ca-certificates", "fonts",
            "mime.types", "matplotlibrc");
    /// What a worker on the host's network reads beside, to find other machines.
    static final List<Path> NETWORK = List.of(Path.of("/etc/resolv.conf"), Path.of("/etc/hosts"));

    public HostFiles {
        links = List.copyOf(links);
        trees = List.copyOf(trees);
    }

    /// @param root the directory `/`, or one that is laid out like it
    public static HostFiles of(Path root) throws IOException {
        var links = new ArrayList<Link>();
        var trees = new ArrayList<>(List.of(root.resolve("usr")));
        for (String name : PROGRAMS) {
            Path path = root.resolve(name);
            if (Files.isSymbolicLink(path)) {
                links.add(new Link(path, Files.readSymbolicLink(path)));
            } else if (Files.isDirectory(path)) {
                trees.add(path);
            }
        }
        OF_ETC.stream().map(root.resolve("etc")::resolve).filter(Files::exists).forEach(trees::add);
        return new HostFiles(links, trees, Runtime.getRuntime().availableProcessors());
    }

    /// A program of the system's, wherever it keeps it; what else is on the PATH may be anybody's.
    public static Optional<Path> program(String name) {
        return Stream.of("/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin").map(Path::of)
                .map(directory -> directory.resolve(name)).filter(Files::isExecutable).findFirst();
    }
}
