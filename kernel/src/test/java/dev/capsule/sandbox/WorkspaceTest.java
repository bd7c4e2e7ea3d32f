package dev.capsule.sandbox;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;

import dev.capsule.sandbox.Workspace.Guard;
import dev.capsule.sandbox.Workspace.Protection;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class WorkspaceTest {
    @TempDir
    private Path homes = Path.of("");
    private Path home = Path.of("");
    private Path notebooks = Path.of("");

    @BeforeEach
    void makeDirectories() throws IOException {
        homes = homes.toRealPath();
        home = homes.resolve("ada");
        notebooks = Files.createDirectories(home.resolve("notebooks"));
        Files.createDirectories(home.resolve(".config/capsule"));
    }

    private Workspace of(Path directory) throws IOException {
        return Workspace.of(directory, home, List.of(home.resolve(".config/capsule"), home.resolve(".jupyter")));
    }

    private static String why(Workspace workspace) {
        return assertInstanceOf(Workspace.Scratch.class, workspace).why();
    }

    @Test
    void aDirectoryOfItsOwnIsHandedOut() throws IOException {
        assertEquals(new Workspace.Directory(notebooks, List.of()), of(notebooks));
    }

    /// By its path, a directory above it that has been replaced by a link led the next worker to what the link names.
    @Test
    void theWorkingDirectoryIsFoundWithoutItsPath() throws IOException {
        var workspace = assertInstanceOf(Workspace.Directory.class, Workspace.of(Path.of("."), home, List.of()));
        assertEquals(Path.of("").toRealPath(), workspace.path());
        assertEquals(Path.of("."), workspace.source());
    }

    @Test
    void theHomeAndWhatHoldsItAreNot() throws IOException {
        String remedy = "; a notebook in a directory of its own can use that";
        assertEquals(home + " is your home itself" + remedy, why(of(home)));
        assertEquals(homes + " holds your home" + remedy, why(of(homes)));
        assertEquals("/ is a directory of the system" + remedy, why(of(Path.of("/"))));
        assertEquals("/tmp is a directory of the system" + remedy, why(of(Path.of("/tmp"))));
        assertEquals("/proc/sys is a directory of the system" + remedy, why(of(Path.of("/proc/sys"))));
    }

    @Test
    void configurationIsNotWhetherItExistsOrNot() throws IOException {
        assertEquals(home.resolve(".config") + " holds " + home.resolve(".config/capsule")
                + ", which cells must not touch; a notebook in a directory of its own can use that",
                why(of(home.resolve(".config"))));
        var inside = Files.createDirectories(home.resolve(".config/capsule/notebooks"));
        assertEquals(inside + " is in " + home.resolve(".config/capsule")
                + ", which cells must not touch; a notebook in a directory of its own can use that", why(of(inside)));
        var jupyter = Files.createDirectories(home.resolve(".jupyter"));
        assertInstanceOf(Workspace.Scratch.class, of(jupyter));
    }

    @Test
    void aLinkToTheHomeIsTheHome() throws IOException {
        assertEquals(why(of(home)), why(of(Files.createSymbolicLink(home.resolve("link"), home))));
    }

    @Test
    void whatToolsExecuteIsReadOnlyAndWhatHoldsSecretsIsHidden() throws IOException {
        for (String directory : List.of(".git", ".ssh", ".vscode", ".jupyter", "data")) {
            Files.createDirectory(notebooks.resolve(directory));
        }
        for (String file : List.of(".envrc", "jupyter_server_config.py", "jupyter_config.json", "a.ipynb")) {
            Files.createFile(notebooks.resolve(file));
        }
        Files.createSymbolicLink(notebooks.resolve(".idea"), home);
        var workspace = assertInstanceOf(Workspace.Directory.class, of(notebooks));
        assertEquals(List.of(new Guard(".envrc", Protection.HIDDEN, false),
                new Guard(".git", Protection.READ_ONLY, true), new Guard(".jupyter", Protection.HIDDEN, true),
                new Guard(".ssh", Protection.HIDDEN, true), new Guard(".vscode", Protection.READ_ONLY, true),
                new Guard("jupyter_config.json", Protection.READ_ONLY, false),
                new Guard("jupyter_server_config.py", Protection.READ_ONLY, false)), workspace.guards());
    }

    @Test
    void whatIsMadeLaterIsNoticed() throws IOException {
        Files.createDirectory(notebooks.resolve(".git"));
        var workspace = assertInstanceOf(Workspace.Directory.class, of(notebooks));
        assertEquals(Set.of(), Workspace.appeared(workspace));
        Files.createDirectory(notebooks.resolve(".vscode"));
        Files.createFile(notebooks.resolve("jupyter_lab_config.py"));
        Files.createFile(notebooks.resolve("results.csv"));
        assertEquals(Set.of(".vscode", "jupyter_lab_config.py"), Workspace.appeared(workspace));
    }
}
