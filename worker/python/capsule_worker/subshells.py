"""Subshells (Jupyter enhancement proposal 91): each serves requests of its own on a thread of its own, in the one
namespace, whatever the main thread does.
"""

import threading
import time
from _thread import allocate_lock, get_ident
from collections import deque
from functools import wraps

from .connection import die
from .frames import FrameError
from .interrupts import InterruptsBeside
from .loop import SessionLoop
from .serving import Server
from .stack import with_room

# How long a thread may take from the end of what it serves to its rest.
_PARK_SECONDS = 0.1

_KINDS = ("execute", "complete", "inspect", "is_complete", "comm")


class Subshells:
    """Those that have a thread. A thread begins with the first request for its subshell."""

    def __init__(self, parts, interrupts, loops):
        self._parts = parts
        self._interrupts = interrupts
        self._loops = loops
        self._all = {}
        self._sleeps = False

    # Control thread

    def take(self, kind, header, buffers):
        """Hands on a request. Raises FrameError."""
        name = header.get("subshell")
        if kind not in _KINDS or type(name) is not str:
            raise FrameError(f"{kind} of the subshell {name!r} is not for control")
        subshell = self._all.get(name)
        if subshell is None:
            subshell = self._all[name] = self._begin(name)
        if kind in ("execute", "comm"):
            self._parts.executions.begun += 1
            if not subshell.runs_cells:
                subshell.runs_cells = True
                self._begin_cells()
        subshell.take(kind, header, buffers)

    def _begin(self, name):
        subshell = Subshell(name, self._parts, self._interrupts, self._loops)
        self._parts.executions.start_subshell(subshell.thread)
        return subshell

    def _begin_cells(self):
        """Before the first cell of one: for those that are only asked questions, nobody pays."""
        if not self._sleeps:
            self._sleeps = True
            self._follow_sleep()
        self._parts.streams.follow_subshells(True)

    def _follow_sleep(self):
        """Nothing else could end a sleep in such a thread before its time."""
        sleep = time.sleep
        beside = self._interrupts.beside

        @wraps(sleep)
        def interruptible_sleep(seconds, /):
            here = beside.get(get_ident())
            if here is None or not seconds > 0:
                return sleep(seconds)
            return here.sleep(seconds)

        time.sleep = interruptible_sleep

    def end(self, name):
        """Ends the thread when it has served what was asked of it."""
        subshell = self._all.pop(name, None)
        if subshell is not None:
            subshell.take(None, None, None)
            if not any(other.runs_cells for other in self._all.values()):
                self._parts.streams.follow_subshells(False)

    def cancel(self, promise):
        """False if no subshell has this promise."""
        return any(subshell.cancel(promise) for subshell in self._all.values())

    def unheard(self):
        return any(interrupts.unheard for interrupts in list(self._interrupts.beside.values()))

    def interrupt_again(self):
        for interrupts in list(self._interrupts.beside.values()):
            interrupts.again()

    # Main thread

    def objection(self):
        """Why a copy of the process, in which no thread but the main one is, would be a lie. None if it would not."""
        for subshell in list(self._all.values()):
            subshell.end_turn()
            if not subshell.idle:
                return "a subshell has something to do"
        return None

    def native_ids(self):
        return [subshell.thread.native_id for subshell in list(self._all.values())]

    def forget(self):
        """In a process that was woken from a snapshot: they begin anew when they are wanted."""
        for subshell in self._all.values():
            subshell.forget()
        self._all.clear()
        self._interrupts.beside.clear()
        self._loops.forget()
        self._parts.executions.forget_subshells()
        self._parts.streams.follow_subshells(False)


class Subshell(Server):
    """`take` and `cancel` are for the control thread, the rest is for its own."""

    def __init__(self, name, parts, interrupts, loops):
        super().__init__(parts, None, None)
        self.thread = threading.Thread(
            target=with_room, args=(self._serve,), name=f"capsule-subshell-{name[:8]}", daemon=True
        )
        # Set while the thread waits for a request, and holds nothing that a copy of the process would miss.
        self._parked = threading.Event()
        self.runs_cells = False
        self._shared_interrupts = interrupts
        self._loops = loops
        self._waiting = deque()
        self._promises = set()
        self._arrived = allocate_lock()
        self._arrived.acquire()
        self._ready = threading.Event()

    @property
    def idle(self):
        return self._parked.is_set() and not self._promises

    def end_turn(self):
        """Main thread: waits while it has nothing left to do but to wait itself. The kernel is quicker now and then."""
        if self._settled and not self._waiting and not self.idle:
            self._parked.wait(_PARK_SECONDS)

    def take(self, kind, header, buffers):
        if header is not None:
            self._promises.add(header["id"])
        self._waiting.append((kind, header, buffers))
        if self._arrived.locked():
            self._arrived.release()
        if self._loop is not None:
            self._loop.wake()

    def forget(self):
        """Main thread, in a process in which its own is not."""
        if self._loop is not None:
            self._loop.forget()

    def cancel(self, promise):
        if promise not in self._promises:
            return False
        self._ready.wait()
        self._interrupts.cancel(promise)
        return True

    def _serve(self):
        beside = self._shared_interrupts.beside
        parts = self._parts
        self._interrupts = InterruptsBeside(self._shared_interrupts.shield, parts.promises)
        self._loop = SessionLoop(parts.executions, self._interrupts, parts.streams)
        beside[get_ident()] = self._interrupts
        self._loops.add(self._loop)
        self._ready.set()
        parts.ready.wait()
        try:
            while True:
                kind, header, buffers = self._next()
                if kind is None:
                    break
                self._answer(kind, header, buffers)
                self._promises.discard(header["id"])
            self._loop.close()
            self._loop.forget()
        except FrameError as error:
            die(f"the kernel broke the frame protocol: {error}")
        except BaseException as error:
            die(f"a subshell's thread failed: {error!r}")
        finally:
            beside.pop(get_ident(), None)
            self._loops.remove()

    def _next(self):
        while not self._waiting:
            if self._loop.busy():
                self._loop.rest(lambda: not self._waiting)
            else:
                self._parked.set()
                self._arrived.acquire()
                self._parked.clear()
        return self._waiting.popleft()

    def _begin(self, cell):
        self._parts.executions.begin(cell)

    def _end(self, cell):
        self._parts.streams.flush()
        self._parts.executions.end()
