"""The descriptors of the protocol (worker/PROTOCOL.md, section 1), and frames on their way through them."""

import io
import os
from _signal import SIGKILL
from _thread import RLock, get_ident
from fcntl import F_DUPFD_CLOEXEC, fcntl

from . import frames
from .imports import standard

_LOWEST_DESCRIPTOR = 200
# Frames up to this size share a buffer for writing; a larger one gets its own.
_BUFFER_BYTES = 64 << 10


class FrameTooLarge(ValueError):
    """A cell wants to send what is over a limit of the protocol."""


class Forked(RuntimeError):
    """A forked child of the worker tried to use the worker's connection."""


def take_descriptors():
    """Moves requests, frames and control out of the reach of cells and their children, and leads a process group."""
    moved = [out_of_reach(low) for low in (3, 4, 5)]
    if os.getpgrp() != os.getpid():
        os.setsid()
    return moved


def out_of_reach(descriptor):
    """Moves a descriptor above those that cells and their children get, and count on."""
    moved = copy_out_of_reach(descriptor)
    os.close(descriptor)
    return moved


def copy_out_of_reach(descriptor):
    return fcntl(descriptor, F_DUPFD_CLOEXEC, _LOWEST_DESCRIPTOR)


def die(message=None):
    """Ends the process at once: the connection is of no more use. No exit handlers, no traceback."""
    if message:
        try:
            os.write(2, f"capsule_worker: {message}\n".encode("utf-8", "backslashreplace"))
        except OSError:
            pass  # nobody is left to be told
    os._exit(1)


