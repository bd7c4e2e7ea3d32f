"""SIGINT: ends what is being served, and nothing else."""

import os
import sys

# The C half of the signal module, whose own would bring `enum` into every worker's boot.
from _signal import SIGINT, SIGURG, getsignal, pthread_kill, signal
from _thread import allocate_lock, get_ident, interrupt_main

from .imports import standard

# So often the control thread asks whether a task has heard that it is cancelled, before it takes the loop for blocked.
_TASK_PATIENCE = 5

# For how long a thread in a loop may keep the interpreter's lock while the control thread looks for processes: each name
# in /proc gives it up.
_LOOK_SWITCH_SECONDS = 1e-5

# Of these, a worker has handlers of its own.
OWN_SIGNALS = frozenset((SIGINT, SIGURG))


class Interrupts:
    """Belongs to the main thread; `cancel` and `end_worker` are for the control thread.

    A SIGINT raises KeyboardInterrupt in blocking code and cancels asynchronous code. It is ignored while nothing is
    served, and put off while the main thread does what must not be torn apart.
    """

    def __init__(self):
        self.ending = False
        # Whether a signal of the control thread has not had an effect yet.
        self.unheard = False
        # What SIGINT has done since the last `begin`.
        self.raised = False
        self.task_cancelled = False
        # Those of subshells, by their threads.
        self.beside = {}
        self.shield = _Shield(self)
        # Called on the main thread before it is interrupted.
        self.before = None
        # Has the control thread look at `unheard`.
        self.wake = None
        # Called there at a SIGURG: lets the control thread have the interpreter's lock.
        self.make_way = None
        self._main = get_ident()
        self._handler = self._handle
        self._lock = allocate_lock()
        # Guarded by the lock: what is served, what was last, and what was cancelled before it came.
        self._serving = None
        self._question = False
        self._last = None
        self._cancelled_early = None
        # The programs of cells that have been told of the cancellation; None if they need not be, or all have been.
        self._told = None
        # Of the main thread, in which the handler runs too.
        self._target = None
        self._armed = False
        self._shields = 0
        self._pending = False
        self._task = None
        # Whether the loop is to cancel the task, and for how much longer it may be busy with something else.
        self._cancelling = False
        self._patience = 0
        self._child = False
        signal(SIGURG, self._handle_urgent)

    def install(self):
        """Cells may set handlers of their own, which hold for that cell."""
        if getsignal(SIGINT) is not self._handler:
            signal(SIGINT, self._handler)

    def begin(self, promise, question=False):
        """From here until `end` a SIGINT raises. Raises itself if the promise has been cancelled already."""
        self.install()
        self._shields = 0
        self.raised = self.task_cancelled = self._cancelling = False
        with self._lock:
            self._serving = promise
            self._target = None
            self._question = question
            self._pending = self._cancelled_early == promise
        self._armed = True
        self._raise_pending()

    def end(self):
        """Raises nothing once it has begun; may be called again."""
        self._armed = False
        with self._lock:
            if self._serving is not None:
                self._last = self._serving
            self._serving = None
            self._question = False
        self._pending = False

    def steps(self, loop, task):
        """While `task` is set, the loop runs it: between its steps, a SIGINT cancels it instead of raising."""
        self._task = (loop, task) if task is not None else None

    def cancel(self, promise):
        with self._lock:
            if promise == self._last:
                return
            if promise != self._serving:
                self._cancelled_early = promise
                if not self._question:
                    return
            self._target = self._serving
            if self._serving is not None:
                self._signal()
                self._told = None if self._question else set()
                self._signal_programs()

    def end_worker(self):
        """Makes the main thread leave by SystemExit."""
        self.ending = True
        self._signal()

    def _signal(self):
        self.unheard = True
        pthread_kill(self._main, SIGINT)

    def _signal_programs(self):
        """Signals what cells have started, as a terminal does: all that is in this process' group."""
        # Most cells have started none: that is found out at once, and looking for them takes the time of an interrupt.
        if self._told is None or os.getpgrp() != os.getpid() or not has_children():
            return
        # C's system() ignores the signal until its program has ended: then it must be known here.
        if self.unheard and not self._cancelling and getsignal(SIGINT) is self._handler:
            interrupt_main()
        programs = _others_in_group()
        if programs is None:
            self._told = None
            _signal_unseen()
            return
        for pid in programs - self._told:
            try:
                os.kill(pid, SIGINT)
            except OSError:
                pass  # it has just ended, or become somebody else's
        self._told |= programs

    def signal_again(self):
        """Control thread: signals once more if the last signal has had no effect, and what a cell has started since.

        A signal is lost on a thread that has given up the interpreter's lock and not yet begun to wait in the system.
        That is where the main thread is when this one has just got the lock from it: in up to 5 of 100 tries.
        """
        with self._lock:
            wanted = self.ending or self._target == self._serving
            # A cell's own handler says nothing of having heard.
            if not wanted or getsignal(SIGINT) is not self._handler:
                self.unheard = False
            elif self._cancelling and self._patience > 0:
                self._patience -= 1
            # Between this look and the signal the main thread has no turn in which it could hear the one before.
            elif self.unheard:
                pthread_kill(self._main, SIGINT)
                if not self.ending:
                    self._signal_programs()

    def forget(self):
        """In a forked child: a SIGINT is what it is in any Python."""
        self._child = True

    def _handle_urgent(self, signum, frame):
        if self.make_way is not None and not self._child:
            self.make_way()

    def _handle(self, signum, frame):
        if self._child:
            raise KeyboardInterrupt
        self.unheard = False
        target, self._target = self._target, None
        if self.ending:
            self._pending = True
        elif target is not None:
            # What it was meant for may have ended since.
            self._pending = self._pending or target == self._serving
        elif self._armed:
            self._pending = True
        if not self._shields:
            self._raise_pending()

    def _raise_pending(self):
        if self._pending and self.ending:
            self._pending = False
            raise SystemExit(0)
        if self._pending and self._armed:
            self._pending = False
            self._interrupt()

    def _interrupt(self):
        if self._task is not None and not self.task_cancelled and not self._cancelling:
            loop, task = self._task
            if not task.get_coro().cr_running:
                self._cancel_task(loop, task)
                return
        self.raised = True
        if self.before is not None:
            self.before()
        raise KeyboardInterrupt

    def _cancel_task(self, loop, task):
        """Has the loop do it after what it is doing now. If that does not end, the next signal raises there."""

        def cancel():
            if self._cancelling and self._task is not None and self._task[1] is task:
                self._cancelling = self.unheard = False
                if not self.task_cancelled:
                    self.task_cancelled = True
                    task.cancel()

        self._target = self._serving
        self._patience = _TASK_PATIENCE
        self._cancelling = self.unheard = True
        loop.call_soon_threadsafe(cancel)
        self.wake()


