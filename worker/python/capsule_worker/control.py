"""The control thread: acts on control frames at once, whatever the main thread does."""

import threading
from _thread import allocate_lock

from .connection import die, die_with_children
from .frames import FrameError, kind_of

# How long a signal may have no effect before it is sent again.
_FIRST_REPEAT_MILLIS = 2
_LAST_REPEAT_MILLIS = 100

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
        # Held while this thread does anything but wait.
        self.resting = allocate_lock()
        # Released when this thread has nothing more to do, if the main thread waits for that.
        self._way = None
        interrupts.make_way = self._make_way

    def start(self):
        self._thread = threading.Thread(target=self._run, name=self.NAME, daemon=True)
        self._executions.start_own_thread(self._thread)

    @property
    def native_id(self):
        """The system's number of the thread."""
        return self._thread.native_id

    def restart(self):
        """In a process that was woken from a snapshot, in which the thread is not."""
        self._incoming.renew()
        self.resting = allocate_lock()
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
            if self.resting.locked() or self._incoming.unread():
                way.acquire(timeout=_WAY_SECONDS)
        finally:
            self._way = None

    def _run(self):
        try:
            while True:
                self._await()
                # Only then is something read: what this thread has not begun with is there to be seen.
                with self.resting:
                    self._act_on_all()
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

    def _await(self):
        delay = _FIRST_REPEAT_MILLIS
        while not self._incoming.waiting(delay if self._unheard() else None):
            with self.resting:
                self._interrupts.signal_again()
                self._subshells.interrupt_again()
            delay = min(2 * delay, _LAST_REPEAT_MILLIS)

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
