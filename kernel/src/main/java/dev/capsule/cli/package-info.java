/// The command line and the composition root: builds every object by hand, no container.
@NullMarked
package dev.capsule.cli;

import org.jspecify.annotations.NullMarked;
