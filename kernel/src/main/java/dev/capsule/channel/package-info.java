/// The ZeroMQ sockets of a kernel, as a small server of our own for ZMTP 3 (`rfc.zeromq.org/spec/23` and `/37`).
///
/// Not JeroMQ: its XPUB shows nothing of one subscriber's backlog, so "a client that never reads slows nobody, memory
/// is bounded, `idle` is never lost" could not be built on it; it stalls a few ms now and then (zeromq/jeromq#723); and
/// its sockets must not be shared between threads, while these may be written to from any.
///
/// A [dev.capsule.channel.Reactor] is a thread that reads for the sockets on it. Locks are taken in this order: order of
/// publications, peer, room.
@NullMarked
package dev.capsule.channel;

import org.jspecify.annotations.NullMarked;
