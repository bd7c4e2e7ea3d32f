"""Executions: which one runs, and which one the calling code belongs to."""

import threading
from _thread import _count as thread_count
from _thread import allocate_lock, get_ident
from contextvars import ContextVar
from functools import wraps
from time import monotonic

# The kernel ends a worker that sends more for one cell. Some frames are left for text, and for the cell to end with.
_MAX_FRAMES = 1_000_000 - 150_000
_MAX_BYTES = (4 << 30) - (300 << 20)
# So much more the kernel allows in each second that passes.
_MORE_FRAMES = 1_000
_MORE_BYTES = 2 << 20

# Of the execution that a piece of code belongs to. Tasks and callbacks of the event loop inherit it.
_owner = ContextVar("capsule_execution", default=None)


def _forget(thread):
    """Of a thread that was left behind by a fork. What it was started with is never freed, and so neither is this."""
    getattr(threading, "_dangling", set()).discard(thread)
    for name in ("_capsule_execution", "_target", "_args", "_kwargs", "_invoke_excepthook"):
        vars(thread).pop(name, None)


class OutputLimit(ValueError):
    """A cell wants to send more than the protocol allows."""


class Execution:
    """One cell's run."""

    def __init__(self, header):
        self.id = header["id"]
        # What the front end calls it, and of what kind it is there.
        self.request = header["request"]
        self.msg_type = "execute_request"
        self.count = header["execution_count"]
        self.silent = header["silent"]
        self.store_history = header["store_history"] and not self.silent
        self.allow_stdin = header["allow_stdin"]
        self.user_expressions = header["user_expressions"]
        self.payload = []
        # Whether the cell itself runs, and in which thread.
        self.running = False
        self.thread = None
        # How much was sent for it, less what was allowed in the time since then.
        self._frames = 0
        self._bytes = 0
        self._counted = monotonic()

    @classmethod
    def without_code(cls, header):
        """One that runs what the kernel wants, and shows nothing."""
        unseen = {"request": "", "execution_count": 0, "silent": True, "store_history": False, "allow_stdin": False}
        return cls({**header, **unseen, "user_expressions": {}})

    @classmethod
    def of_comm(cls, header):
        """Of the handling of a comm's message, which is like a cell's run, but none that counts."""
        unseen = {"execution_count": 0, "silent": False, "store_history": False, "allow_stdin": False}
        handling = cls({**header, **unseen, "user_expressions": {}})
        handling.msg_type = "comm_" + header["kind"]
        return handling

    def account(self, parts):
        """Counts an encoded frame that is about to be sent. Raises OutputLimit."""
        size = sum(map(len, parts))
        self.check(size)
        if self._frames >= _MAX_FRAMES:
            raise OutputLimit(f"one cell cannot show more than {_MAX_FRAMES:,} things; print them, or show fewer")
        self.charge(size)

    def check(self, size):
        """Whether a frame of text of so many bytes may be sent. Raises OutputLimit."""
        now = monotonic()
        passed, self._counted = now - self._counted, now
        self._frames = max(0, self._frames - _MORE_FRAMES * passed)
        self._bytes = max(0, self._bytes - _MORE_BYTES * passed)
        if self._bytes + size > _MAX_BYTES:
            raise OutputLimit(f"one cell cannot show more than {_MAX_BYTES:,} bytes; write them to a file")

    def charge(self, size):
        self._frames += 1
        self._bytes += size


class Executions:
    def __init__(self):
        self.running = None
        self.last = None
        # How many have begun or are about to.
        self.begun = 0
        # Held to do what only a running execution may do.
        self.not_ending = allocate_lock()
        self._main = get_ident()
        # Those of subshells that run, by their threads.
        self._beside = {}
        # The subshells' threads, and how many there seem to be beside these and those of cells: the control thread, at
        # first.
        self._subshells = []
        self._ghosts = 1

    def begin(self, execution):
        """In the thread that runs it: the main one, or a subshell's."""
        execution.thread = get_ident()
        execution.running = True
        if execution.thread == self._main:
            self.running = execution
        else:
            self._beside[execution.thread] = execution
        self.last = execution
        _owner.set(execution)

    def end(self):
        """In that thread; may be called again."""
        with self.not_ending:
            if get_ident() == self._main:
                execution, self.running = self.running, None
            else:
                execution = self._beside.pop(get_ident(), None)
            if execution is not None:
                execution.running = False

    def any_running(self):
        return self.running is not None or bool(self._beside)

    def forget_subshells(self):
        """In a process that was woken from a snapshot, which has their threads no more."""
        self._beside.clear()
        for thread in self._subshells:
            _forget(thread)
        # Those count that were running when the snapshot was made; and the control thread begins anew.
        self._subshells.clear()
        self._ghosts = thread_count() + 1

    def owner(self):
        """The execution that the calling code belongs to, None if that is unknown."""
        execution = _owner.get()
        if execution is None:
            # threading.current_thread() would make up an object for a thread that is not its own.
            thread = threading._active.get(get_ident())
            execution = getattr(thread, "_capsule_execution", None)
        return execution

    @staticmethod
    def owner_in(context):
        return context.get(_owner)

    def current(self):
        """The execution to which output of the calling code goes, None before the first."""
        return self.owner() or self.running or self.last

    def runs_here(self, execution):
        """Whether the caller is the thread that runs this very cell."""
        return execution is not None and execution.running and execution.thread == get_ident()

    def run_as(self, execution, function, *args, **kwargs):
        token = _owner.set(execution)
        try:
            return function(*args, **kwargs)
        finally:
            _owner.reset(token)

    # Threads

    def start_subshell(self, thread):
        """Starts the thread of one."""
        self._subshells.append(thread)
        thread.start()

    def threads_running(self):
        """Whether cells have threads."""
        own = self._subshells
        if own:
            own[:] = [thread for thread in own if thread.ident is None or thread.is_alive()]
        return thread_count() > self._ghosts + len(own)

    def follow_threads(self, watch):
        """Makes threads belong to the execution that starts them, and what a pool runs to the one that submits it."""
        start = threading.Thread.start
        executions = self

        @wraps(start)
        def start_owned(self):
            self._capsule_execution = executions.owner()
            return start(self)

        threading.Thread.start = start_owned
        watch.when_loaded("concurrent.futures.thread", self._follow_pools)

    def _follow_pools(self, module):
        submit = module.ThreadPoolExecutor.submit
        executions = self

        @wraps(submit)
        def submit_owned(self, fn, /, *args, **kwargs):
            return submit(self, executions.run_as, executions.owner(), fn, *args, **kwargs)

        module.ThreadPoolExecutor.submit = submit_owned
