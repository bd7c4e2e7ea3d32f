"""Event loops: each thread that serves has one, which runs asynchronous cells, and background tasks between cells.

asyncio is imported by the first cell that needs it: it would be most of a worker's boot.
"""

import sys
from _thread import get_ident
from functools import wraps

from . import idle, tracebacks
from .imports import standard


class SessionLoop:
    """Of one thread only, but for `wake`."""

    def __init__(self, executions, interrupts, streams):
        self._executions = executions
        self._interrupts = interrupts
        self._streams = streams
        self._loop = None
        self._own_files = 0
        self._beside = False
        self._untold = []
        self._resting = False
        self._between_cells = False

    def asyncio_loaded(self):
        # From the start, so that asyncio.get_event_loop() never makes another one.
        self._get()
        if self._beside:
            self._pretend()

    def prepare(self):
        """Imports asyncio and makes the loop."""
        standard("asyncio")
        return self._get()

    def restore(self):
        """Makes it this thread's loop again, if there is one: asyncio.run() and cells may have set another."""
        if "asyncio" in sys.modules:
            self._get()

    def _get(self):
        asyncio = sys.modules["asyncio"]
        if self._loop is None or self._loop.is_closed():
            self._loop = asyncio.new_event_loop()
            self._loop.set_task_factory(self._make_task)
            self._loop.set_exception_handler(self._report)
            self._own_files = len(self._files())
        asyncio.set_event_loop(self._loop)
        return self._loop

    # Cells

    def run(self, coroutine):
        """Runs a cell's coroutine to its end. An interrupt between two of its steps cancels it."""
        loop = self.prepare()
        asyncio = sys.modules["asyncio"]
        task = loop.create_task(coroutine)
        self._interrupts.steps(loop, task)
        try:
            while True:
                try:
                    return loop.run_until_complete(task)
                except asyncio.CancelledError as cancelled:
                    interrupt = self.interrupt_in(cancelled)
                    if interrupt is None:
                        raise
                    raise interrupt from None
                except BaseException as error:
                    if task.done() or self._interrupts.ending:
                        raise
                    # It came from another task, which it has ended, or something has stopped the loop.
                    if isinstance(error, KeyboardInterrupt) and self._interrupts.raised:
                        if self._interrupts.task_cancelled:
                            raise  # this task does not want to end: it becomes a background task
                        self._interrupts.raised, self._interrupts.task_cancelled = False, True
                        task.cancel()
        finally:
            self._interrupts.steps(None, None)
            if task.done() and not task.cancelled():
                task.exception()  # it is raised above: nobody need be told that it was not looked at

    def run_beside(self, function, *args, **options):
        """Calls a function that need not be asynchronous, as if the loop ran: asyncio.create_task() works, and what it
        makes runs as soon as the loop does. That is how cells run in other kernels. Unlike there, the function can run
        the loop itself.
        """
        self._beside = True
        try:
            if "asyncio" in sys.modules:
                self._pretend()
            return function(*args, **options)
        finally:
            self._beside = False
            if "asyncio" in sys.modules:
                sys.modules["asyncio"]._set_running_loop(None)

    def _pretend(self):
        loop = self._get()
        for name in ("run_until_complete", "run_forever"):
            if name not in vars(loop):
                setattr(loop, name, self._run_really(loop, name))
        sys.modules["asyncio"]._set_running_loop(loop)

    @staticmethod
    def _run_really(loop, name):
        asyncio = sys.modules["asyncio"]

        def run(*args):
            before = asyncio._get_running_loop()
            pretended = before is loop and not loop.is_running()
            if pretended:
                asyncio._set_running_loop(None)
            try:
                # Looked up now: nest_asyncio replaces the methods of the class.
                return getattr(type(loop), name)(loop, *args)
            finally:
                if pretended:
                    asyncio._set_running_loop(before)

        return run

    def uninterrupted(self):
        """With it, this thread is not interrupted; what came meanwhile is raised at the end."""
        return self._interrupts.shield

    def interrupt_in(self, error):
        """The KeyboardInterrupt that a cancelled cell is to end with, None if nobody interrupted it."""
        if not self._interrupts.task_cancelled:
            return None
        asyncio = sys.modules["asyncio"]
        if not isinstance(error, asyncio.CancelledError):
            return None
        while isinstance(error.__context__, asyncio.CancelledError):
            error = error.__context__  # where the cell waited, before Python 3.11
        return KeyboardInterrupt().with_traceback(error.__traceback__)

    def _make_task(self, loop, coroutine, **options):
        task = sys.modules["asyncio"].Task(coroutine, loop=loop, **options)
        task._capsule_execution = self._executions.owner()
        return task

    def _report(self, loop, context):
        """What nobody waited for goes to the cell that made it, but later: this may be called by a garbage collection,
        which comes in the midst of anything.
        """
        if isinstance(context.get("exception"), KeyboardInterrupt):
            return  # whoever interrupted the task knows
        source = context.get("task") or context.get("future")
        execution = getattr(source, "_capsule_execution", None)
        if execution is None and "handle" in context:
            execution = self._executions.owner_in(context["handle"]._context)
        self._untold.append((execution or self._executions.current(), context))
        if loop.is_running():
            loop.call_soon(self.tell)

    def tell(self):
        """Writes what was reported since the last time."""
        while self._untold:
            execution, context = self._untold.pop(0)
            lines = tracebacks.lines_of_loop(context)
            if context.get("exception") is not None:
                lines += tracebacks.describe(context["exception"]).traceback
            self._streams.write_as(execution, self._streams.err, "\n".join(lines) + "\n")

    def run_nested(self, run, main, options):
        """asyncio.run() while this loop may be running a cell: on a loop of its own, as in any program."""
        asyncio = sys.modules["asyncio"]
        outer = asyncio._get_running_loop()
        if outer is None or outer is not self._loop:
            try:
                return run(main, **options)
            finally:
                self._get()
        task = asyncio.current_task(outer)
        asyncio._set_running_loop(None)
        if task is not None:
            asyncio.tasks._leave_task(outer, task)
        try:
            return run(main, **options)
        finally:
            if task is not None:
                asyncio.tasks._enter_task(outer, task)
            asyncio._set_running_loop(outer)
            self._get()

    # Between cells

    def busy(self):
        """Whether something of earlier cells waits in the loop: tasks, timers, servers."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return False
        try:
            if loop._ready or loop._scheduled or len(self._files()) > self._own_files:
                return True
        except AttributeError:
            return True  # a loop of another kind: let it run
        return bool(sys.modules["asyncio"].all_tasks(loop))

    def end_idle_threads(self):
        """Ends those that earlier cells have left behind, if they have nothing to do."""
        if self._loop is not None:
            idle.end_pool(self._loop)

    def _files(self):
        return self._loop._selector.get_map() or ()

    def wait(self, incoming):
        """Runs the loop until a whole frame is there. Returns it, or None at the end of the channel."""
        loop = self._loop
        ended = False

        def read():
            nonlocal ended
            # A task that ends the loop's turn by SystemExit leaves this callback over for the next: it comes twice.
            if incoming.waiting():
                ended = not incoming.receive()
            loop.stop()

        frame = incoming.parser.take()
        if frame is not None:
            # Nothing to wait for, but the tasks get their turn.
            loop.call_soon(loop.stop)
            self._run_forever()
            return frame
        loop.add_reader(incoming.descriptor, read)
        try:
            while frame is None and not ended:
                self._run_forever()
                frame = incoming.parser.take()
        finally:
            loop.remove_reader(incoming.descriptor)
        return frame

    def rest(self, waits):
        """Runs the loop until `wake`, if `waits()` says that there is something to wait for."""
        self._resting = True
        try:
            if waits():
                self._run_forever()
        finally:
            self._resting = False

    def wake(self):
        """Any thread: ends a `rest`. It need not be resting."""
        loop = self._loop
        if loop is not None:
            try:
                loop.call_soon_threadsafe(self._stop, loop)
            except RuntimeError:
                pass  # closed, so nobody waits in it

    def _stop(self, loop):
        if self._resting:
            loop.stop()

    def _run_forever(self):
        self._between_cells = True
        try:
            self._loop.run_forever()
        except (KeyboardInterrupt, SystemExit):
            # A task's own, which has ended that task only.
            if self._interrupts.ending:
                raise
        finally:
            self._between_cells = False

    def end_child(self, leave):
        """In a forked child of this thread: `leave(error)` ends it after the step of a task that has made it, if that is run
        between cells.
        """
        if not self._between_cells:
            return
        task = sys.modules["asyncio"].current_task(self._loop)

        def leave_with_error():
            leave(task.exception() if task is not None and task.done() and not task.cancelled() else None)

        self._loop.call_soon(leave_with_error)

    def renew(self):
        """In a process that was woken from a snapshot: what the loop waits with is shared with other copies."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        try:
            ends = loop._ssock, loop._csock
            shared = loop._selector
            loop._selector = type(shared)()
            loop._internal_fds -= 1
            loop._make_self_pipe()
        except AttributeError:
            self._loop = None  # a loop of another kind: it gets another
            return
        shared.close()
        for end in ends:
            end.close()

    def forget(self):
        """When this one's thread has ended, or is not in a process that was woken from a snapshot."""
        if self._loop is not None:
            self._loop.close()

    def close(self):
        """At the worker's orderly end: tasks are cancelled, so that they can clean up."""
        loop = self._loop
        if loop is None or loop.is_closed() or loop.is_running():
            return
        asyncio = sys.modules["asyncio"]
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())


