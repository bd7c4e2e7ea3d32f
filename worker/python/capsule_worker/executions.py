"""Executions: which one runs, and which one the calling code belongs to."""

import threading
from _thread import _count as thread_count
from _thread import allocate_lock, get_ident
from contextvars import ContextVar
from functools import wraps

# The kernel ends a worker that sends more for one cell. A few frames are left for the cell to end with.
_MAX_FRAMES = 1_000_000 - 10
_MAX_BYTES = (4 << 30) - (300 << 20)

# Of the execution that a piece of code belongs to. Tasks and callbacks of the event loop inherit it.
_owner = ContextVar("capsule_execution", default=None)


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
        self._frames = 0
        self._bytes = 0

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
        if self._frames >= _MAX_FRAMES:
            raise OutputLimit(f"one cell cannot show more than {_MAX_FRAMES:,} things; print them, or show fewer")
        if self._bytes + size > _MAX_BYTES:
            raise OutputLimit(f"one cell cannot show more than {_MAX_BYTES:,} bytes; write them to a file")
        self._frames += 1
        self._bytes += size


class Executions:
    def __init__(self):
        self.running = None
        self.last = None
        # Held to do what only a running execution may do.
        self.not_ending = allocate_lock()
        self._main = get_ident()
        self._own_threads = 0

    def begin(self, execution):
        """Main thread."""
        self.last = self.running = execution
        _owner.set(execution)

    def end(self):
        with self.not_ending:
            self.running = None

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
        return execution is self.running and execution is not None and get_ident() == self._main

    def run_as(self, execution, function, *args, **kwargs):
        token = _owner.set(execution)
        try:
            return function(*args, **kwargs)
        finally:
            _owner.reset(token)

    # Threads

    def start_own_thread(self, thread):
        """Starts the worker's one thread beside the main one."""
        # In a process that was woken from a snapshot, those count that were running when that was made.
        self._own_threads = thread_count() + 1
        thread.start()

    def threads_running(self):
        """Whether cells have threads."""
        return thread_count() > self._own_threads

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