def has_children():
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _others_in_group():
    """The other processes of this one's group. None where they cannot be seen: /proc is not there, or of another namespace,
    whose numbers mean others here.
    """
    own = os.getpid()
    others = set()
    interval = sys.getswitchinterval()
    try:
        sys.setswitchinterval(_LOOK_SWITCH_SECONDS)
        if os.readlink("/proc/self") != str(own):
            return None
        names = os.listdir("/proc")
    except OSError:
        return None
    finally:
        # It is kept in whole microseconds, and cut off to that.
        sys.setswitchinterval(interval + 5e-7)
    for name in names:
        if name.isdigit() and int(name) != own:
            try:
                if os.getpgid(int(name)) == own:
                    others.add(int(name))
            except OSError:
                pass  # it has just ended
    return others


def _signal_unseen():
    """Signals the group but for this process, which leaves it for that long: its own signal must stay the only one."""
    own = os.getpid()
    try:
        # The supervisor's, where there is one; else this process leads the session, and has to stay.
        os.setpgid(0, os.getpgid(os.getppid()))
        if os.getpgrp() != own:
            os.killpg(own, SIGINT)
    except OSError:
        pass  # nobody else is in it
    finally:
        if os.getpgrp() != own:
            os.setpgid(0, own)


class _Shield:
    """With it, a thread that serves is not interrupted; what came meanwhile is raised at the end."""

    def __init__(self, interrupts):
        self._interrupts = interrupts

    def _here(self):
        """What interrupts the calling thread, None if nothing does."""
        ident = get_ident()
        return self._interrupts if ident == self._interrupts._main else self._interrupts.beside.get(ident)

    def __enter__(self):
        here = self._here()
        if here is not None:
            here._shields += 1

    def __exit__(self, *_):
        here = self._here()
        if here is not None:
            here._shields -= 1
            if not here._shields:
                here._raise_pending()


