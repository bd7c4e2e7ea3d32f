"""The control thread: acts on control frames at once, whatever the main thread does."""

from _thread import allocate_lock, get_native_id, stack_size, start_new_thread
from functools import partial
from operator import methodcaller
from time import monotonic

from .connection import die, die_with_children
from .frames import FrameError, kind_of

# How long a signal may have no effect before it is sent again.
_FIRST_REPEAT_SECONDS = 0.002
_LAST_REPEAT_SECONDS = 0.1

# For how long at most the main thread makes way: it may hold what this thread waits for.
_WAY_SECONDS = 0.02


class Control:
    NAME = "capsule-control"

    def __init__(self, incoming, parts, interrupts, subshells, debug):
        self._incoming = incoming
        self._executions = parts.executions
        self._interrupts = interrupts
        self._streams = parts.streams
        self._displays = parts.displays
        self._promises = parts.promises
        self._subshells = subshells
        self._debug = debug
        self._thread = self._former = None
        # Whether it does anything but wait.
        self._acting = False
        # Released when this thread has nothing more to do, if the main thread waits for that.
        self._way = None
        interrupts.make_way = self._make_way
        interrupts.wake = incoming.wake
        parts.streams.late.wake = incoming.wake

    def start(self):
        self._incoming.be_woken()
        self._thread = _Thread(self._run)
        self._thread.go.release()

    def native_ids(self):
        """The system's numbers of the thread and of the one before it, which the system may still be ending."""
        return self._thread.native_id(), self._former

    def pause(self):
        """Main thread: ends the thread, once it has done what it does, and has another ready, which begins when `go_on` is
        called. RuntimeError where the system allows no other; then all is as before.
        """
        ended, self._thread = self._thread, _Thread(self._run, self._thread)
        try:
            self._incoming.wake()
            with ended.gone:
                self._former = ended.native_id()
        except BaseException:
            # Of a cell's signal handler. The other one begins when the first has ended, and not before.
            self.go_on()
            raise

    def go_on(self):
        self._thread.go.release()

    def restart(self):
        """In a process that was woken from a snapshot, in which the thread is not."""
        self._incoming.renew()
        self.start()

    def _make_way(self):
        """Main thread, in a signal's handler: a thread in a loop keeps the interpreter's lock for 5 ms from one that wants
        it. The SIGINT of this thread ends the wait.
        """
        if self._way is not None:
            return
        way = allocate_lock()
        way.acquire()
        try:
            self._way = way
            if self._acting or self._incoming.unread():
                way.acquire(timeout=_WAY_SECONDS)
        finally:
            self._way = None

    def _run(self, thread):
        try:
            # Before the look whether it is to go on.
            self._incoming.forget_wakes()
            while self._thread is thread:
                self._await(thread)
                # Only then is something read: what this thread has not begun with is there to be seen.
                if self._thread is thread:
                    self._acting = True
                    self._act_on_all()
                    self._acting = False
                    self._give_way_back()
        except FrameError as error:
            die(f"the kernel broke the frame protocol: {error}")
        except BaseException as error:
            # Without this thread there would be no interrupt and no end.
            die(f"the control thread failed: {error!r}")

    def _give_way_back(self):
        # What has come meanwhile may be what the main thread makes way for.
        if self._way is not None and not self._incoming.waiting():
            way, self._way = self._way, None
            if way is not None:
                way.release()

    def _await(self, thread):
        """Returns when there is something to read, or that thread is to end."""
        delay = _FIRST_REPEAT_SECONDS
        repeat = monotonic() + delay
        while not self._incoming.waiting(self._millis_left(repeat)):
            # Before the look at what they may have been for.
            self._incoming.forget_wakes()
            if self._thread is not thread:
                return
            if self._unheard() and monotonic() >= repeat:
                self._acting = True
                self._interrupts.signal_again()
                self._subshells.interrupt_again()
                self._acting = False
                delay = min(2 * delay, _LAST_REPEAT_SECONDS)
                repeat = monotonic() + delay
            self._streams.late.offer()

    def _millis_left(self, repeat):
        """Until this thread has something to do, though nothing comes. None if that is never."""
        left = self._streams.late.seconds_left()
        if self._unheard():
            again = repeat - monotonic()
            left = again if left is None else min(left, again)
        return None if left is None else 1000 * max(0, left)

    def _act_on_all(self):
        if not self._incoming.receive():
            die_with_children()
        tick = None
        frame = self._incoming.parser.take()
        while frame is not None:
            if frame[0].get("signal") == "flush":
                tick = frame
            else:
                self._act(*frame)
            frame = self._incoming.parser.take()
        # The last of these, and after all else: it waits for a stream that is being written to.
        if tick is not None:
            self._act(*tick)

    def _unheard(self):
        return self._interrupts.unheard or self._subshells.unheard()

    def _act(self, header, buffers):
        kind = kind_of(header, buffers)
        if kind == ("signal", "cancel"):
            if not self._subshells.cancel(header["id"]):
                self._interrupts.cancel(header["id"])
        elif kind == ("signal", "delivered"):
            self._displays.delivered(header["id"])
        elif kind == ("signal", "flush"):
            if header["buffering"] not in ("line", "block"):
                raise FrameError(f"unknown buffering {header['buffering']!r}")
            # What comes after the end of a cell is not for the next one.
            if self._executions.any_running():
                self._streams.tick(header["buffering"] == "block")
        elif kind == ("resolve", None):
            self._promises.resolve(header["resolve"], header["value"])
        elif kind == ("reject", None):
            self._promises.reject(header["reject"], header["ename"], header["evalue"])
        elif kind == ("open", "debug"):
            self._debug(header["id"], buffers[0])
        elif kind[0] == "open":
            self._subshells.take(kind[1], header, buffers)
        elif kind == ("signal", "end_subshell"):
            self._subshells.end(header["subshell"])
        elif kind == ("signal", "shutdown"):
            self._interrupts.end_worker()
        else:
            raise FrameError(f"{kind[1]} is not for control")


class _Thread:
    """One that has no frame of Python code before `go` is released, nor any more when `gone` is.

    In a fork's child CPython does not free what other threads had their frames in, 16 KiB with a mapping of its own
    (_PyThreadState_DeleteExcept, 3.11 to 3.13). So C alone calls the steps of this thread, one after the other.
    """

    def __init__(self, run, former=None):
        """run: called with this object, once the former thread is gone."""
        self.go = allocate_lock()
        self.gone = allocate_lock()
        self._begun = allocate_lock()
        for lock in (self.go, self.gone, self._begun):
            lock.acquire()
        steps = [get_native_id, self._begun.release, self.go.acquire, partial(run, self), self.gone.release]
        if former is not None:
            steps[3:3] = [former.gone.acquire]
        # Of the steps.
        self._results = []
        # A cell may want small stacks for its own.
        size = stack_size(0)
        try:
            start_new_thread(self._results.extend, (map(methodcaller("__call__"), steps),))
        finally:
            stack_size(size)

    def native_id(self):
        """The system's number of it. Waits until it has begun."""
        with self._begun:
            return self._results[0]
