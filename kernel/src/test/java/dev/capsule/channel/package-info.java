@NullMarked
package dev.capsule.channel;

import org.jspecify.annotations.NullMarked;
