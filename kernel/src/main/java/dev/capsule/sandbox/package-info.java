/// Turns what a worker may do into the command line that starts it.
@NullMarked
package dev.capsule.sandbox;

import org.jspecify.annotations.NullMarked;
