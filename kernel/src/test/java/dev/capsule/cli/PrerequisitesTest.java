package dev.capsule.cli;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// `kernelspec/prerequisites` among programs that only say how they were called.
class PrerequisitesTest {
    private static final Path SCRIPT = Path.of("../kernelspec/prerequisites").toAbsolutePath();
    private static final String DEMO = "jupyter-core python3-jupyter-client jupyter-nbconvert bubblewrap";

    @TempDir
    Path bin;

    /// Standard output and error are one text.
    private record Said(int status, String text) {}

    @BeforeEach
    void debian() throws IOException {
        for (String tool : List.of("sh", "sed", "env")) {
            program(tool, "exec /bin/" + tool + " \"$@\"");
        }
        program("apt-get", "echo \"apt-get $*, $DEBIAN_FRONTEND\"");
        user(0);
        installed("");
    }

    @Test
    void silentWhenAllIsThere() throws Exception {
        installed(DEMO);
        assertEquals(new Said(0, ""), run("demo"));
    }

    @Test
    void rootInstallsWhatIsMissingAndSaysHowBefore() throws Exception {
        installed("jupyter-core");
        String packages = "python3-jupyter-client jupyter-nbconvert bubblewrap";
        assertEquals(new Said(0, """
                capsule: Debian packages are missing; installing them with:
                  apt-get update && env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends %s
                apt-get update,\s
                apt-get install -y --no-install-recommends %s, noninteractive
                """.formatted(packages, packages)), run("demo"));
    }

    @Test
    void sudoWithoutAPasswordIsUsed() throws Exception {
        user(1000);
        program("sudo", "echo \"sudo $*\"");
        assertEquals(new Said(0, """
                capsule: Debian packages are missing; installing them with:
                  sudo -n apt-get update && sudo -n env DEBIAN_FRONTEND=noninteractive apt-get install -y \
                --no-install-recommends DEMO
                sudo -n apt-get update
                sudo -n env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends DEMO
                """.replace("DEMO", DEMO)), run("demo"));
    }

    @Test
    void otherUsersGetTheLineToRun() throws Exception {
        user(1000);
        assertEquals(new Said(3, """
                capsule: Debian packages are missing, and only root may install them. Run this as root, then try again:
                  apt-get update && env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends DEMO
                """.replace("DEMO", DEMO)), run("demo"));
        program("sudo", "exit 1");
        assertEquals(new Said(3, """
                capsule: Debian packages are missing, and only root may install them. Run this, then try again:
                  sudo apt-get update && sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y \
                --no-install-recommends DEMO
                """.replace("DEMO", DEMO)), run("demo"));
    }

    @Test
    void aFailedInstallationIsSaid() throws Exception {
        program("apt-get", "echo 'no network'; exit 100");
        assertEquals(new Said(3, """
                capsule: Debian packages are missing; installing them with:
                  apt-get update && env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends DEMO
                no network
                capsule: that failed with status 100; its messages are above. What is missing: DEMO
                """.replace("DEMO", DEMO)), run("demo"));
    }

    @Test
    void programsOfTheTestsMayComeFromElsewhere() throws Exception {
        installed(DEMO + " jupyter-console jupyter-server python3-jupyter-server python3-jupyter-kernel-test "
                + "python3-pexpect python3-seccomp python3-ipython python3-ipykernel python3-debugpy python3-pandas "
                + "python3-matplotlib python3-cloudpickle python3-jupyterlab-server chromium tmux");
        program("node", "");
        program("npm", "");
        assertEquals(new Said(0, ""), run("test"));
        Files.delete(bin.resolve("npm"));
        user(1000);
        assertEquals(
                "  apt-get update && env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends npm",
                run("test").text().lines().toList().getLast());
    }

    @Test
    void theBenchmarkNeedsTheKernelsThatItComparesWith() throws Exception {
        installed(DEMO + " python3-ipykernel python3-zmq");
        user(1000);
        assertEquals(
                "  apt-get update && env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "
                        + "xpython",
                run("bench").text().lines().toList().getLast());
        installed(DEMO + " python3-ipykernel python3-zmq xpython");
        assertEquals(new Said(0, ""), run("bench"));
    }

    @Test
    void withoutAptTheMissingProgramsAreNamed() throws Exception {
        Files.delete(bin.resolve("apt-get"));
        program("jupyter", "");
        assertEquals(new Said(3, "capsule: these programs are missing, and this system has no apt-get to install them "
                + "with: jupyter-nbconvert\n"), run("demo"));
        program("jupyter-nbconvert", "");
        assertEquals(new Said(0, ""), run("demo"));
    }

    private Said run(String what) throws Exception {
        var builder = new ProcessBuilder(SCRIPT.toString(), what).redirectErrorStream(true);
        builder.environment().clear();
        builder.environment().put("PATH", bin.toString());
        var process = builder.start();
        process.getOutputStream().close();
        var text = new String(process.getInputStream().readAllBytes(), UTF_8);
        return new Said(process.waitFor(), text);
    }

    /// As dpkg-query says it, which fails when it does not know one of the packages.
    private void installed(String packages) throws IOException {
        program("dpkg-query", "for p in " + packages + "; do printf '%s' \"installed=$p \"; done; exit 1");
    }

    private void user(int id) throws IOException {
        program("id", "echo " + id);
    }

    private void program(String name, String body) throws IOException {
        var file = Files.writeString(bin.resolve(name), "#!/bin/sh\n" + body + "\n");
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-xr-x"));
    }
}
