@NullMarked
package dev.capsule.checkpoint;

import org.jspecify.annotations.NullMarked;
