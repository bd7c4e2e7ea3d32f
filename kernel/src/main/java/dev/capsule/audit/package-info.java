/// The record of what was done to and by a kernel's workers, which no cell can reach.
@NullMarked
package dev.capsule.audit;

import org.jspecify.annotations.NullMarked;
