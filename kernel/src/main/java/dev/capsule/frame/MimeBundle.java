package dev.capsule.frame;

import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.util.ByteArrayBuilder;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;

/// One thing to show, in several MIME types (`worker/PROTOCOL.md`, section 4).
///
/// @param values one for each type, to be read as the form of the same index says
/// @param metadata a JSON object in UTF-8
public record MimeBundle(List<String> mimes, List<Form> forms, List<byte[]> values, byte[] metadata) {
    /// How a value's bytes are to be read.
    public enum Form {
        TEXT, BASE64, JSON
    }

    /// @throws FrameException if the lists differ in length, or what is to be JSON is not
    public MimeBundle {
        mimes = List.copyOf(mimes);
        forms = List.copyOf(forms);
        values = List.copyOf(values);
        if (mimes.size() != forms.size() || mimes.size() != values.size()) {
            throw new FrameException("%d MIME types have %d forms and %d values".formatted(mimes.size(), forms.size(),
                    values.size()));
        }
        if (mimes.size() > 1 && new HashSet<>(mimes).size() != mimes.size()) {
            throw new FrameException("a MIME type occurs twice in " + mimes);
        }
        for (int i = 0; i < values.size(); i++) {
            if (forms.get(i) == Form.JSON) {
                Encoding.checkJson("value of " + mimes.get(i), values.get(i), JsonToken.NOT_AVAILABLE);
            }
        }
        Encoding.checkJson("metadata", metadata, JsonToken.START_OBJECT);
    }

    public Optional<String> plainText() {
        int index = mimes.indexOf("text/plain");
        return index < 0 ? Optional.empty() : Optional.of(new String(values.get(index), StandardCharsets.UTF_8));
    }

    /// The same values with other metadata: only what says how a picture or tree is to be shown.
    public MimeBundle withHarmlessMetadata() {
        return metadata.length == 2 ? this : new MimeBundle(mimes, forms, values, Metadata.harmless(metadata, mimes));
    }

    /// @return Jupyter's `data`: a JSON object of the values by MIME type
    public byte[] dataJson() {
        try (var json = new ByteArrayBuilder()) {
            json.write('{');
            for (int i = 0; i < mimes.size(); i++) {
                if (i > 0) {
                    json.write(',');
                }
                Encoding.writeJsonField(json, mimes.get(i), forms.get(i), values.get(i));
            }
            json.write('}');
            return json.toByteArray();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
