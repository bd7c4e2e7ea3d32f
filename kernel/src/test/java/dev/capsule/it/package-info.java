/// The whole kernel, as it is installed, driven by clients that know nothing of it.
@NullMarked
package dev.capsule.it;

import org.jspecify.annotations.NullMarked;
