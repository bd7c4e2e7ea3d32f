"""sys.stdout and sys.stderr, and the output of code that outlives its cell (worker/PROTOCOL.md, section 4)."""

import io
import os
import sys
from _thread import allocate_lock
from fcntl import F_GETFD, fcntl
from functools import wraps

from .connection import copy_out_of_reach, die, die_with_children
from .imports import standard
from .late import LateText

# mallopt(3)
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


class Stream(io.TextIOWrapper):
    """Text for descriptor 1 or 2. Its `write` is that of C, so that a print costs no Python, but see Streams.follow.

    It goes through a copy of the descriptor: cells close the number that `fileno` gives them, and then the next file that
    they open has it.
    """

    def __init__(self, number, title):
        self.descriptor = copy_out_of_reach(number)
        self.title = title
        self._number = number
        self._open()

    def _open(self):
        number = self._number
        raw = io.FileIO(self.descriptor, "wb", closefd=False)
        raw.name = f"<{self.title}>"
        raw.fileno = lambda: number
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

    def reopen(self):
        """Opens the descriptor again, for programs and C code, if a cell has closed it: else the next file would have it."""
        try:
            fcntl(self._number, F_GETFD)
        except OSError:
            os.dup2(self.descriptor, self._number)

    def leave(self):
        """In a forked child: writes to the descriptor itself, of which the child may make something else, and through a
        new buffer. A thread that is not here may have locked the old one.
        """
        self._left = self.buffer
        self.descriptor = self._number
        self._open()

    def buffer_lines(self, lines):
        """Writes out what there is, and from now on by line, or else in blocks."""
        self.flush_all()
        if self.line_buffering != lines:
            try:
                self.reconfigure(line_buffering=lines)
            except Exception:
                pass  # a cell has just broken it, or made something else of it

    def flush_all(self):
        """Flushes, and ends the process if that is not possible any more."""
        try:
            super().flush()
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
        self._flush_c = None
        self._following = False
        self._follow_lock = allocate_lock()
        # Whether there are subshells, whose output is told from the main shell's by who writes.
        self._subshells = False
        self.late = LateText(connection)
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
            self._flush_descriptors()
            return function(*args, **kwargs)

        return flush_and_call

    def flush(self):
        """Writes out what Python code has printed."""
        self.late.send()
        self._flush_descriptors()

    def flush_of(self, execution):
        """Writes out what code of this execution has printed."""
        if execution is self._executions.running:
            self._flush_descriptors()
        else:
            self.late.send()

    def _flush_descriptors(self):
        self.out.flush_all()
        self.err.flush_all()
        self._flush_others()

    def _flush_others(self):
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
            stream.buffer_lines(True)
        self._flush_others()

    def end(self):
        """At the end of a cell: writes out also what C code has printed."""
        self.flush_everything()
        for stream in self.both:
            stream.reopen()

    def flush_everything(self):
        self.flush()
        if self._flush_c is not None:
            self._flush_c(None)

    def tick(self, block):
        """Control thread: writes out what there is, and from now on by line or in blocks. Never waits for a full pipe."""
        select = standard("select")
        writable = select.poll()
        for stream in self.both:
            writable.register(stream.descriptor, select.POLLOUT)
        if [event for _, event in writable.poll(0)] == [select.POLLOUT] * 2:
            for stream in self.both:
                stream.buffer_lines(not block)
        self.late.offer()

    # Late text

    def follow(self, tasks_alive):
        """Looks at who writes, from now on, if anybody can that belongs to an earlier cell. The streams stay the same
        objects, which logging handlers hold: only their `write` and `flush` are hidden.
        """
        self.late.send()
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
            self.late.add(stream.title, owner, text)
            return len(text)

        def flush_as_owner():
            owner = self._executions.owner()
            if owner is not None and owner is not self._executions.running:
                self.late.hasten()
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
            self.late.add(stream.title, execution, text)

    def forget(self):
        """In a forked child: its output is only what it writes to the descriptors."""
        self.late.forget()
        for stream in self.both:
            stream.leave()
        self._follow_lock = allocate_lock()
        if self._following:
            self._following = False
            for stream in self.both:
                self._show(stream)
