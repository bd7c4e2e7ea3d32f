package dev.capsule.cli;

import dev.capsule.checkpoint.CheckpointException;
import dev.capsule.policy.PolicyException;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.util.List;
import java.util.Objects;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.HelpCommand;
import picocli.CommandLine.IVersionProvider;
import picocli.CommandLine.UnmatchedArgumentException;

/// All commands but `kernel`, which [Main] tells apart, and `bench` and `demo`, which are the launcher's.
@Command(name = "capsule", mixinStandardHelpOptions = true, subcommands = HelpCommand.class, synopsisSubcommandLabel = "COMMAND", description = "A Jupyter kernel that survives the code it runs.", footer = {
        "", "Commands of the launcher kernelspec/capsule:",
        "  bench      Measures it beside other kernels; see: capsule bench --help",
        "  demo       Executes notebooks/tour.ipynb, shows its outputs.",
        "  kernel     Runs the kernel as Jupyter does: kernel -f FILE"})
final class CommandLineTool {
    private CommandLineTool() {}

    /// Runs one command; the status to exit with is 0, 1 when the command could not do it, 2 when it was not understood
    static int run(Host host, List<String> args) {
        return run(host, args, new PrintWriter(System.out, true, System.out.charset()),
                new PrintWriter(System.err, true, System.err.charset()));
    }

    static int run(Host host, List<String> args, PrintWriter out, PrintWriter err) {
        var tool = new CommandLine(new CommandLineTool())
                .addSubcommand(new Install(host, out, err)).addSubcommand(new Uninstall(host, out))
                .addSubcommand(new ListSpecs(host, out)).addSubcommand(new ProfileCommand(host, out))
                .addSubcommand(new CheckpointCommand(host, out)).addSubcommand(new Doctor(host, out)).setOut(out)
                .setErr(err)
                .setParameterExceptionHandler((mistake, _) -> {
                    err.println("capsule: " + mistake.getMessage());
                    UnmatchedArgumentException.printSuggestions(mistake, err);
                    err.println("See: " + mistake.getCommandLine().getCommandSpec().qualifiedName() + " --help");
                    return mistake.getCommandLine().getCommandSpec().exitCodeOnInvalidInput();
                })
                .setExecutionExceptionHandler((failure, _, _) -> {
                    err.println("capsule: " + switch (failure) {
                        case CommandException e -> e.getMessage();
                        case PolicyException e -> e.getMessage();
                        case CheckpointException e -> e.getMessage();
                        case UncheckedIOException e -> reason(Objects.requireNonNull(e.getCause()));
                        case IOException e -> reason(e);
                        default -> throw failure;
                    });
                    return 1;
                });
        setVersion(tool, () -> new String[]{"capsule " + host.program().version()});
        int status = tool.execute(args.toArray(String[]::new));
        // By itself it does so at the end of a line only.
        out.flush();
        return status;
    }

    private static void setVersion(CommandLine command, IVersionProvider version) {
        command.getCommandSpec().versionProvider(version);
        command.getSubcommands().values().forEach(subcommand -> setVersion(subcommand, version));
    }

    /// The message of a file error is often nothing but the file's name.
    private static String reason(IOException e) {
        return switch (e) {
            case AccessDeniedException denied ->
                denied.getFile() + ": permission denied; write elsewhere (--user, --prefix "
                        + "DIR), or run as its owner";
            case FileSystemException file -> file.getFile() + ": "
                    + Objects.requireNonNullElse(file.getReason(), file.getClass().getSimpleName());
            default -> e.toString();
        };
    }
}
