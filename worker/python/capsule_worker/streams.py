"""sys.stdout and sys.stderr, and the output of code that outlives its cell (worker/PROTOCOL.md, section 4)."""

import io
import os
import sys
from _thread import RLock, allocate_lock
from functools import wraps

from .connection import FrameTooLarge, die, die_with_children
from .executions import OutputLimit
from .imports import standard

_MAX_HELD_CHARS = 8 << 10

# mallopt(3)
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


class Stream(io.TextIOWrapper):
    """Text for descriptor 1 or 2. Its `write` is that of C, so that a print costs no Python, but see Streams.follow."""

    def __init__(self, descriptor, title):
        self.descriptor = descriptor
        self.title = title
        self._open()

    def _open(self):
        raw = io.FileIO(self.descriptor, "wb", closefd=False)
        raw.name = f"<{self.title}>"
        # A lone surrogate is shown as its escape: output never fails for what it says.
        super().__init__(io.BufferedWriter(raw), encoding="utf-8", errors="backslashreplace", line_buffering=True)
        self.mode = "w"

    def close(self):
        """Does not close: who closes sys.stdout in a notebook means some file of its own."""
        try:
            self.flush()
        except ValueError:
            pass  # closed or detached already

    def repair(self):
        """Opens it again when a wrapper that a cell put around its buffer has taken the buffer with it."""
        try:
            broken = self.closed
        except ValueError:
            broken = True  # detached
        if broken:
            self._open()

    def leave(self):
        """In a forked child: takes a new buffer. A thread that is not here may have locked the old one."""
        self._left = self.buffer
        self._open()

    def flush_all(self):
        """Flushes, and ends the process if that is not possible any more."""
        try:
            self.flush()
        except BlockingIOError:
            # A library made the pipe non-blocking.
            os.set_blocking(self.descriptor, True)
            self.flush_all()
        except ValueError:
            self.repair()
        except BrokenPipeError:
            die_with_children()
        except OSError as error:
            if error.errno is None:
                raise  # by a signal handler of a cell
            die()  # a cell has closed it


