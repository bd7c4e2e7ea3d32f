package dev.capsule.session;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.capsule.frame.Frame;
import dev.capsule.frame.MimeBundle;
import dev.capsule.policy.Profile;
import dev.capsule.policy.Profile.Form;
import dev.capsule.policy.Profile.Leave;
import dev.capsule.policy.Profile.MimeTypes;
import dev.capsule.policy.Profile.Outputs;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// That the frames hold, only a browser can tell; here is what goes into them, and what does not.
class OutletTest {
    private static final Outlet LOCKED = new Outlet(Profile.LOCKED);
    private static final Outlet DEFAULT = new Outlet(Profile.DEFAULT);
    private static final Outlet OPEN = new Outlet(Profile.OPEN);

    private static MimeBundle bundle(String metadata, String... typesAndTexts) {
        var mimes = new ArrayList<String>();
        var values = new ArrayList<byte[]>();
        for (int i = 0; i < typesAndTexts.length; i += 2) {
            mimes.add(typesAndTexts[i]);
            values.add(typesAndTexts[i + 1].getBytes(UTF_8));
        }
        var forms = mimes.stream()
                .map(mime -> mime.endsWith("json") ? MimeBundle.Form.JSON : MimeBundle.Form.TEXT).toList();
        return new MimeBundle(mimes, forms, values, metadata.getBytes(UTF_8));
    }

