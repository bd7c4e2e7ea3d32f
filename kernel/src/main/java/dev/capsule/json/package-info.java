/// Reads and writes JSON.
@NullMarked
package dev.capsule.json;

import org.jspecify.annotations.NullMarked;
