package dev.capsule.cli;

import dev.capsule.policy.Profile;
import dev.capsule.policy.Profiles;
import java.io.PrintWriter;
import picocli.CommandLine.Command;
import picocli.CommandLine.Parameters;

/// Shows what the cells of a kernel may do, by the name of its profile.
@Command(name = "profile", mixinStandardHelpOptions = true, synopsisSubcommandLabel = "COMMAND", description = {
        "Shows the profiles: what the cells of a kernel may do.",
        "A kernel is given one when it is installed: capsule install --profile NAME"})
final class ProfileCommand {
    private final Host host;
    private final PrintWriter out;

    ProfileCommand(Host host, PrintWriter out) {
        this.host = host;
        this.out = out;
    }

    @Command(name = "list", mixinStandardHelpOptions = true, description = "Lists the profiles, a line each.")
    int list() {
        for (var profile : host.profiles().all()) {
            out.println("%-10s %s (%s)".formatted(profile.name(), profile.summary(), origin(profile)));
        }
        out.println("All of what one allows: capsule profile show NAME");
        return 0;
    }

    @Command(name = "show", mixinStandardHelpOptions = true, description = "Shows all that a profile allows, in plain words.")
    int show(
            @Parameters(paramLabel = "NAME", description = "a profile's name, as in: capsule profile list") String name) {
        var profile = host.profiles().get(name);
        profile.describe().forEach(out::println);
        out.println("from: " + origin(profile));
        out.println("to install a kernel with it: capsule install" + (profile.name().equals(Profile.DEFAULT.name())
                ? ""
                : " --profile " + profile.name()));
        return 0;
    }

    private String origin(Profile profile) {
        var builtIn = Profiles.builtIn().all();
        if (builtIn.contains(profile)) {
            return "built in";
        }
        boolean isChanged = builtIn.stream().anyMatch(other -> other.name().equals(profile.name()));
        return (isChanged ? "built in, changed by " : "") + host.profilesFile();
    }
}
