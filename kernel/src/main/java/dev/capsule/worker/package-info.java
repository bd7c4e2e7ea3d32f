/// Starts, watches, interrupts and ends worker processes.
@NullMarked
package dev.capsule.worker;

import org.jspecify.annotations.NullMarked;
