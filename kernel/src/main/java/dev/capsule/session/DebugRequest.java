package dev.capsule.session;

import java.util.Optional;

/// A client's request in the Debug Adapter Protocol.
///
/// @param source the path of the source that it is about, if it is about one
/// @param json the whole, a JSON object in UTF-8
public record DebugRequest(String command, Optional<String> source, byte[] json) {}
