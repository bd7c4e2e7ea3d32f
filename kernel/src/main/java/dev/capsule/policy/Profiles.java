package dev.capsule.policy;

import dev.capsule.policy.Profile.Deadline;
import dev.capsule.policy.Profile.Form;
import dev.capsule.policy.Profile.Interrupt;
import dev.capsule.policy.Profile.Leave;
import dev.capsule.policy.Profile.Limits;
import dev.capsule.policy.Profile.MimeTypes;
import dev.capsule.policy.Profile.Network;
import dev.capsule.policy.Profile.Outputs;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/// The profiles by name: those built in, and what the user's file changes of them or adds.
///
/// The file is one JSON object of profiles by name. A profile may begin from another (`"extends"`, else from itself
/// where it is built in, else from `default`) and gives new values to some keys:
///
/// ```
/// {"default": {"memory": "4 GiB", "cellDeadline": "10 min", "interrupt": {"killAfter": "10 s"}},
///  "lecture": {"extends": "locked", "mimeTypes": {"text/html": "framed"}}}
/// ```
public final class Profiles {
    private static final Pattern NAME = Pattern.compile("[a-z][a-z0-9-]{0,31}");
    private static final Pattern MIME_TYPE = Pattern.compile("[a-z0-9][a-z0-9.+-]*/[a-z0-9][a-z0-9.+-]*");
    private static final Pattern SIZE = Pattern.compile("(\\d{1,9}) (KiB|MiB|GiB|TiB)");
    private static final Pattern TIME = Pattern.compile("(\\d{1,6}) (s|min|h)");

    private static final long KIB = 1L << 10;
    private static final long MIB = 1L << 20;
    private static final long GIB = 1L << 30;
    private static final long TIB = 1L << 40;
    private static final Duration MAX_DEADLINE = Duration.ofDays(7);
    private static final Duration MAX_INTERRUPT = Duration.ofMinutes(10);
    private static final int MAX_FILE_BYTES = 1 << 20;

    private final Map<String, Profile> byName;

    private Profiles(Map<String, Profile> byName) {
        this.byName = Map.copyOf(byName);
    }

    /// Where the user's file is: never in a workspace, which a cell could write.
    ///
    /// @return empty where neither `XDG_CONFIG_HOME` nor `HOME` is set
    public static Optional<Path> file(Map<String, String> env) {
        return UserDirectory.CONFIG.in(env).map(directory -> directory.resolve("profiles.json"));
    }

    public static Profiles builtIn() {
        return new Profiles(Profile.BUILT_IN.stream().collect(Collectors.toMap(Profile::name, profile -> profile)));
    }

    /// Reads the user's file; where there is none, the profiles are those built in.
    ///
    /// @throws PolicyException if it cannot be read, is not JSON, or says anything that is not understood
    public static Profiles load(Path file) {
        try (var in = Files.newInputStream(file)) {
            byte[] bytes = in.readNBytes(MAX_FILE_BYTES + 1);
            if (bytes.length > MAX_FILE_BYTES) {
                throw new PolicyException("%s is larger than %d bytes".formatted(file, MAX_FILE_BYTES));
            }
            return parse(file.toString(), bytes);
        } catch (NoSuchFileException e) {
            return builtIn();
        } catch (IOException e) {
            throw new PolicyException(file + " cannot be read: " + e.getMessage(), e);
        }
    }

    /// @param what names the source in errors
    static Profiles parse(String what, byte[] bytes) {
        var written = ProfilesJson.read(what, bytes);
        var profiles = new LinkedHashMap<>(builtIn().byName);
        written.forEach((name, fields) -> {
            if (!NAME.matcher(name).matches()) {
                throw new PolicyException(
                        "%s: \"%s\" is no name of a profile; allowed are a to z, 0 to 9 and -, at most 32"
                                .formatted(what, name));
            }
            if (!(fields instanceof Map<?, ?> object)) {
                throw new PolicyException("%s: %s is not an object".formatted(what, name));
            }
            // In the order of the file, so that a profile can only extend one that is complete.
            profiles.put(name, new Reader(what, name, object).read(profiles));
        });
        return new Profiles(profiles);
    }

    /// @throws PolicyException if there is none of this name; the message lists those there are
    public Profile get(String name) {
        var profile = byName.get(name);
        if (profile == null) {
            throw new PolicyException("there is no profile \"%s\"; there are %s".formatted(name,
                    String.join(", ", new TreeMap<>(byName).keySet())));
        }
        return profile;
    }

    /// All, by name.
    public List<Profile> all() {
        return List.copyOf(new TreeMap<>(byName).values());
    }

