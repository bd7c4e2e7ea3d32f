/// Writes logs.
@NullMarked
package dev.capsule.log;

import org.jspecify.annotations.NullMarked;
