/// One language session: its worker, its running execution, its open promises.
@NullMarked
package dev.capsule.session;

import org.jspecify.annotations.NullMarked;
