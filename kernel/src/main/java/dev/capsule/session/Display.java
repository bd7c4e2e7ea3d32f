package dev.capsule.session;

import dev.capsule.frame.MimeBundle;
import java.util.Optional;

/// Something to show.
///
/// @param bundle what of it may leave
/// @param displayId by which it may be updated later
/// @param plainText the value of `text/plain` as it was, if there is one
public record Display(MimeBundle bundle, Optional<String> displayId, Optional<String> plainText) {
    /// @return Jupyter's `data`, a JSON object of values by MIME type, between what stands before and after it
    public byte[] dataJson(byte[] before, byte[] after) {
        return bundle.dataJson(before, after);
    }

    /// @return a JSON object
    public byte[] metadataJson() {
        return bundle.metadata();
    }
}
