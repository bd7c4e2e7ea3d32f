package dev.capsule.session;

import dev.capsule.frame.MimeBundle;
import java.util.Optional;

/// Something to show.
///
/// @param dataJson Jupyter's `data`, a JSON object of values by MIME type
/// @param metadataJson a JSON object
/// @param displayId by which it may be updated later
/// @param plainText the value of `text/plain`, if there is one
public record Display(byte[] dataJson, byte[] metadataJson, Optional<String> displayId,
        Optional<String> plainText) {

    static Display of(MimeBundle bundle, Optional<String> displayId) {
        return new Display(bundle.dataJson(), bundle.metadata(), displayId, bundle.plainText());
    }
}
