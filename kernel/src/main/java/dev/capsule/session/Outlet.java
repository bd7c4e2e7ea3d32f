package dev.capsule.session;

import dev.capsule.frame.Frame;
import dev.capsule.frame.MimeBundle;
import dev.capsule.frame.Payload;
import dev.capsule.frame.UserExpression;
import dev.capsule.policy.Profile;
import dev.capsule.policy.Profile.Form;
import dev.capsule.policy.Profile.Leave;
import dev.capsule.policy.Profile.MimeTypes;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.regex.Pattern;

/// What a worker shows passes here on its way to the notebook; a profile says what may, and how. Where a profile allows
/// every MIME type the bytes pass unread. What is withheld leaves a note that says how to allow it.
final class Outlet {
    private static final String TEXT_PLAIN = "text/plain";
    private static final String TEXT_HTML = "text/html";
    private static final Pattern SOUND_NAME = Pattern.compile("[a-z0-9][a-z0-9.+-]{0,60}/[a-z0-9][a-z0-9.+-]{0,60}");
    private static final Pattern SOUND_TARGET = Pattern.compile("[A-Za-z0-9_.:-]{1,64}");
    private static final String WIDGET = "application/vnd.jupyter.widget-view+json";
    private static final String COMM = "comm ";
    private static final int MAX_NAMED = 3;
    private static final int MAX_COUNTED = 64;
    private static final String OTHER_TYPES = "others";
    private static final String HOW_TO_ALLOW = "capsule install --profile " + Profile.OPEN.name()
            + " gives a kernel that allows it";

    /// Read from the jar when it is wanted, which is never in most sessions.
    private static final class Framed {
        private static final HtmlFrame FRAME = new HtmlFrame(HOW_TO_ALLOW);
    }

    private final Profile profile;
    private final Map<String, Integer> withheld = new ConcurrentHashMap<>();

    Outlet(Profile profile) {
        this.profile = profile;
    }

    /// @param json what is left of the payload, a JSON array
    /// @param shown what is shown in the place of the rest
    record Released(byte[] json, List<Display> shown) {
        Released {
            shown = List.copyOf(shown);
        }
    }

    private record Value(MimeBundle.Form form, byte[] bytes) {}

    /// How many outputs of which MIME type were withheld since the last call.
    Map<String, Integer> takeWithheld() {
        var counts = Map.copyOf(withheld);
        withheld.keySet().removeAll(counts.keySet());
        return counts;
    }

    Display display(MimeBundle bundle, Optional<String> displayId) {
        return switch (profile.outputs().mimeTypes()) {
            case MimeTypes.Every() -> new Display(bundle, displayId, bundle.plainText());
            // The history keeps what the value was, without the note.
            case MimeTypes.Only(var forms) -> new Display(released(bundle, forms), displayId, bundle.plainText());
        };
    }

    boolean letsComms() {
        return switch (profile.outputs().comms()) {
            case ALLOWED -> true;
            case WITHHELD -> false;
        };
    }

    /// Whether a comm's message may leave. Of those that may not, only what opens a comm counts: the rest follows.
    boolean releases(Frame.Comm comm) {
        if (!letsComms() && comm.kind() == Frame.CommKind.OPEN) {
            count(COMM + (SOUND_TARGET.matcher(comm.target()).matches() ? comm.target() : "of no sound name"));
        }
        return letsComms();
    }

    /// A comm among what was withheld of a cell, if the cell has shown no note of a widget.
    static Optional<String> unseenComm(Map<String, Integer> withheld) {
        return withheld.containsKey(WIDGET)
                ? Optional.empty()
                : withheld.keySet().stream().filter(what -> what.startsWith(COMM)).sorted().findFirst()
                        .map("the "::concat);
    }

    private void count(String what) {
        withheld.merge(withheld.size() < MAX_COUNTED ? what : OTHER_TYPES, 1, Integer::sum);
    }

    /// @param json a JSON object as in Jupyter's `execute_reply`; so is what is returned
    byte[] userExpressions(byte[] json) {
        return switch (profile.outputs().mimeTypes()) {
            case MimeTypes.Every() -> json;
            case MimeTypes.Only(var forms) -> {
                if (json.length == 2) {
                    yield json;
                }
                var expressions = UserExpression.read(json);
                expressions.replaceAll((_, expression) -> switch (expression) {
                    case UserExpression.Value(var bundle) -> new UserExpression.Value(released(bundle, forms));
                    case UserExpression.Failed failed -> failed;
                });
                yield UserExpression.write(expressions);
            }
        };
    }

    /// @param json a JSON array as in Jupyter's `execute_reply`
    Released payload(byte[] json) {
        if (json.length == 2
                || (profile.outputs().payloads() == Leave.ALLOWED
                        && profile.outputs().mimeTypes() instanceof MimeTypes.Every)) {
            return new Released(json, List.of());
        }
        var left = new ArrayList<Payload>();
        var shown = new ArrayList<Display>();
        for (var payload : Payload.read(json)) {
            switch (payload) {
                case Payload.Page page -> left.add(released(page));
                case Payload.SetNextInput next -> {
                    switch (profile.outputs().payloads()) {
                        case ALLOWED -> left.add(next);
                        case WITHHELD -> shown.add(text(withheld("the payload set_next_input") + "\n\n" + next.text()));
                    }
                }
                // A console ends when its user has typed exit; nothing else does anything.
                case Payload.Other other when other.source().equals("ask_exit") -> left.add(other);
                case Payload.Other other -> {
                    switch (profile.outputs().payloads()) {
                        case ALLOWED -> left.add(other);
                        case WITHHELD -> shown.add(text(withheld("the payload "
                                + (other.source().matches("[a-z_]{1,32}") ? other.source() : "of an unknown kind"))));
                    }
                }
            }
        }
        return new Released(Payload.write(left), shown);
    }

