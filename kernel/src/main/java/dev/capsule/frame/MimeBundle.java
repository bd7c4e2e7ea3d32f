package dev.capsule.frame;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
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

    /// What is encoded at once, in bytes: a multiple of 3.
    private static final int BASE64_PIECE = 24 << 10;

    private static final byte[] NOTHING = {};

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
                Encoding.checkJson("value of " + mimes.get(i), values.get(i));
            }
        }
        Encoding.checkJson("metadata", metadata, '{');
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
        return dataJson(NOTHING, NOTHING);
    }

    /// How long it is without escapes, in bytes.
    public long dataBytes() {
        long bytes = 2;
        for (int i = 0; i < mimes.size(); i++) {
            int length = values.get(i).length;
            bytes += mimes.get(i).length() + 6 + (forms.get(i) == Form.BASE64 ? base64Length(length) : length);
        }
        return bytes;
    }

    /// @return Jupyter's `data` between what stands before and after it
    public byte[] dataJson(byte[] before, byte[] after) {
        int count = mimes.size();
        var names = new ArrayList<byte[]>(count);
        var ready = new ArrayList<byte[]>(count);
        int length = before.length + 2 + Math.max(0, count - 1) + after.length;
        for (int i = 0; i < count; i++) {
            byte[] value = values.get(i);
            names.add(Encoding.jsonString(mimes.get(i).getBytes(StandardCharsets.UTF_8)));
            ready.add(switch (forms.get(i)) {
                case TEXT -> Encoding.jsonString(value);
                case BASE64, JSON -> value;
            });
            int bytes = forms.get(i) == Form.BASE64 ? 2 + base64Length(value.length) : ready.get(i).length;
            length = Math.addExact(length, names.get(i).length + 1 + bytes);
        }
        // Of the right size at once, for it may be a large image: the heap is small.
        var json = ByteBuffer.allocate(length).put(before).put((byte) '{');
        for (int i = 0; i < count; i++) {
            if (i > 0) {
                json.put((byte) ',');
            }
            json.put(names.get(i)).put((byte) ':');
            if (forms.get(i) == Form.BASE64) {
                json.put((byte) '"');
                putBase64(json, ready.get(i));
                json.put((byte) '"');
            } else {
                json.put(ready.get(i));
            }
        }
        return json.put((byte) '}').put(after).array();
    }

    private static int base64Length(int bytes) {
        return Math.multiplyExact(4, (bytes + 2) / 3);
    }

    private static void putBase64(ByteBuffer target, byte[] bytes) {
        byte[] encoded = new byte[base64Length(Math.min(bytes.length, BASE64_PIECE))];
        for (int at = 0; at < bytes.length; at += BASE64_PIECE) {
            byte[] piece = Arrays.copyOfRange(bytes, at, Math.min(bytes.length, at + BASE64_PIECE));
            target.put(encoded, 0, Base64.getEncoder().encode(piece, encoded));
        }
    }
}