class InterruptsBeside:
    """Those of a subshell's thread, to which no signal comes: the control thread has KeyboardInterrupt raised in it.

    `begin`, `end` and `steps` are for that thread, the rest for the control thread.
    """

    ending = False

    def __init__(self, shield, promises):
        self.unheard = False
        self.raised = False
        self.task_cancelled = False
        self.shield = shield
        self._promises = promises
        self._ident = get_ident()
        self._lock = allocate_lock()
        self._serving = None
        self._question = False
        self._last = None
        self._cancelled_early = None
        self._pending = False
        # Whether there is an exception that the thread has not come to yet.
        self._coming = False
        self._shields = 0
        self._task = None
        self._patience = 0
        self._wake = allocate_lock()
        self._wake.acquire()
        interrupts = self

        class Interrupt(KeyboardInterrupt):
            """What is raised is made where it is raised, which is how one knows."""

            def __new__(cls, *args):
                interrupts.unheard = interrupts._pending = interrupts._coming = False
                interrupts.raised = True
                interrupts._wake.acquire(False)
                return KeyboardInterrupt(*args)

        self._exception = Interrupt

    def begin(self, promise, question=False):
        """From here until `end` a cancellation raises. Raises itself if the promise has been cancelled already."""
        self._shields = 0
        self.raised = self.task_cancelled = False
        self._wake.acquire(False)
        with self._lock:
            self._serving = promise
            self._question = question
            self._pending = self._cancelled_early == promise
        self._raise_pending()

    def end(self):
        """May be called again."""
        while True:
            try:
                with self._lock:
                    if self._serving is not None:
                        self._last = self._serving
                    self._serving = None
                    self._pending = self.unheard = False
                self._await_coming()
                return
            except KeyboardInterrupt:
                pass  # too late to interrupt anything; and this was the last

    def steps(self, loop, task):
        """While `task` is set, the loop runs it: between steps, a cancellation cancels it instead of raising."""
        self._task = (loop, task) if task is not None else None

    def cancel(self, promise):
        with self._lock:
            if promise == self._last:
                return
            if promise != self._serving:
                self._cancelled_early = promise
                if not self._question:
                    return
            self._pending = self.unheard = True
            self._patience = _TASK_PATIENCE
            task = self._task
            if task is None or self.task_cancelled or not self._cancel_task(*task):
                self._patience = 0
                self._raise()
        self._promises.interrupt(promise)

    def again(self):
        """Raises where the task that was to be cancelled has not come to a pause, or could not be interrupted."""
        with self._lock:
            self._patience -= 1
            if self.unheard and self._patience < 0:
                self._raise()

    def _cancel_task(self, loop, task):
        def cancel():
            if self._task is not None and self._task[1] is task and self._pending:
                self.unheard = self._pending = False
                self.task_cancelled = True
                task.cancel()

        try:
            loop.call_soon_threadsafe(cancel)
        except RuntimeError:
            return False  # the cell has closed it
        return True

    def _raise(self):
        if not self._shields and self._serving is not None:
            self._coming = True
            raise_in(self._ident, self._exception)
            if self._wake.locked():
                self._wake.release()

    def _raise_pending(self):
        if self._pending and self._serving is not None:
            self._pending = self.unheard = False
            self._await_coming()
            self.raised = True
            raise KeyboardInterrupt

    def _await_coming(self):
        """Raises the exception that is to come. To take it back would leave a note of it in CPython 3.11 for good, and
        with that no function begins that is traced, by a debugger for instance.
        """
        if self._coming:
            # In place of the other.
            raise_in(self._ident, self._exception)

    def sleep(self, seconds):
        """As time.sleep() does, which nothing wakes in such a thread."""
        self._wake.acquire(timeout=seconds)


def raise_in(ident, exception):
    """Has an exception raised in a thread when it next runs Python code."""
    try:
        ctypes = standard("ctypes")
    except ImportError:
        return  # a Python without it: the kernel ends the process in the end
    api = ctypes.pythonapi.PyThreadState_SetAsyncExc
    api(ctypes.c_ulong(ident), ctypes.py_object(exception))
