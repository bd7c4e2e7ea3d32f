"""Threads that libraries keep for the next time, and that have nothing to do until then. They are ended, in such a way that
the library starts another when it wants one: a process with threads cannot be copied. And a process that is kept likewise.
"""

import atexit
import io
import os
import sys
import threading

from .imports import standard

# How long one may take to end, which is next to nothing.
_PATIENCE_SECONDS = 0.1

_OMP_PAUSE_SOFT = 1

# By path, what ends the threads of a copy of OpenMP, None if it cannot be told to.
_openmp = {}

# joblib has its own copy of what multiprocessing has.
_TRACKERS = (
    "multiprocessing.resource_tracker",
    "joblib.externals.loky.backend.resource_tracker",
    "loky.backend.resource_tracker",
)


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
    if pool is not None and pool._thread_name_prefix == "asyncio" and _rests(pool):
        loop._default_executor = None
        _end(pool)


def end_dasks_pools():
    """Of dask, which leaves the threads of its pools after the first computation."""
    module = sys.modules.get("dask.threaded")
    if module is None:
        return
    with module.pools_lock:
        ended = []
        if module.default_pool is not None and _rests(module.default_pool):
            ended.append(module.default_pool)
            module.default_pool = None
        # By thread, and by the number of workers.
        for pools in module.pools.values():
            ended += [pools.pop(number) for number, pool in list(pools.items()) if _rests(pool)]
    for pool in ended:
        atexit.unregister(pool.shutdown)
        _end(pool)


def _rests(pool):
    return pool._work_queue.empty() and pool._idle_semaphore._value == len(pool._threads)


def _end(pool):
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


def find_openmp():
    """Looks for GNU's OpenMP, of which each library brings its own. Whether there are any not known before."""
    try:
        with io.open_code("/proc/self/maps") as file:
            paths = {line.split(maxsplit=5)[5].rstrip() for line in file if b"/libgomp" in line}
    except OSError:
        return False  # a sandbox without /proc
    new = paths - _openmp.keys()
    for path in new:
        _openmp[path] = _pause_of(os.fsdecode(path))
    return any(_openmp[path] is not None for path in new)


def _pause_of(path):
    try:
        # Without ctypes there are no snapshots.
        return standard("ctypes").CDLL(path, os.RTLD_NOLOAD | os.RTLD_LAZY).omp_pause_resource_all
    except (AttributeError, OSError):
        return None  # of GCC 8 or earlier; or not to be found under its name any more


def end_openmp():
    """Ends the threads that the calling one has for loops, until it has the next such loop."""
    for pause in _openmp.values():
        if pause is not None:
            pause(_OMP_PAUSE_SOFT)


def helpers():
    """The pids of processes that libraries keep for the next time, and that end with the one that has started them."""
    pids = {tracker._pid for tracker in _trackers() if tracker._pid is not None}
    server = _fork_server()
    return pids if server is None else {*pids, server._forkserver_pid}


def forget_helpers():
    """In a process that was woken from a snapshot: they would be missed, with a warning or an error."""
    for tracker in _trackers():
        _close(tracker._fd)
        tracker._fd = tracker._pid = None
    server = _fork_server()
    if server is not None:
        _close(server._forkserver_alive_fd)
        server._forkserver_address = server._forkserver_alive_fd = server._forkserver_pid = None


def _trackers():
    """Whoever starts multiprocessing's resource tracker, or joblib's, where it has been started. Some forget its pid by
    themselves when the process is copied.
    """
    found = [getattr(sys.modules.get(name), "_resource_tracker", None) for name in _TRACKERS]
    return [tracker for tracker in found if getattr(tracker, "_fd", None) is not None]


def _fork_server():
    """Whoever starts multiprocessing's server of forks. None if nobody has."""
    found = getattr(sys.modules.get("multiprocessing.forkserver"), "_forkserver", None)
    return None if getattr(found, "_forkserver_pid", None) is None else found


def _close(descriptor):
    try:
        os.close(descriptor)
    except OSError:
        pass  # a cell has closed it