    /// Reads the keys of one profile.
    private record Reader(String what, String name, Map<?, ?> fields) {
        private static final List<String> KEYS = List.of("extends", "files", "network", "memory", "processes",
                "descriptors", "fileSize", "tmp", "workspaceGrowth", "cellDeadline", "interrupt", "output",
                "mimeTypes", "comms", "payloads");

        private static final List<String> INTERRUPT_KEYS = List.of("signalAfter", "killAfter");

        Profile read(Map<String, Profile> known) {
            fields.forEach((key, value) -> {
                if (!KEYS.contains(key)) {
                    throw new PolicyException(
                            "%s: %s has an unknown key \"%s\"; known are %s".formatted(what, name, key,
                                    String.join(", ", KEYS)));
                }
                if (value == null) {
                    throw wrong(key.toString(), null, "a value; leave the key out to keep what it was");
                }
            });
            var base = base(known);
            var limits = base.limits();
            return new Profile(name, choice("files", Profile.Files.class, base.files()),
                    network(base.network()),
                    new Limits(size("memory", limits.memoryBytes(), 64 * MIB, 16 * TIB),
                            count("processes", limits.processes(), 8, 1 << 20),
                            // A worker keeps its own from 200 on.
                            count("descriptors", limits.descriptors(), 256, 1 << 20),
                            size("fileSize", limits.fileBytes(), KIB, 16 * TIB),
                            size("tmp", limits.tmpBytes(), MIB, TIB),
                            size("workspaceGrowth", limits.workspaceGrowthBytes(), KIB, 16 * TIB),
                            deadline(limits.cellDeadline()), size("output", limits.outputBytes(), KIB, 4 * GIB)),
                    interrupt(base.interrupt()), new Outputs(mimeTypes(base.outputs().mimeTypes()),
                            choice("comms", Leave.class, base.outputs().comms()),
                            choice("payloads", Leave.class, base.outputs().payloads())));
        }

        private Profile base(Map<String, Profile> known) {
            Object value = fields.get("extends");
            if (value == null) {
                return known.getOrDefault(name, Profile.DEFAULT);
            }
            var base = value instanceof String text ? known.get(text) : null;
            if (base == null) {
                throw wrong("extends", value, "the name of a profile: "
                        + String.join(", ", new TreeMap<>(known).keySet()) + " (or one defined above it)");
            }
            return base;
        }

        /// The file gives nobody the machine's network: who starts a kernel that has it is to see so.
        private Network network(Network absent) {
            Object value = fields.get("network");
            if (value == null) {
                return absent;
            }
            if (value.equals("none")) {
                return Network.NONE;
            }
            throw wrong("network", value,
                    "\"none\"; this machine's network is only given when a kernel is installed or "
                            + "launched, with --network host");
        }

        private <T extends Enum<T>> T choice(String key, Class<T> type, T absent) {
            Object value = fields.get(key);
            if (value == null) {
                return absent;
            }
            for (T constant : type.getEnumConstants()) {
                if (word(constant).equals(value)) {
                    return constant;
                }
            }
            throw wrong(key, value, words(type));
        }

        private long size(String key, long absent, long least, long most) {
            Object value = fields.get(key);
            if (value == null) {
                return absent;
            }
            var matcher = value instanceof String text ? SIZE.matcher(text) : null;
            if (matcher != null && matcher.matches()) {
                long unit = switch (matcher.group(2)) {
                    case "KiB" -> KIB;
                    case "MiB" -> MIB;
                    case "GiB" -> GIB;
                    default -> TIB;
                };
                // Nine digits of TiB are more than a long holds.
                long bytes = Math.multiplyHigh(Long.parseLong(matcher.group(1)), unit) == 0
                        ? Long.parseLong(matcher.group(1)) * unit
                        : Long.MAX_VALUE;
                if (bytes >= least && bytes <= most) {
                    return bytes;
                }
            }
            throw wrong(key, value,
                    "a size from \"%s\" to \"%s\", such as \"2 GiB\"".formatted(text(least), text(most)));
        }

        private int count(String key, int absent, int least, int most) {
            Object value = fields.get(key);
            if (value == null) {
                return absent;
            }
            if (value instanceof Long number && number >= least && number <= most) {
                return number.intValue();
            }
            throw wrong(key, value, "a whole number from %d to %d".formatted(least, most));
        }

        private Deadline deadline(Deadline absent) {
            Object value = fields.get("cellDeadline");
            if (value == null) {
                return absent;
            }
            if (value.equals("never")) {
                return new Deadline.Never();
            }
            return new Deadline.After(time(value, MAX_DEADLINE).orElseThrow(() -> wrong("cellDeadline", value,
                    "\"never\" or a time from \"1 s\" to \"168 h\", such as \"10 min\"")));
        }

