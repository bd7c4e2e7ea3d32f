"""Promises that the worker opens and the kernel settles."""

from _thread import allocate_lock
from itertools import count


class Rejected(Exception):
    """A promise was rejected."""

    def __init__(self, ename, evalue):
        super().__init__(evalue)
        self.ename = ename


class Promise:
    """Settled once, by the control thread or by the end of its execution; waited for by the thread that opened it."""

    def __init__(self, promise_id, execution):
        self.id = promise_id
        self.execution = execution
        self._value = None
        self._error = None
        self._settled = allocate_lock()
        self._settled.acquire()

    def resolve(self, value):
        self._value = value
        self._settled.release()

    def reject(self, ename, evalue):
        self._error = Rejected(ename, evalue)
        self._settled.release()

    def wait(self):
        """The value. Raises Rejected; in the main thread an interrupt ends the wait."""
        self._settled.acquire()
        if self._error is not None:
            raise self._error
        return self._value


class Promises:
    """The open promises by their ids. Safe for several threads: each change is one step of the dict."""

    def __init__(self):
        self._open = {}
        self._counter = count(1)

    def create(self, execution):
        promise = Promise(f"i{next(self._counter)}", execution)
        self._open[promise.id] = promise
        return promise

    def discard(self, promise):
        """The answer, should it come, is of no interest any more."""
        self._open.pop(promise.id, None)

    def resolve(self, promise_id, value):
        promise = self._open.pop(promise_id, None)
        if promise is not None:
            promise.resolve(value)

    def reject(self, promise_id, ename, evalue):
        promise = self._open.pop(promise_id, None)
        if promise is not None:
            promise.reject(ename, evalue)

    def end(self, execution):
        """Rejects what a thread of this execution still waits for."""
        self._reject_all(execution.id, "EOFError", "the cell that asked for input has ended")

    def interrupt(self, execution_id):
        """Has what waits in this execution end by KeyboardInterrupt."""
        self._reject_all(execution_id, "KeyboardInterrupt", "interrupted")

    def _reject_all(self, execution_id, ename, evalue):
        for promise in list(self._open.values()):
            if promise.execution.id == execution_id:
                self.reject(promise.id, ename, evalue)