    /// A pager shows what an output would, and so by the same rules.
    private Payload.Page released(Payload.Page page) {
        return switch (profile.outputs().mimeTypes()) {
            case MimeTypes.Every() -> page;
            case MimeTypes.Only(var forms) -> new Payload.Page(released(page.bundle(), forms), page.start());
        };
    }

    private static Display text(String text) {
        return new Display(new MimeBundle(List.of(TEXT_PLAIN), List.of(MimeBundle.Form.TEXT),
                List.of(text.getBytes(StandardCharsets.UTF_8)), new byte[]{'{', '}'}), Optional.empty(),
                Optional.of(text));
    }

    /// The note that takes the place of what is withheld.
    ///
    /// @param what such as `the comm jupyter.widget`
    private String withheld(String what) {
        return "[Capsule: %s]".formatted(note(what));
    }

    String note(String what) {
        return "%s is withheld by the profile \"%s\"; %s".formatted(what, profile.name(), HOW_TO_ALLOW);
    }

    /// Most results are that.
    private static boolean isPlain(MimeBundle bundle, Map<String, Form> forms) {
        return bundle.mimes().size() == 1 && bundle.mimes().getFirst().equals(TEXT_PLAIN)
                && bundle.forms().getFirst() == MimeBundle.Form.TEXT && forms.get(TEXT_PLAIN) == Form.AS_IS;
    }

    private MimeBundle released(MimeBundle bundle, Map<String, Form> forms) {
        if (isPlain(bundle, forms)) {
            return bundle.withHarmlessMetadata();
        }
        var left = new LinkedHashMap<String, Value>();
        var withheld = new TreeSet<String>();
        String plain = bundle.plainText().orElse("");
        for (int i = 0; i < bundle.mimes().size(); i++) {
            String type = type(bundle.mimes().get(i));
            var value = new Value(bundle.forms().get(i), bundle.values().get(i));
            var form = forms.get(type);
            if (form == null || !isSound(type, value, form)) {
                withheld.add(type);
                continue;
            }
            switch (form) {
                case AS_IS -> left.putIfAbsent(type, value);
                case ESCAPED -> left.putIfAbsent(type, textValue(type.equals("text/latex")
                        ? Inert.tex(string(value))
                        : Inert.markdown(string(value))));
                // A picture in a frame is HTML; where there are both, HTML is what front ends show.
                case FRAMED -> {
                    if (type.equals(TEXT_HTML) || !isShownFramed(bundle, forms)) {
                        left.putIfAbsent(TEXT_HTML,
                                new Value(MimeBundle.Form.TEXT, Framed.FRAME.of(value.bytes, plain)));
                    }
                }
            }
        }
        withheld.forEach(this::count);
        if (!withheld.isEmpty() && left.keySet().stream().allMatch(TEXT_PLAIN::equals)) {
            String note = withheld(names(withheld));
            left.put(TEXT_PLAIN,
                    textValue(left.containsKey(TEXT_PLAIN) && !plain.isEmpty() ? plain + "\n" + note : note));
        }
        return new MimeBundle(List.copyOf(left.keySet()), left.values().stream().map(Value::form).toList(),
                left.values().stream().map(Value::bytes).toList(), bundle.metadata()).withHarmlessMetadata();
    }

    private static boolean isShownFramed(MimeBundle bundle, Map<String, Form> forms) {
        return forms.containsKey(TEXT_HTML) && bundle.mimes().stream().map(Outlet::type).anyMatch(TEXT_HTML::equals);
    }

    /// What is to be changed must be text, and what is to be a picture must be one: nbconvert puts it into HTML.
    private static boolean isSound(String type, Value value, Form form) {
        return switch (value.form) {
            case TEXT -> !type.startsWith("image/") || form == Form.FRAMED || type.endsWith("+xml")
                    || isBase64(value.bytes);
            case BASE64 -> form == Form.AS_IS;
            case JSON -> form == Form.AS_IS && !type.startsWith("image/");
        };
    }

    private static boolean isBase64(byte[] text) {
        for (byte b : text) {
            if (!Character.isLetterOrDigit(b) && "+/=\r\n".indexOf(b) < 0) {
                return false;
            }
        }
        return true;
    }

    private static String names(Set<String> types) {
        var names = new ArrayList<>(
                types.stream().map(type -> SOUND_NAME.matcher(type).matches() ? type : "a MIME type of no sound name")
                        .distinct().limit(MAX_NAMED).toList());
        if (types.size() > names.size()) {
            names.add("%d more".formatted(types.size() - names.size()));
        }
        return String.join(", ", names);
    }

    /// A MIME type without its parameters, in lower case.
    private static String type(String mime) {
        int end = mime.indexOf(';');
        return (end < 0 ? mime : mime.substring(0, end)).strip().toLowerCase(Locale.ROOT);
    }

    private static String string(Value value) {
        return new String(value.bytes, StandardCharsets.UTF_8);
    }

    private static Value textValue(String string) {
        return new Value(MimeBundle.Form.TEXT, string.getBytes(StandardCharsets.UTF_8));
    }
}
