package dev.capsule.cli;

import dev.capsule.checkpoint.CheckpointFile;
import dev.capsule.checkpoint.Shelf;
import dev.capsule.policy.UserDirectory;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.time.Instant;
import java.time.ZoneId;
import java.time.format.DateTimeFormatter;
import java.util.Map;
import picocli.CommandLine.Command;
import picocli.CommandLine.Parameters;

/// Shows and deletes checkpoints. Nothing in them is unpickled.
@Command(name = "checkpoint", mixinStandardHelpOptions = true, synopsisSubcommandLabel = "COMMAND", description = {
        "Shows and deletes checkpoints: the variables of a session on disk.",
        "In a notebook, %%checkpoint NAME makes one and %%restore NAME restores it."})
final class CheckpointCommand {
    private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm:ss")
            .withZone(ZoneId.systemDefault());
    private static final String NAME_OR_FILE = "a checkpoint's name, as in: capsule checkpoint list; or its file, with a /";

    private final Host host;
    private final PrintWriter out;

    CheckpointCommand(Host host, PrintWriter out) {
        this.host = host;
        this.out = out;
    }

    private Shelf shelf() {
        return UserDirectory.DATA.in(host.env()).map(data -> Shelf.of(data.resolve(KernelCommand.CHECKPOINTS)))
                .orElseThrow(() -> new CommandException(
                        "there is no place for checkpoints: neither XDG_DATA_HOME nor HOME is an absolute path"));
    }

    @Command(name = "list", mixinStandardHelpOptions = true, description = "Lists the checkpoints, with the directory that each was made in.")
    int list() {
        var items = shelf().all();
        if (items.isEmpty()) {
            out.println(
                    "There are no checkpoints. A cell that is nothing but: %%checkpoint NAME makes one.".formatted());
        }
        for (var item : items) {
            out.println("%-20s %15s  %s".formatted(item.name(), "%,d bytes".formatted(item.bytes()), item.manifest()
                    .map(manifest -> "%s  %d variables  %s".formatted(time(manifest.time()),
                            manifest.variables().size(), manifest.shownDirectory()))
                    .orElseGet(() -> item.problem().orElse(""))));
        }
        return 0;
    }

    @Command(name = "show", mixinStandardHelpOptions = true, description = "Shows what is in a checkpoint, and checks that it is whole.")
    int show(@Parameters(paramLabel = "NAME", description = NAME_OR_FILE) String name) {
        try (var file = CheckpointFile.open(shelf().any(name))) {
            var manifest = file.manifest();
            out.println("file       " + file.path());
            out.println("made       %s by %s, after In [%d]".formatted(time(manifest.time()), manifest.madeBy(),
                    manifest.executionCount()));
            out.println("in         " + manifest.shownDirectory());
            out.println("language   %s %s".formatted(manifest.language().name(), manifest.language().version()));
            manifest.packages().entrySet().stream().sorted(Map.Entry.comparingByKey())
                    .forEach(each -> out.println("package    %s %s".formatted(each.getKey(), each.getValue())));
            out.println("variables  %d, %,d bytes".formatted(manifest.variables().size(), manifest.bytes()));
            for (var variable : manifest.variables()) {
                out.println("  %-24s %-24s %,15d bytes".formatted(variable.shownName(), variable.type(),
                        manifest.blobs().get(variable.blob()).bytes()));
            }
            for (var failure : manifest.failures()) {
                out.println("  %-24s %-24s not saved: %s".formatted(failure.name(), failure.type(), failure.reason()));
            }
            file.verify();
            out.println("whole      yes: every checksum fits");
            return 0;
        }
    }

    private static String time(Instant time) {
        return TIME.format(time);
    }

    @Command(name = "delete", mixinStandardHelpOptions = true, description = "Deletes a checkpoint.")
    int delete(@Parameters(paramLabel = "NAME", description = NAME_OR_FILE) String name) throws IOException {
        var file = shelf().any(name);
        if (!file.getFileName().toString().endsWith(Shelf.SUFFIX)) {
            throw new CommandException("%s is not named as a checkpoint (…%s); delete it by hand".formatted(file,
                    Shelf.SUFFIX));
        }
        Files.delete(file);
        out.println("Deleted " + file);
        return 0;
    }
}
