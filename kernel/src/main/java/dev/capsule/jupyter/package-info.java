/// Jupyter messaging 5.5 on the wire: messages, signing, connection file. No sockets.
@NullMarked
package dev.capsule.jupyter;

import org.jspecify.annotations.NullMarked;
