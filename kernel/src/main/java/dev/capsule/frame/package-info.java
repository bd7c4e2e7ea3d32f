/// Messages between kernel and worker: types, codec, limits. No processes. The specification is `worker/PROTOCOL.md`.
@NullMarked
package dev.capsule.frame;

import org.jspecify.annotations.NullMarked;