    private static Map<?, ?> json(byte[] json) {
        try {
            return new ObjectMapper().readValue(json, Map.class);
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    private static Map<?, ?> data(Outlet outlet, String... typesAndTexts) {
        return json(outlet.display(bundle("{}", typesAndTexts), Optional.empty()).bundle().dataJson());
    }

    private static String withheld(String what, String profile) {
        return "[Capsule: " + what + " is withheld by the profile \"" + profile
                + "\"; capsule install --profile open gives a kernel that allows it]";
    }

    @Test
    void whereEveryTypeMayLeaveTheBytesPassAsTheyAre() {
        var bundle = bundle("{\"isolated\":true}", "application/javascript", "x", "text/html", "<b>");
        var display = OPEN.display(bundle, Optional.of("id"));
        assertEquals("{\"application/javascript\":\"x\",\"text/html\":\"<b>\"}",
                new String(display.bundle().dataJson(), UTF_8));
        assertSame(bundle.metadata(), display.metadataJson());
        assertEquals(Optional.of("id"), display.displayId());
        byte[] expressions = "{\"a\" : 1}".getBytes(UTF_8);
        byte[] payload = "[ 1 ]".getBytes(UTF_8);
        assertSame(expressions, OPEN.userExpressions(expressions));
        assertSame(payload, OPEN.payload(payload).json());
        assertEquals(List.of(), OPEN.payload(payload).shown());
    }

    private static Frame.Comm comm(Frame.CommKind kind, String target) {
        byte[] none = "{}".getBytes(UTF_8);
        return new Frame.Comm("e1", kind, "c", target, none, none, List.of(), false);
    }

    @Test
    void commsLeaveWhereTheProfileSaysSo() {
        for (var kind : Frame.CommKind.values()) {
            assertTrue(OPEN.releases(comm(kind, "jupyter.widget")));
            assertFalse(new Outlet(Profile.DEFAULT).releases(comm(kind, "jupyter.widget")));
        }
        assertEquals(Map.of(), OPEN.takeWithheld());
    }

    @Test
    void aCommThatIsWithheldIsNamedOnceAndNotBesideAWidgetThatIs() {
        var outlet = new Outlet(Profile.DEFAULT);
        outlet.releases(comm(Frame.CommKind.MSG, ""));
        assertEquals(Map.of(), outlet.takeWithheld());
        outlet.releases(comm(Frame.CommKind.OPEN, "jupyter.widget"));
        outlet.releases(comm(Frame.CommKind.OPEN, "jupyter.widget"));
        var withheld = outlet.takeWithheld();
        assertEquals(Map.of("comm jupyter.widget", 2), withheld);
        assertEquals(Optional.of("the comm jupyter.widget"), Outlet.unseenComm(withheld));
        outlet.releases(comm(Frame.CommKind.OPEN, "x]\n<b>"));
        outlet.display(bundle("{}", "application/vnd.jupyter.widget-view+json", "{}"), Optional.empty());
        withheld = outlet.takeWithheld();
        assertEquals(Map.of("comm of no sound name", 1, "application/vnd.jupyter.widget-view+json", 1), withheld);
        assertEquals(Optional.empty(), Outlet.unseenComm(withheld));
    }

    @Test
    void whatIsWithheldLeavesANoteThatSaysHowToAllowIt() {
        assertEquals(Map.of("text/plain", withheld("application/javascript", "default")),
                data(DEFAULT, "application/javascript", "x"));
    }

    @Test
    void theNoteComesAfterTheTextAndNotInTheHistory() {
        var display = DEFAULT.display(bundle("{}", "text/plain", "IntSlider(value=0)",
                "application/vnd.jupyter.widget-view+json", "{}"), Optional.empty());
        assertEquals(Map.of("text/plain", "IntSlider(value=0)\n"
                + withheld("application/vnd.jupyter.widget-view+json", "default")), json(display.bundle().dataJson()));
        assertEquals(Optional.of("IntSlider(value=0)"), display.plainText());
    }

    @Test
    void whereAPictureIsLeftNothingIsSaid() {
        assertEquals(Map.of("image/png", "QQ==", "text/plain", "t"),
                data(LOCKED, "image/png", "QQ==", "text/html", "<b>", "text/plain", "t"));
    }

    @Test
    void aNoteNamesAFewTypesAndOnlySoundNames() {
        assertEquals(
                Map.of("text/plain",
                        withheld("a MIME type of no sound name, application/a, application/b, 2 more", "locked")),
                data(LOCKED, "application/d", "", "application/a", "", "application/b", "", "\u001b[31m", "",
                        "application/c", ""));
    }

    @Test
    void typesAreComparedWithoutParametersAndCase() {
        assertEquals(Map.of("application/json", 1), data(LOCKED, "Application/JSON; a=b;json", "1"));
        assertEquals(Map.of("text/plain", withheld("text/html", "locked")),
                data(LOCKED, "TEXT/html ;charset=utf-8", "<b>"));
        assertEquals(Map.of("text/plain", "a"), data(LOCKED, "text/plain", "a", "TEXT/PLAIN", "b"));
    }

    @ParameterizedTest
    @CsvSource({"'{\"isolated\":true,\"text/plain\":{\"isolated\":true},\"fragment\":\"#a\"}', '{}'",
            "'{\"image/png\":{\"width\":3,\"height\":\"1 onerror=x\",\"unconfined\":true,\"alt\":\"x\"}}', "
                    + "'{\"image/png\":{\"width\":3,\"unconfined\":true}}'",
            "'{\"image/gif\":{\"width\":3},\"needs_background\":\"dark\"}', '{\"needs_background\":\"dark\"}'",
            "'{\"needs_background\":\"light onerror=x\"}', '{}'",
            "'{\"application/json\":{\"root\":{\"a\":1},\"expanded\":true}}', "
                    + "'{\"application/json\":{\"expanded\":true}}'",
            "'{\"application/json\":{\"root\":\"name\",\"tags\":[1]},\"image/png\":{\"root\":\"name\"}}', "
                    + "'{\"application/json\":{\"root\":\"name\"}}'",
            "'{\"application/json\":{\"root\":\"<img src=x>\"}}', '{}'"})
    void ofTheMetadataOnlyWhatIsHarmlessIsLeft(String metadata, String left) {
        var display = LOCKED.display(bundle(metadata, "image/png", "QQ==", "application/json", "1", "text/plain", "t"),
                Optional.empty());
        assertEquals(left, new String(display.metadataJson(), UTF_8));
    }

    /// It was dropped, and each tree was called "root".
    @Test
    void theNameOfATreesRootIsLeftIfItIsShort() {
        for (int length : new int[]{100, 101}) {
            String root = "n".repeat(length);
            var display = LOCKED.display(bundle("{\"application/json\":{\"root\":\"" + root + "\"}}",
                    "application/json", "1"), Optional.empty());
            assertEquals(length == 100 ? "{\"application/json\":{\"root\":\"" + root + "\"}}" : "{}",
                    new String(display.metadataJson(), UTF_8));
        }
    }

    /// nbconvert writes the text of a picture into HTML.
    @Test
    void aPictureIsBase64() {
        assertEquals(Map.of("text/plain", withheld("image/png", "default")),
                data(DEFAULT, "image/png", "x\"><img src=x onerror=alert(1)>"));
    }

    @Test
    void htmlIsFramed() {
        var data = data(DEFAULT, "text/html", "<b>\"</iframe>", "image/svg+xml", "<svg/>", "text/plain", "a < b");
        assertEquals(List.of("text/html", "text/plain"), List.copyOf(data.keySet()));
        String html = String.valueOf(data.get("text/html"));
        assertTrue(html.startsWith("<iframe class=\"capsule-frame\" sandbox=\"allow-scripts\" "), html);
        assertTrue(html.contains("\"></iframe><pre class=\"capsule-text\">a &lt; b</pre><script>"), html);
        assertTrue(
                output(html).endsWith("</script>\n<b>\"</iframe>")
                        || output(html).stripTrailing().endsWith("<b>\"</iframe>"),
                output(html));
        assertFalse(html.contains("@"), html);
    }

    private static String output(String html) {
        var matcher = Pattern.compile("atob\\('([A-Za-z0-9+/=]*)'\\)").matcher(html);
        assertTrue(matcher.find(), html);
        return new String(Base64.getDecoder().decode(matcher.group(1)), UTF_8);
    }

    /// A quote would end the attribute that the frame is in.
    @Test
    void nothingInTheOutputReachesThePage() {
        String empty = String.valueOf(data(DEFAULT, "text/html", "", "text/plain", "").get("text/html"));
        String html = String.valueOf(data(DEFAULT, "text/html", "\"'><script>\u0000&quot;</iframe></pre>", "text/plain",
                "\"'></pre><script>&").get("text/html"));
        var own = Pattern.compile("(?<=atob\\(')[A-Za-z0-9+/=]*|(?<=capsule-text\">)[^<>\"]*(?=</pre>)");
        assertEquals(own.matcher(empty).replaceAll(""), own.matcher(html).replaceAll(""));
    }

    @Test
    void aPictureInAFrameIsHtml() {
        var data = data(DEFAULT, "image/svg+xml", "<svg/>", "text/plain", "p");
        assertEquals(List.of("text/html", "text/plain"), List.copyOf(data.keySet()));
        assertTrue(output(String.valueOf(data.get("text/html"))).endsWith("<svg/>"));
    }

    @Test
    void theFrameMayLoadTheVersionsOfVegaThatItNames() {
        String html = String.valueOf(data(DEFAULT, "text/html", """
                <script src="https://cdn.jsdelivr.net/npm/vega@6"></script>
                "https://cdn.jsdelivr.net/npm/vega-lite@6.4.1?noext" "https://cdn.jsdelivr.net/npm/other@6"
                "https://cdn.jsdelivr.net/npm/vega-embed@7/../../other@1" "https://cdn.jsdelivr.net/npm/vega@1-x"
                """).get("text/html"));
        assertTrue(html.contains("/ajax/libs/mathjax/ https://cdn.jsdelivr.net/npm/vega-embed@7"
                + " https://cdn.jsdelivr.net/npm/vega-lite@6.4.1 https://cdn.jsdelivr.net/npm/vega@6; style-src"),
                html);
    }

    @ParameterizedTest
    @CsvSource({"'a <b>c</b> <!-- x', 'a < b>c< /b> < !-- x'", "[a](javascript:x), [a] (javascript:x)",
            "![a](http://x), ![a] (http://x)", "'[a]: http://x', '[a] : http://x'",
            "a < b && c[0] <= 1, a < b && c[0] <= 1",
            "@@0@@, @ @0@ @", "$\\href{a}{b} \\frac{1}{2}$, $\\ href{a}{b} \\frac{1}{2}$",
            "'\\let\\x\\def \\left( \\letter', '\\ let\\x\\ def \\left( \\letter'"})
    void markdownIsTakenApart(String text, String expected) {
        assertEquals(Map.of("text/markdown", expected), data(DEFAULT, "text/markdown", text));
    }

    @Test
    void texIsTakenApart() {
        assertEquals(Map.of("text/latex", "$\\ href{x}{[a](b)} a< b$"),
                data(DEFAULT, "text/latex", "$\\href{x}{[a](b)} a<b$"));
    }

    @Test
    void userExpressionsObeyToo() {
        byte[] json = """
                {"a":{"status":"ok","data":{"text/plain":"1","application/javascript":"x"},"metadata":{"isolated":true}},
                 "b":{"status":"error","ename":"E","evalue":"v","traceback":["t"],"html":"<b>"},
                 "c":{"status":"ok","data":{"application/json":{"x":[1.5,null,true]}}}}"""
                .getBytes(UTF_8);
        assertEquals(
                Map.of("a", Map.of("status", "ok", "data",
                        Map.of("text/plain", "1\n" + withheld("application/javascript", "locked")), "metadata",
                        Map.of()),
                        "b", Map.of("status", "error", "ename", "E", "evalue", "v", "traceback", List.of("t")), "c",
                        Map.of("status", "ok", "data",
                                json("{\"application/json\":{\"x\":[1.5,null,true]}}".getBytes(UTF_8)),
                                "metadata", Map.of())),
                json(LOCKED.userExpressions(json)));
    }

    @Test
    void whatAPayloadWouldHaveShownIsShown() {
        byte[] json = """
                [{"source":"page","data":{"text/plain":"help"},"start":0},
                 {"source":"set_next_input","text":"x = 1","replace":true},{"source":"edit_magic"},{"source":"ask_exit"}, 1]"""
                .getBytes(UTF_8);
        var released = DEFAULT.payload(json);
        assertEquals(Map.of("all", List.of(Map.of("source", "page", "data", Map.of("text/plain", "help"), "start", 0),
                Map.of("source", "ask_exit"))),
                json(("{\"all\":" + new String(released.json(), UTF_8) + "}").getBytes(UTF_8)));
        assertEquals(
                List.of(Map.of("text/plain", withheld("the payload set_next_input", "default") + "\n\nx = 1"),
                        Map.of("text/plain", withheld("the payload edit_magic", "default"))),
                released.shown().stream().map(display -> json(display.bundle().dataJson())).toList());
    }

    @Test
    void aPagerObeysTheMimeTypes() {
        var outlet = new Outlet(new Profile("own", Profile.LOCKED.files(), Profile.LOCKED.network(),
                Profile.LOCKED.limits(), Profile.LOCKED.interrupt(),
                new Outputs(new MimeTypes.Only(Map.of("text/plain", Form.AS_IS)),
                        Leave.WITHHELD, Leave.WITHHELD)));
        byte[] json = "[{\"source\":\"page\",\"data\":{\"text/plain\":\"help\",\"text/html\":\"<b>\"},\"start\":2}]"
                .getBytes(UTF_8);
        assertEquals(Map.of("all", List.of(Map.of("source", "page", "data",
                Map.of("text/plain", "help\n" + withheld("text/html", "own")), "start", 2))),
                json(("{\"all\":" + new String(outlet.payload(json).json(), UTF_8) + "}").getBytes(UTF_8)));
    }
}
