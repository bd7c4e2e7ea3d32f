/// Answers requests: dispatch, busy and idle, execution order, abort, history, stdin.
@NullMarked
package dev.capsule.kernel;

import org.jspecify.annotations.NullMarked;
