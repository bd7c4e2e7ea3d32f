package dev.capsule.frame;

import dev.capsule.json.JsonWriter;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// The metadata of a [MimeBundle] that nobody vouches for. Front ends act on it: JupyterLab puts an output into a frame
/// of the page's own origin for `isolated`, and nbconvert writes a `width` into HTML without quotes.
final class Metadata {
    /// Of the name of a tree's root.
    private static final int MAX_ROOT_CHARS = 100;
    private static final String MARKUP = "<>&\"'`=";

    private Metadata() {}

    /// What says how a picture or tree is to be shown, as numbers, truth values and fixed words, and what a tree's root is
    /// called, as plain words; nothing else.
    ///
    /// @param metadata a JSON object
    /// @param mimes those whose metadata is asked for
    static byte[] harmless(byte[] metadata, Collection<String> mimes) {
        if (metadata.length == 2) {
            return metadata;
        }
        var all = Encoding.JSON.decode(metadata);
        var kept = new LinkedHashMap<String, @Nullable Object>();
        if (all.get("needs_background") instanceof String background
                && (background.equals("light") || background.equals("dark"))) {
            kept.put("needs_background", background);
        }
        for (String mime : mimes) {
            if (all.get(mime) instanceof Map<?, ?> said) {
                var own = new LinkedHashMap<String, @Nullable Object>();
                said.forEach((key, value) -> {
                    if (switch ((String) key) {
                        case "width", "height" -> value instanceof Long;
                        case "unconfined", "expanded" -> value instanceof Boolean;
                        case "root" -> mime.equals("application/json") && value instanceof String root
                                && isPlain(root);
                        default -> false;
                    }) {
                        own.put((String) key, value);
                    }
                });
                if (!own.isEmpty()) {
                    kept.put(mime, own);
                }
            }
        }
        return JsonWriter.of(kept);
    }

    /// Whether it is no markup, wherever a front end puts it.
    private static boolean isPlain(String root) {
        return root.length() <= MAX_ROOT_CHARS && root.chars().noneMatch(character -> MARKUP.indexOf(character) >= 0);
    }
}
