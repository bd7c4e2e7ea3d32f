"""Threads that libraries keep for the next time, and that have nothing to do until then. They are ended, in such a way that
the library starts another when it wants one: a process with threads cannot be copied. And a process that is kept likewise.
"""

import atexit
import os
import sys
import threading

# How long one may take to end, which is next to nothing.
_PATIENCE_SECONDS = 0.1


def end_monitors():
    """Of tqdm, which leaves one after the first bar."""
    module = sys.modules.get("tqdm._monitor")
    if module is None:
        return
    for thread in threading.enumerate():
        # It has been told before where it could not end: somebody keeps the lock that it wants.
        if isinstance(thread, module.TMonitor) and not thread.tqdm_cls._instances and not thread.was_killed.is_set():
            thread.was_killed.set()
            thread.join(_PATIENCE_SECONDS)
            atexit.unregister(thread._atexit_signal)


def end_pool(loop):
    """Of `asyncio.to_thread()`, which leaves the threads of a pool that is the loop's own."""
    pool = loop._default_executor
    # Not one that a cell has given to the loop: it may use that elsewhere, too.
    if pool is None or pool._thread_name_prefix != "asyncio":
        return
    if pool._work_queue.empty() and pool._idle_semaphore._value == len(pool._threads):
        loop._default_executor = None
        pool.shutdown(wait=False)
        for thread in pool._threads:
            thread.join(_PATIENCE_SECONDS)


def end_loop(loop):
    """Ends a loop that runs in a thread of its own, and the thread. False if it has something to do.

    Whoever uses the loop must have forgotten it by then, or do so.
    """
    threads = [thread for thread in threading.enumerate() if thread.ident == loop._thread_id]
    # The one file that is always there wakes the loop.
    if not threads or loop._ready or loop._scheduled or len(loop._selector.get_map()) > 1:
        return False
    if sys.modules["asyncio"].all_tasks(loop):
        return False
    loop.call_soon_threadsafe(loop.stop)
    threads[0].join(_PATIENCE_SECONDS)
    if not loop.is_running():
        loop.close()
    return True


def tracker():
    """Whoever starts multiprocessing's resource tracker, which ends with the process that did. None if nobody has."""
    module = sys.modules.get("multiprocessing.resource_tracker")
    found = getattr(module, "_resource_tracker", None)
    return None if getattr(found, "_pid", None) is None else found


def forget_tracker():
    """In a process that was woken from a snapshot: it would be missed, with a warning."""
    found = tracker()
    if found is not None:
        os.close(found._fd)
        found._fd = found._pid = None
