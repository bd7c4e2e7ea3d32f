package dev.capsule.jupyter;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.util.DefaultIndenter;
import com.fasterxml.jackson.core.util.DefaultPrettyPrinter;
import com.fasterxml.jackson.core.util.Separators;
import java.io.IOException;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/// How Jupyter starts a kernel: the file `kernel.json` (jupyter_client docs, "Kernel specs").
///
/// @param argv the command; Jupyter replaces `{connection_file}`, `{resource_dir}` and `{prefix}` in it
/// @param debugger whether front ends are to offer to debug cells
/// @param env added to the kernel's environment, in this order; Jupyter replaces `${NAME}` in the values
public record KernelSpec(List<String> argv, String displayName, String language, InterruptMode interruptMode,
        Map<String, String> env, boolean debugger) {

    /// How Jupyter interrupts the kernel: SIGINT to its process group, or an `interrupt_request` on control.
    public enum InterruptMode {
        SIGNAL, MESSAGE
    }

    /// A line feed on every system, so that the same install gives the same bytes.
    private static final DefaultIndenter INDENTER = new DefaultIndenter("  ", "\n");

    private static final DefaultPrettyPrinter PRETTY = new DefaultPrettyPrinter(Separators.createDefaultInstance()
            .withObjectFieldValueSpacing(Separators.Spacing.AFTER).withObjectEmptySeparator(""))
            .withObjectIndenter(INDENTER).withArrayIndenter(INDENTER);

    public KernelSpec {
        argv = List.copyOf(argv);
        env = Collections.unmodifiableMap(new LinkedHashMap<>(env));
    }

    /// Reads a `kernel.json`, of any kernel.
    ///
    /// @param what names the file in errors
    /// @throws WireException if the text is not JSON, or a field is missing or of another type
    public static KernelSpec parse(String what, byte[] json) {
        var file = Json.parse(what, json);
        String mode = file.string("interrupt_mode", "signal");
        return new KernelSpec(file.stringList("argv"), file.string("display_name"), file.string("language"),
                switch (mode) {
                    case "signal" -> InterruptMode.SIGNAL;
                    case "message" -> InterruptMode.MESSAGE;
                    default -> throw new WireException(
                            "%s: interrupt_mode is \"%s\", not signal or message".formatted(what, mode));
                }, file.strings("env"), file.object("metadata").bool("debugger", false));
    }

    /// The text of `kernel.json`, one line for each element of `argv`, ending in a line feed
    public String toJson() {
        var text = new StringWriter();
        try (var json = new JsonFactory().createGenerator(text)) {
            json.setPrettyPrinter(PRETTY.createInstance());
            json.writeStartObject();
            json.writeArrayFieldStart("argv");
            for (String argument : argv) {
                json.writeString(argument);
            }
            json.writeEndArray();
            json.writeStringField("display_name", displayName);
            json.writeStringField("language", language);
            json.writeStringField("interrupt_mode", interruptMode.name().toLowerCase(Locale.ROOT));
            json.writeObjectFieldStart("env");
            for (var variable : env.entrySet()) {
                json.writeStringField(variable.getKey(), variable.getValue());
            }
            json.writeEndObject();
            json.writeObjectFieldStart("metadata");
            if (debugger) {
                json.writeBooleanField("debugger", true);
            }
            json.writeEndObject();
            json.writeEndObject();
        } catch (IOException e) {
            throw new UncheckedIOException("writing to memory", e);
        }
        return text.append('\n').toString();
    }
}
