package dev.capsule.frame;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.capsule.frame.MimeBundle.Form;
import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class MimeBundleTest {
    private static final ObjectMapper MAPPER = new ObjectMapper();

    private static MimeBundle bundle(List<String> mimes, List<Form> forms, List<byte[]> values) {
        return new MimeBundle(mimes, forms, values, "{}".getBytes(UTF_8));
    }

    @Test
    void aValueIsShownAsItsFormSays() throws IOException {
        String text = "\"é\\\n\u0001";
        var shown = bundle(List.of("a/\"b", "t", "j", "p"), List.of(Form.TEXT, Form.TEXT, Form.JSON, Form.BASE64),
                List.of(text.getBytes(UTF_8), "plain".getBytes(UTF_8), "[1, {}]".getBytes(UTF_8), new byte[]{1, 2}));
        assertEquals(Map.of("a/\"b", text, "t", "plain", "j", List.of(1, Map.of()), "p", "AQI="),
                MAPPER.readValue(shown.dataJson(), Map.class));
        assertEquals("{}", new String(bundle(List.of(), List.of(), List.of()).dataJson(), UTF_8));
    }

    @Test
    void whatIsNoUtf8IsReplaced() throws IOException {
        var shown = bundle(List.of("t"), List.of(Form.TEXT), List.of(new byte[]{'a', (byte) 0xff, 'b'}));
        assertEquals(Map.of("t", "a\ufffdb"), MAPPER.readValue(shown.dataJson(), Map.class));
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 3, 24_575, 24_576, 24_577, 24_578, 49_152, 1_000_000})
    void imagesOfAllSizesComeWhole(int size) throws IOException {
        byte[] image = new byte[size];
        new Random(size).nextBytes(image);
        var shown = bundle(List.of("image/png", "text/plain"), List.of(Form.BASE64, Form.TEXT),
                List.of(image, "x".getBytes(UTF_8)));
        assertArrayEquals(image, MAPPER.readTree(shown.dataJson()).get("image/png").binaryValue());
    }
}
