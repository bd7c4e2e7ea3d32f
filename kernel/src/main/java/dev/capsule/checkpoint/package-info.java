/// Checkpoints: a session's variables on disk. Nothing here understands what is in them.
@NullMarked
package dev.capsule.checkpoint;

import org.jspecify.annotations.NullMarked;
