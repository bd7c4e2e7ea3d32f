@NullMarked
package dev.capsule.session;

import org.jspecify.annotations.NullMarked;
