/// What a worker may do: profiles, and the user's file that changes them.
@NullMarked
package dev.capsule.policy;

import org.jspecify.annotations.NullMarked;
