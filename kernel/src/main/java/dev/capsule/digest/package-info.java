/// Digests of much data, as quick as this machine has them.
@NullMarked
package dev.capsule.digest;

import org.jspecify.annotations.NullMarked;