class Loops:
    """The loops of all threads that serve: to whoever calls, that of its thread, and else the main thread's."""

    def __init__(self, main):
        self._by_thread = {get_ident(): main}
        self._main = main

    def add(self, loop):
        self._by_thread[get_ident()] = loop

    def remove(self):
        self._by_thread.pop(get_ident(), None)

    def forget(self):
        """In a process that was woken from a snapshot: only the main thread is there."""
        self._by_thread = {get_ident(): self._main}

    def _here(self):
        return self._by_thread.get(get_ident(), self._main)

    def end_child(self, leave):
        self._here().end_child(leave)

    def prepare(self):
        return self._here().prepare()

    def run(self, coroutine):
        return self._here().run(coroutine)

    def run_beside(self, function, *args, **options):
        return self._here().run_beside(function, *args, **options)

    def uninterrupted(self):
        return self._here().uninterrupted()

    def interrupt_in(self, error):
        return self._here().interrupt_in(error)

    def watch_imports(self, watch):
        watch.when_loaded("asyncio", self._asyncio_loaded)
        watch.when_loaded("asyncio.runners", self._follow_run)

    def _asyncio_loaded(self, _):
        # New loops are for the threads that serve.
        loop = self._by_thread.get(get_ident())
        if loop is not None:
            loop.asyncio_loaded()

    def _follow_run(self, runners):
        run = runners.run

        @wraps(run)
        def run_nested(main, **options):
            loop = self._by_thread.get(get_ident())
            return run(main, **options) if loop is None else loop.run_nested(run, main, options)

        runners.run = run_nested