        /// What is not named stays; a value that is no step, or steps in the wrong order, are an error.
        private Interrupt interrupt(Interrupt absent) {
            Object value = fields.get("interrupt");
            if (value == null) {
                return absent;
            }
            if (!(value instanceof Map<?, ?> named) || !INTERRUPT_KEYS.containsAll(named.keySet())) {
                throw wrong("interrupt", value, "an object with " + String.join(" and ", INTERRUPT_KEYS));
            }
            var interrupt = new Interrupt(step(named, "signalAfter", absent.signalAfter()),
                    step(named, "killAfter", absent.killAfter()));
            if (interrupt.signalAfter().compareTo(interrupt.killAfter()) >= 0) {
                throw wrong("interrupt.killAfter", interrupt.killAfter().toSeconds() + " s",
                        "a time above signalAfter, which is \"%d s\"".formatted(interrupt.signalAfter().toSeconds()));
            }
            return interrupt;
        }

        private Duration step(Map<?, ?> named, String key, Duration absent) {
            if (!named.containsKey(key)) {
                return absent;
            }
            Object value = named.get(key);
            return time(value, MAX_INTERRUPT).orElseThrow(() -> wrong("interrupt." + key, value,
                    "a time from \"1 s\" to \"10 min\", such as \"5 s\""));
        }

        private static Optional<Duration> time(@Nullable Object value, Duration most) {
            var matcher = value instanceof String text ? TIME.matcher(text) : null;
            if (matcher == null || !matcher.matches()) {
                return Optional.empty();
            }
            long number = Long.parseLong(matcher.group(1));
            var time = switch (matcher.group(2)) {
                case "s" -> Duration.ofSeconds(number);
                case "min" -> Duration.ofMinutes(number);
                default -> Duration.ofHours(number);
            };
            return Optional.of(time).filter(positive -> !positive.isZero() && positive.compareTo(most) <= 0);
        }

        /// The types that are named are added to those of the base, or given another form; `"withheld"` takes one away.
        private MimeTypes mimeTypes(MimeTypes absent) {
            Object value = fields.get("mimeTypes");
            if (value == null) {
                return absent;
            }
            if (value.equals("every")) {
                return new MimeTypes.Every();
            }
            if (!(value instanceof Map<?, ?> named)) {
                throw wrong("mimeTypes", value, "\"every\" or an object of forms by MIME type");
            }
            var forms = new TreeMap<String, Form>();
            switch (absent) {
                case MimeTypes.Only(var of) -> forms.putAll(of);
                // From every type there is no way back but naming those that are left.
                case MimeTypes.Every() -> {
                }
            }
            named.forEach((type, form) -> {
                if (!(type instanceof String text) || !MIME_TYPE.matcher(text).matches()) {
                    throw wrong("mimeTypes", type, "MIME types such as \"text/html\"");
                }
                if ("withheld".equals(form)) {
                    forms.remove(text);
                } else {
                    forms.put(text, form(text, form));
                }
            });
            return new MimeTypes.Only(forms);
        }

        private Form form(String type, @Nullable Object value) {
            for (Form form : Form.values()) {
                if (word(form).equals(value)) {
                    boolean fits = switch (form) {
                        case AS_IS -> true;
                        case FRAMED -> type.equals("text/html") || type.equals("image/svg+xml");
                        case ESCAPED -> type.equals("text/markdown") || type.equals("text/latex");
                    };
                    if (fits) {
                        return form;
                    }
                }
            }
            throw wrong("mimeTypes." + type, value, "\"as-is\", \"withheld\", for text/html and image/svg+xml "
                    + "\"framed\", or for text/markdown and text/latex \"escaped\"");
        }

        private PolicyException wrong(String key, @Nullable Object value, String allowed) {
            return new PolicyException("%s: %s.%s is %s; allowed is %s".formatted(what, name, key,
                    value instanceof String text ? "\"" + text + "\"" : value, allowed));
        }

        private static String word(Enum<?> constant) {
            return constant.name().toLowerCase(Locale.ROOT).replace('_', '-');
        }

        private static String words(Class<? extends Enum<?>> type) {
            return Arrays.stream(type.getEnumConstants()).map(constant -> "\"" + word(constant) + "\"")
                    .collect(Collectors.joining(" or "));
        }

        private static String text(long bytes) {
            if (bytes % TIB == 0) {
                return bytes / TIB + " TiB";
            }
            if (bytes % GIB == 0) {
                return bytes / GIB + " GiB";
            }
            return bytes % MIB == 0 ? bytes / MIB + " MiB" : bytes / KIB + " KiB";
        }
    }
}
