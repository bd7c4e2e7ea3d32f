package dev.capsule.session;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/// Puts HTML that nobody has read into a frame of the notebook's page, so that its scripts run but reach nothing: not
/// the page, not Jupyter, and not the network, which would be a way out for what the worker may read.
///
/// Two frames, one in the other, each with an origin of its own (`sandbox="allow-scripts"`). The outer one is ours: its
/// Content-Security-Policy also holds in the inner one (a `srcdoc` document inherits it), and its `frame-src` forbids
/// the inner one to go anywhere else. The HTML travels in base64, in which nothing can end an attribute or a script;
/// whoever opens the notebook where the frame is not shown, because it is not trusted, gets the text instead.
///
/// One thing is left: Chromium looks up the host name, and opens a connection on which nothing is sent, before it
/// refuses to let a frame go somewhere. The frame ends by that, so it is one name for each output.
///
/// The only servers that the policy names give out scripts that plotly and altair ask for; what a script is loaded by
/// is the one thing that they learn. Of `cdn.jsdelivr.net`, which serves anyone's files and publishes how often each
/// was loaded, exactly the versions of vega that the HTML names are allowed.
final class HtmlFrame {
    private static final Pattern VEGA = Pattern
            .compile("https://cdn\\.jsdelivr\\.net/npm/vega(?:-lite|-embed)?@\\d{1,3}(?:\\.\\d{1,3}){0,2}(?![\\w.-])");
    private static final int MAX_SCRIPTS = 8;

    /// What stands in for the frame is short; the whole text is in the bundle's `text/plain`.
    private static final int MAX_TEXT_CHARS = 20_000;

    private static final String SCRIPTS = "@SCRIPTS@";
    private static final String OUTPUT = "@OUTPUT@";
    private static final String FRAME = "<iframe class=\"capsule-frame\" sandbox=\"allow-scripts\" "
            + "style=\"border:0;display:block;height:300px;width:100%\" srcdoc=\"" + escape(resource("frame.html"))
            + "\"></iframe><pre class=\"capsule-text\">";
    private static final String BEFORE_SCRIPTS = FRAME.substring(0, FRAME.indexOf(SCRIPTS));
    private static final String BEFORE_OUTPUT = FRAME.substring(FRAME.indexOf(SCRIPTS) + SCRIPTS.length(),
            FRAME.indexOf(OUTPUT));
    private static final String BEFORE_TEXT = FRAME.substring(FRAME.indexOf(OUTPUT) + OUTPUT.length());
    private static final String END = "</pre><script>" + resource("page.js") + "</script>";

    /// Begins every output in base64; padded, so that the rest may follow.
    private final byte[] head;

    /// @param allow what a person can do to have it shown without a frame
    HtmlFrame(String allow) {
        String text = resource("output.html").replace("@ALLOW@", allow);
        int length = text.getBytes(StandardCharsets.UTF_8).length;
        head = base64((text + " ".repeat((3 - length % 3) % 3)).getBytes(StandardCharsets.UTF_8));
    }

    /// @param html UTF-8
    /// @param text what to show where frames are not
    /// @return HTML in UTF-8
    byte[] of(byte[] html, String text) {
        byte[] body = base64(html);
        var out = new ByteArrayOutputStream(
                BEFORE_SCRIPTS.length() + BEFORE_OUTPUT.length() + head.length + body.length + END.length() + 8_192);
        write(out, BEFORE_SCRIPTS + scripts(html) + BEFORE_OUTPUT);
        out.writeBytes(head);
        out.writeBytes(body);
        write(out, BEFORE_TEXT + escape(shortened(text)) + END);
        return out.toByteArray();
    }

    private static String shortened(String text) {
        if (text.isEmpty()) {
            return "[Capsule: this output is shown when the notebook is trusted or the cell has run]";
        }
        return text.length() > MAX_TEXT_CHARS ? text.substring(0, MAX_TEXT_CHARS) + "…" : text;
    }

    private static String scripts(byte[] html) {
        var found = new TreeSet<String>();
        // One byte is one character: what is looked for is ASCII.
        var matcher = VEGA.matcher(new String(html, StandardCharsets.ISO_8859_1));
        while (found.size() < MAX_SCRIPTS && matcher.find()) {
            found.add(" " + matcher.group());
        }
        return String.join("", found);
    }

    private static byte[] base64(byte[] bytes) {
        return Base64.getEncoder().encode(bytes);
    }

    private static String escape(String text) {
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\"", "&quot;");
    }

    private static void write(ByteArrayOutputStream out, String text) {
        out.writeBytes(text.getBytes(StandardCharsets.UTF_8));
    }

    /// Without comments and indentation, since every output carries it.
    private static String resource(String name) {
        try (var in = HtmlFrame.class.getResourceAsStream(name)) {
            if (in == null) {
                throw new IllegalStateException("no resource " + name);
            }
            return new String(in.readAllBytes(), StandardCharsets.UTF_8).lines().map(String::strip)
                    .filter(line -> !line.startsWith("//")).collect(Collectors.joining("\n"));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