class Streams:
    def __init__(self, connection, executions):
        self._connection = connection
        self._executions = executions
        self._block = False
        self._flush_c = None
        self._following = False
        self._follow_lock = allocate_lock()
        # Whether there are subshells, whose output is told from the main shell's by who writes.
        self._subshells = False
        # Late text by stream and execution, up to the end of its line.
        self._held = {}
        self._held_chars = 0
        self._held_lock = RLock()
        self.both = self.out, self.err = Stream(1, "stdout"), Stream(2, "stderr")

    def install(self):
        sys.stdout = sys.__stdout__ = self.out
        sys.stderr = sys.__stderr__ = self.err

    def load_c(self):
        """Finds C's fflush, and has C keep the memory that an image takes for the next one: to get it anew from the system
        takes longer than all else. Costs 2 ms, so it is done when the worker is ready.
        """
        try:
            c = standard("ctypes").CDLL(None)
            self._flush_c = c.fflush
            c.mallopt(_M_MMAP_THRESHOLD, 4 << 20)
            c.mallopt(_M_TRIM_THRESHOLD, 16 << 20)
        except (ImportError, OSError, AttributeError):
            pass  # a Python without ctypes: what C code buffers comes late; or another C library

    def watch_imports(self, watch):
        """What another process writes must not overtake what is buffered here."""
        watch.when_loaded("subprocess", self._order_children)
        os.system = self._after_flush(os.system)
        os.register_at_fork(before=self._before_fork)

    def _before_fork(self):
        self.flush()
        if sys.version_info >= (3, 12):
            # The thread that is meant is the control thread, of which a child has no need.
            standard("warnings").filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)

    def _order_children(self, subprocess):
        subprocess.Popen.__init__ = self._after_flush(subprocess.Popen.__init__)

    def _after_flush(self, function):
        @wraps(function)
        def flush_and_call(*args, **kwargs):
            self.flush()
            return function(*args, **kwargs)

        return flush_and_call

    def flush(self):
        """Writes out what Python code has printed."""
        self.out.flush_all()
        self.err.flush_all()
        for stream, ours in ((sys.stdout, self.out), (sys.stderr, self.err)):
            if stream is not ours:
                try:
                    stream.flush()
                except Exception:
                    pass  # what a cell has put there need not be a file

    def begin(self):
        """Before a cell: what is left belongs to earlier ones, and lines leave at once again."""
        for stream in self.both:
            stream.repair()
        if self._block:
            self.buffer(block=False)
        self.flush()

    def flush_everything(self):
        """At the end of a cell: also what C code has printed."""
        self.flush()
        if self._flush_c is not None:
            self._flush_c(None)

    def buffer(self, block):
        """Writes out what there is, and from now on by line or in blocks."""
        if block != self._block:
            self._block = block
            for stream in self.both:
                stream.reconfigure(line_buffering=not block)
        for stream in self.both:
            stream.flush_all()

    def tick(self, block):
        """Control thread: like `buffer`, but never waits for a full pipe."""
        select = standard("select")
        writable = select.poll()
        for stream in self.both:
            writable.register(stream.descriptor, select.POLLOUT)
        if [event for _, event in writable.poll(0)] == [select.POLLOUT] * 2:
            self.buffer(block)
        self._send_held()

    # Late output

    def follow(self, tasks_alive):
        """Looks at who writes, from now on, if anybody can that belongs to an earlier cell. The streams stay the same
        objects, which logging handlers hold: only their `write` and `flush` are hidden.
        """
        self._send_held()
        needed = tasks_alive or self._subshells or self._executions.threads_running()
        if needed != self._following:
            self._follow(needed)

    def follow_subshells(self, there_are):
        """Any thread."""
        self._subshells = there_are
        if there_are:
            self._follow(True)

    def _follow(self, needed):
        with self._connection.shield, self._follow_lock:
            if needed == self._following:
                return
            self._following = needed
            for stream in self.both:
                if needed:
                    self._hide(stream)
                else:
                    self._show(stream)

    def _hide(self, stream):
        write, flush = stream.write, stream.flush

        def write_as_owner(text, /):
            owner = self._executions.owner()
            if owner is None or owner is self._executions.running or not isinstance(text, str):
                return write(text)
            self._hold(stream, owner, text)
            return len(text)

        def flush_as_owner():
            self._send_held()
            flush()

        stream.write, stream.flush = write_as_owner, flush_as_owner

    @staticmethod
    def _show(stream):
        # A cell may have taken them away itself.
        stream.__dict__.pop("write", None)
        stream.__dict__.pop("flush", None)

    def write_as(self, execution, stream, text):
        """Writes text of that execution, whoever calls."""
        if execution is None or execution is self._executions.running:
            stream.write(text)
        else:
            self._hold(stream, execution, text)
            self._send_held()

    def _hold(self, stream, execution, text):
        with self._connection.shield, self._held_lock:
            self._held.setdefault((stream, execution), []).append(text)
            self._held_chars += len(text)
            due = self._held_chars > _MAX_HELD_CHARS or ("\n" in text and not self._block)
            refusal = self._send_held() if due else None
        if refusal is not None:
            raise refusal

    def _send_held(self):
        """Returns the error of a text that is over a limit, which is dropped: only who writes it is to be told."""
        refusal = None
        if not self._held:
            return refusal
        with self._connection.shield, self._held_lock:
            self._held_chars = 0
            while self._held:
                (stream, execution), parts = self._held.popitem()
                header = {"emit": "stream", "id": execution.id, "name": stream.title}
                try:
                    frame = self._connection.encode(header, ["".join(parts).encode("utf-8", "backslashreplace")])
                    execution.account(frame)
                    self._connection.write(frame)
                except (FrameTooLarge, OutputLimit) as error:
                    refusal = error
        return refusal

    def forget(self):
        """In a forked child: its output is only what it writes to the descriptors."""
        self._held.clear()
        self._held_lock = RLock()
        for stream in self.both:
            stream.leave()
        self._follow_lock = allocate_lock()
        if self._following:
            self._following = False
            for stream in self.both:
                self._show(stream)
