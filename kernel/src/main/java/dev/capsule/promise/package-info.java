/// Promises: named, single-assignment outcomes with a deadline, and the store that holds those that are open.
@NullMarked
package dev.capsule.promise;

import org.jspecify.annotations.NullMarked;