def die_with_children():
    """The same when the kernel is gone, so that nothing outlives it."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), SIGKILL)
    os._exit(1)


class Incoming:
    """Frames that arrive on one descriptor, for one thread."""

    def __init__(self, descriptor):
        self.descriptor = descriptor
        self.parser = frames.Parser()
        self._poller = None
        # Both ends of a pipe, if there is somebody who may want to end a `waiting`.
        self._waker = None

    def renew(self):
        """Drops what of a frame has come."""
        self.parser = frames.Parser(self.parser.decode_header)
        self._poller = None

    def be_woken(self):
        """From here on `wake` ends each `waiting`, until `forget_wakes`."""
        ends = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._waker is not None:
            # In a process that was woken from a snapshot, they are shared with others.
            for end in self._waker:
                os.close(end)
        self._waker = [out_of_reach(end) for end in ends]
        self._poller = None

    def wake(self):
        """Any thread."""
        try:
            os.write(self._waker[1], b"1")
        except BlockingIOError:
            pass  # who has not been awake for so long will be

    def forget_wakes(self):
        try:
            os.read(self._waker[0], _BUFFER_BYTES)
        except BlockingIOError:
            pass  # there was none

    def next(self):
        """Waits for the next frame. None at the end of the channel."""
        frame = self.parser.take()
        while frame is None:
            if not self.receive():
                return None
            frame = self.parser.take()
        return frame

    def waiting(self, millis=0):
        """Whether there is something to read, at the latest after this time, or, with None, when there is; or after a
        `wake`.
        """
        if self._poller is None:
            self._poller = self._new_poller()
            if self._waker is not None:
                self._poller.register(self._waker[0], standard("select").POLLIN)
        return any(descriptor == self.descriptor for descriptor, _ in self._poller.poll(millis))

    def unread(self):
        """Any thread: whether there is something to read now."""
        return bool(self._new_poller().poll(0))

    def _new_poller(self):
        select = standard("select")
        poller = select.poll()
        poller.register(self.descriptor, select.POLLIN)
        return poller

    def receive(self):
        """Reads once what is there. False at the end of the channel."""
        try:
            data = os.read(self.descriptor, self.parser.wanted())
        except OSError as error:
            if error.errno is None:
                raise  # by a signal handler of a cell
            die()  # a cell has closed it
        self.parser.feed(data)
        return bool(data)


class Connection:
    """What the worker sends. Safe for several threads, for signal handlers and finalizers that send while one sends."""

    def __init__(self, descriptor, interrupts):
        self.encode_header = frames.encode_json
        self.header_limit = 4 << 20
        self.buffers_limit = 256 << 20
        self._interrupts = interrupts
        self._descriptor = descriptor
        self._unfinished = None
        self._buffer = self._writer(_BUFFER_BYTES)
        # A signal handler or finalizer that wants it may come just before or after a frame of its own thread.
        self._lock = RLock()
        self._sender = None
        self._postponed = []

    def encode(self, header, buffers=()):
        """Raises FrameTooLarge."""
        size = sum(map(len, buffers))
        if size > self.buffers_limit:
            raise FrameTooLarge(f"{size:,} bytes to show at once are over the limit of {self.buffers_limit:,} bytes")
        if len(buffers) > frames.MAX_BUFFERS:
            raise FrameTooLarge(f"{len(buffers):,} values to show at once are over the limit of {frames.MAX_BUFFERS:,}")
        parts = frames.encode(header, buffers, self.encode_header)
        size = len(parts[0]) - 8
        if size > self.header_limit:
            raise FrameTooLarge(f"a message of {size:,} bytes is over the limit of {self.header_limit:,} bytes")
        return parts

    def send(self, header, buffers=()):
        self.write(self.encode(header, buffers))

    def write(self, parts):
        """Writes encoded frames in one piece, or ends the process if nobody reads them any more."""
        if self._descriptor is None:
            raise Forked("a forked child process cannot show anything in the notebook; print works")
        if self.writes_here:
            self._postponed.append(parts)
            return
        with self._interrupts.shield, self._lock:
            self._sender = get_ident()
            try:
                self._write_with_postponed(parts)
            finally:
                self._sender = None
        if self._postponed:
            # Since the last look at them.
            self.write(())

    def offer(self, parts):
        """Control thread: writes an encoded frame, and says so, if nobody need be waited for: who writes, or who reads."""
        select = standard("select")
        if sum(map(len, parts)) > select.PIPE_BUF or not self._lock.acquire(False):
            return False
        try:
            writable = select.poll()
            writable.register(self._descriptor, select.POLLOUT)
            # Then there is room for as much as may not be torn.
            if [event for _, event in writable.poll(0)] != [select.POLLOUT]:
                return False
            self._sender = get_ident()
            self._write_with_postponed(parts)
            return True
        finally:
            self._sender = None
            self._lock.release()

    def _write_with_postponed(self, parts):
        self._write_all(parts)
        while self._postponed:
            self._write_all(self._postponed.pop(0))

    def _write_all(self, parts):
        data = b"".join(parts)
        writer = self._buffer if len(data) <= _BUFFER_BYTES else self._writer(len(data))
        self._finish()
        self._unfinished = writer
        writer.write(data)  # only copies it
        self._finish()

    def _writer(self, size):
        return io.BufferedWriter(io.FileIO(self._descriptor, "wb", closefd=False), size + 1)

    def _finish(self):
        """Writes out what there is of the last frame.

        C counts what is written. Here, a signal handler of a cell could raise when os.write() has returned and before
        anybody knows how much it wrote; and half a frame would be the worker's end.
        """
        raised = None
        while self._unfinished is not None:
            try:
                self._unfinished.flush()
                self._unfinished = None
            except BrokenPipeError:
                die_with_children()
            except BaseException as error:
                if isinstance(error, OSError) and error.errno is not None:
                    die()  # a cell has closed it
                raised = error
        if raised is not None:
            raise raised

    @property
    def writes_here(self):
        """Whether the caller is a signal handler or finalizer in the midst of a write of the same thread."""
        return self._sender == get_ident()

    @property
    def shield(self):
        """With it, the thread that serves is not interrupted."""
        return self._interrupts.shield

    @property
    def forked(self):
        """Whether this is a forked child of the worker."""
        return self._descriptor is None

    def renew(self):
        """In a process that was woken from a snapshot: what the one before had not written out is dropped."""
        self._unfinished = None
        self._sender = None
        self._postponed.clear()

    def forget(self):
        """In a forked child: the connection belongs to the parent."""
        self._descriptor = None
