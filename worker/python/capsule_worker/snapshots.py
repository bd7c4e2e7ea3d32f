"""Snapshots: copies of the live process, forked from it, which sleep until the kernel wakes one in its place.

The parent goes on as the live process, so that locks, timers and children stay its own. A copy has no thread but the
main one; where that would be a lie, none is made.
"""

import io
import os
import sys
from _signal import (
    ITIMER_REAL,
    SIG_BLOCK,
    SIG_DFL,
    SIG_IGN,
    SIG_SETMASK,
    SIGCHLD,
    SIGKILL,
    SIGUSR1,
    getitimer,
    getsignal,
    pthread_sigmask,
    sigtimedwait,
    sigwait,
    valid_signals,
)
from time import perf_counter

from . import frames, idle
from .imports import standard
from .interrupts import has_children
from .supervisor import rename

# Wakes a snapshot, which has every signal blocked.
WAKE = SIGUSR1

# How a process ends that has come of a snapshot, and cannot go on.
_NOT_WOKEN = 86

# One is made in a pause of this length, and where cells come faster, this often: the cell after it pays for the pages that
# it is the first to write to.
_PAUSE_SECONDS = 0.05
_BURST_SECONDS = 2
# And not before so many times as long have passed as the last has taken, which is longer where the machine is busy.
_REST = 40

# So much time at once, and so much of the time that passes, may go into those that cells want which follow each other fast:
# of a process with large libraries, one takes ten times as long as such a cell.
_SECONDS_AT_ONCE = 0.5
_SHARE = 0.25

_MAX_SCANNED_DESCRIPTORS = 4096

_NATIVE_THREADS = "a library has threads of its own running (DuckDB's, for instance), which a copy would wait for in vain"

# Type, whence, start, length, pid; and what fills it up.
_STRUCT_FLOCK = "hhqqi0q"

# The one belongs to the open file, which a copy shares; the other to the process.
_LOCK_OF_FILE = "a file is locked (fcntl.flock), and a copy would keep the lock"
_LOCK_OF_PROCESS = (
    "a file is locked (fcntl.lockf; SQLite in a transaction, or with a write-ahead log), "
    "and a copy would not have the lock"
)

# What a thread takes to begin: a stack, and its own part of the C library's memory.
_ROOM_BYTES = 32 << 20

# A thread that jemalloc, which gives pyarrow its memory, keeps to hand memory back. It puts itself in order for a copy, where
# whoever frees memory does that work.
_ALLOCATORS_THREAD = "jemalloc_bg_thd"

# Keep threads in native code, which nobody starts again in a copy; before they have any, it is too late to tell.
_THREADED = ("polars", "jax", "tensorflow")


class Snapshots:
    """Main thread only."""

    def __init__(self, adopter, descriptors, parts, loop, control, subshells, is_debugged):
        # Whether a fork is one of these, and not a cell's.
        self.forking = False
        self._adopter = adopter
        self._descriptors = descriptors
        # In a process that was woken: the descriptors of cells, as they were when it was copied.
        self._files = None
        self._parts = parts
        self._connection = parts.connection
        self._executions = parts.executions
        self._loop = loop
        self._control = control
        self._subshells = subshells
        self._is_debugged = is_debugged
        self._adopted = None
        # The state that the newest snapshot shows, None if there is none; and why the last attempt was in vain.
        self._kept_state = None
        self._refused = None
        self._told = None
        # Threads of native code that do not end for a fork, as those of OpenBLAS do.
        self._lasting_threads = set()
        # Whether the last cell had to have one before it.
        self._wanted = False
        self._group = os.getppid()
        self._tried = perf_counter()
        self._took = 0
        # How much went into them of late, as of when that was counted.
        self._spent = 0
        self._counted = self._tried

    @property
    def offered(self):
        return self._adopter is not None

    @property
    def _kept(self):
        """Whether there is a snapshot of the state as it is."""
        return self._kept_state == self._executions.begun

    def rest(self, requests):
        """Between two requests: makes a snapshot if there is a pause. True in a process that was woken."""
        if self._kept or not self.offered:
            return False
        pause = 0
        if self._wanted or self._loop.busy():
            # At once while the reply is on its way, if the next cell is likely to want one, as the last did.
            pause = self._seconds_left()
        else:
            since, rest = perf_counter() - self._tried, _REST * self._took
            if since < max(_BURST_SECONDS, rest):
                pause = max(_PAUSE_SECONDS, rest - since)
        # Tasks do not wait for it.
        if pause and (self._loop.busy() or requests.parser.has_frame() or requests.waiting(1 + int(1000 * pause))):
            return False
        return self.keep(urgent=False)

    def catch_up(self, risky, grave):
        """Before what may end the process, and before what may not: makes the snapshot that could not be made after the
        last, or was left out and is wanted now. True in a process that was woken.
        """
        self._wanted = self._refused is not None or risky
        if not self._wanted or not self.offered or self._kept:
            return False
        return (grave or not self._seconds_left()) and self.keep()

    def _seconds_left(self):
        """How long none is to be made, so that cells do not wait for snapshots for most of the time."""
        until = self._counted + (self._spent - _SECONDS_AT_ONCE) / _SHARE
        return max(0, until - perf_counter())

    def keep(self, urgent=True):
        """Makes a snapshot of the state if there is none. True in a process that was woken from it; `refusal` says why
        there is still none.

        urgent: the next cell waits for it, so that it is worth what must be done again.
        """
        if self._kept:
            return False
        self._tried = perf_counter()
        self._refused = self._objection(urgent)
        if self._refused is None:
            pid = self._fork()
            if self._refused is _NATIVE_THREADS and idle.find_openmp():
                idle.end_openmp()
                pid = self._fork()
            if pid is True:
                return True
            now = perf_counter()
            self._took = now - self._tried
            self._spent = max(0, self._spent - _SHARE * (now - self._counted)) + self._took
            self._counted = now
            if pid:
                self._told = None
                self._connection.send({"signal": "snapshot", "after": self._after(), "pid": pid})
                return False
        if self._told != self._refused:
            self._told = self._refused
            self._connection.send({"signal": "no_snapshot", "after": self._after(), "reason": self._refused})
        return False

    @property
    def refusal(self):
        return None if self._kept else self._refused

    def _after(self):
        last = self._executions.last
        return "" if last is None else last.id

    def _objection(self, urgent):
        """Why a copy would not be what the live process is. None if it would."""
        if not self.offered:
            return "the kernel wants none (--snapshots off)"
        if not self._is_adopted():
            return "this Python cannot adopt processes: it has no ctypes"
        if self._is_debugged():
            return "the debugger is attached"
        if self._executions.threads_running():
            self._end_idle_threads(urgent)
        running = self._running_threads()
        if running is not None:
            return running
        if self._loop.busy():
            return "an asyncio task, timer or server is alive"
        busy = self._subshells.objection()
        if busy is not None:
            return busy
        children = _children() if has_children() else []
        if children != []:
            return "a child process is open" + (f" ({', '.join(children[:3])})" if children else "")
        if getitimer(ITIMER_REAL)[0]:
            return "a timer is running (signal.alarm or setitimer)"
        idle.end_openmp()
        if self._lasting_threads and not self._lasting_threads.isdisjoint(self._native_threads()):
            return _NATIVE_THREADS
        for name in _THREADED:
            if name in sys.modules:
                return f"{name} is loaded, which does not work in a copied process"
        if "numba.np.ufunc.omppool" in sys.modules:
            return "numba works with OpenMP, and ends a copied process"
        cuda = sys.modules.get("torch.cuda")
        if cuda is not None and getattr(cuda, "is_initialized", bool)():
            return "CUDA is in use"
        if not _has_room():
            return "too little memory may be mapped for another thread (resource.RLIMIT_AS)"
        return None

    def _running_threads(self):
        if not self._executions.threads_running():
            return None
        threads = [thread.name for thread in sys.modules["threading"].enumerate()]
        named = [name for name in threads if name != "MainThread" and not name.startswith("capsule-subshell")]
        return "a thread is running" + (f" ({', '.join(named[:3])})" if named else "")

    def _end_idle_threads(self, urgent):
        engine = self._parts.engine
        ends = [idle.end_monitors, idle.end_dasks_pools, self._loop.end_idle_threads, engine.end_idle_threads]
        if urgent:
            ends.append(engine.end_late_threads)
        for end in ends:
            # What ends the worker comes afterwards.
            with self._connection.shield:
                try:
                    end()
                except BaseException:
                    pass  # of a library that is made in another way, or that a cell has changed

    def _native_threads(self):
        try:
            threads = {int(name) for name in os.listdir("/proc/self/task")}
        except OSError:
            return set()  # a sandbox without /proc
        threads -= {os.getpid(), *self._control.native_ids(), *self._subshells.native_ids()}
        return {thread for thread in threads if _is_missed(thread)}

    def _is_adopted(self):
        if self._adopted is None:
            self._adopted = bool(os.read(self._adopter, 1))
            os.close(self._adopter)
        return self._adopted

    def _fork(self):
        """The snapshot's pid; None if there is none, and True in a process that was woken from it."""
        mask = pthread_sigmask(SIG_BLOCK, valid_signals())
        try:
            self._control.pause()
            pid = None
            try:
                pid = self._fork_alone()
            finally:
                if pid is not True:
                    self._control.go_on()
            return pid
        except (OSError, RuntimeError) as error:
            self._refused = f"no process can be started: {getattr(error, 'strerror', None) or error}"
            return None
        finally:
            pthread_sigmask(SIG_SETMASK, mask)

    def _fork_alone(self):
        """The same while there is no control thread, which might hold a lock that nobody would release in a copy."""
        # It may have given the debugger or a subshell something to do just now.
        self._refused = self._running_threads() or self._subshells.objection()
        if self._refused is not None:
            return None
        files = _Files(self._descriptors, self._files)
        if files.locked is not None:
            self._refused = files.locked
            return None
        state = self._executions.begun
        # A copied `random` seeds itself anew.
        getstate = getattr(sys.modules.get("random"), "getstate", None)
        numbers = getstate() if getstate is not None else None
        # A new one each time: in another there might be what one that was killed has left.
        told, tell = os.pipe()
        self.forking = True
        try:
            child = os.fork()
            if not child:
                self._become(files, numbers, told, tell)
                return True
        except OSError:
            os.close(told)
            os.close(tell)
            raise
        finally:
            self.forking = False
        os.close(tell)
        self._lasting_threads = self._native_threads()
        self._warm_up()
        pid = self._take_pid(child, told)
        self._kept_state = state if pid else None
        if pid and self._lasting_threads:
            os.kill(pid, SIGKILL)
            self._refused = _NATIVE_THREADS
            self._kept_state = None
            return None
        return pid

    def _take_pid(self, child, told):
        # The child ends at once: what it has started is then no child of this process, which a cell could wait for.
        try:
            os.waitpid(child, 0)
        except ChildProcessError:
            pass  # SIGCHLD is ignored
        if getsignal(SIGCHLD) not in (SIG_DFL, SIG_IGN, None):
            sigtimedwait([SIGCHLD], 0)
        pid = int.from_bytes(os.read(told, 4), "big")
        os.close(told)
        if pid:
            return pid
        self._refused = "no process can be started: a copy could not copy itself"
        return None

    @staticmethod
    def _warm_up():
        """Each page that is written to for the first time after a fork costs 2 µs, and the least cell writes to 100: this
        writes to most of them, in its stead.
        """
        parser = frames.Parser()
        header = {"open": "execute", "id": "k0", "user_expressions": {}, "silent": False}
        parser.feed(b"".join(frames.encode(header, [b"a = 1"])))
        parser.take()
        names = {}
        exec(compile("a = [n for n in (1, 2)]\nb = {str: n for n in a}\ndef f(x): return x", "<rest>", "exec"), names)
        eval(compile("f(len) if False else a", "<rest>", "eval"), names)

    # In the copy

    def cut(self):
        """In a process that was woken, when the worker's own are renewed: how many sockets and pipes cells have lost by it."""
        return self._files.cut()

    def _become(self, files, numbers, told, tell):
        """In the child. Returns in processes that were woken from the snapshot, ready to serve."""
        status = 1
        try:
            os.close(told)
            files.leave()
            copy = os.fork()
            if copy:
                # Out of the live process' group, which a cell may signal.
                os.setpgid(copy, self._group)
                os.write(tell, copy.to_bytes(4, "big"))
                os._exit(0)
            os.close(tell)
            os.setpgid(0, self._group)
            if self._kernel_is_gone():
                # The supervisor has ended its group before this process was of it.
                os._exit(1)
            name = rename(b"snapshot")
            self._sleep()
            status = _NOT_WOKEN
            rename(name)
            os.setpgid(0, 0)
            files.restore()
            self._files = files
            if numbers is not None:
                sys.modules["random"].setstate(numbers)
            idle.forget_helpers()
            self._kept_state = self._executions.begun
            self._refused = self._told = None
        except BaseException:
            # Nothing of a copy may go on as if it were the live process.
            os._exit(status)

    def _kernel_is_gone(self):
        select = standard("select")
        poller = select.poll()
        poller.register(self._descriptors[-1], 0)
        return bool(poller.poll(0))

    def _sleep(self):
        """Returns in a process that is to be the live one. Its parent, which ends, is a child of the snapshot, which
        sleeps on.
        """
        while True:
            sigwait([WAKE])
            child = os.fork()
            if not child:
                if os.fork():
                    os._exit(0)
                return
            os.waitpid(child, 0)


def _has_room():
    """Whether a thread finds the memory that it takes. One that has a stack of a former one begins without, and fails."""
    try:
        mmap = standard("mmap")
        mmap.mmap(-1, _ROOM_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except (OSError, MemoryError, ImportError):
        return False
    return True


def _is_missed(thread):
    """Whether a copy would lack something without this thread of native code."""
    try:
        return _read(f"/proc/self/task/{thread}/comm").strip() != _ALLOCATORS_THREAD
    except OSError:
        return False  # it has ended


def _children():
    """The names of the child processes that a copy would miss. None where they cannot be told."""
    helpers = idle.helpers()
    names = []
    try:
        for pid in _pids_below("self"):
            # multiprocessing's server of forks has its children for this process.
            missed = _pids_below(pid) if pid in helpers else [pid]
            names += [_read(f"/proc/{child}/comm").strip() for child in missed]
    except OSError:
        return None  # a sandbox without /proc
    return names


def _pids_below(process):
    threads = os.listdir(f"/proc/{process}/task")
    return [int(pid) for thread in threads for pid in _read(f"/proc/{process}/task/{thread}/children").split()]


def _read(path):
    with io.open_code(path) as file:
        return file.read().decode("utf-8", "replace")


class _Files:
    """The descriptors of cells, before a copy is made. A file's position is one for all copies, so it is written down."""

    def __init__(self, ours, former):
        # Why a copy would do harm to a file that is locked. None if it would not.
        self.locked = None
        self._positions = {}
        # By descriptor, what it is open to, which may be the same for several.
        self._ends = {}
        # What the ends are replaced with in the copy; and were in the one that this process was.
        self._dead = None
        self._former_dead = None if former is None else former._dead
        stat = standard("stat")
        for descriptor in _descriptors():
            if descriptor <= 2 or descriptor in ours:
                continue
            try:
                status = os.fstat(descriptor)
                mode = status.st_mode
                if stat.S_ISREG(mode):
                    position = os.lseek(descriptor, 0, os.SEEK_CUR)
                    self._positions[descriptor] = position, _identity(status)
                    self.locked = self.locked or _harm_to(descriptor)
                elif stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
                    self._ends[descriptor] = _identity(status)
            except OSError:
                continue  # not open

    def leave(self):
        """In the copy: whoever is at the other end must see the end when the live process closes its own."""
        if self._ends:
            dead, other = os.pipe()
            os.close(other)
            self._dead = _identity(os.fstat(dead))
            for descriptor, end in self._ends.items():
                try:
                    # Libraries may have closed it, or renewed it, after the fork.
                    if _identity(os.fstat(descriptor)) == end:
                        os.dup2(dead, descriptor, inheritable=False)
                except OSError:
                    continue  # closed
            os.close(dead)

    def cut(self):
        """How many have come to their end by that, and not before: those that have been renewed since are not among them."""
        cut = set()
        for descriptor, end in self._ends.items():
            try:
                if end != self._former_dead and _identity(os.fstat(descriptor)) == self._dead:
                    cut.add(end)
            except OSError:
                continue  # closed since
        return len(cut)

    def restore(self):
        for descriptor, (position, identity) in self._positions.items():
            try:
                # What libraries have run after the fork may have closed it, and another have its number (matplotlib's
                # fonts).
                if _identity(os.fstat(descriptor)) == identity:
                    os.lseek(descriptor, position, os.SEEK_SET)
            except OSError:
                continue  # closed since


def _identity(status):
    return status.st_dev, status.st_ino


def _descriptors():
    try:
        return [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        # A sandbox without /proc.
        limit = standard("resource").getrlimit(standard("resource").RLIMIT_NOFILE)[0]
        return range(min(limit, _MAX_SCANNED_DESCRIPTORS))


def _harm_to(descriptor):
    try:
        lines = _read(f"/proc/self/fdinfo/{descriptor}").splitlines()
    except OSError:
        # A sandbox without /proc. Of flock() nothing tells there.
        return _LOCK_OF_PROCESS if _is_locked_for_open_files(descriptor) else None
    locks = [line for line in lines if line.startswith("lock:")]
    if any(" FLOCK " in lock or " OFDLCK " in lock for lock in locks):
        return _LOCK_OF_FILE
    return _LOCK_OF_PROCESS if any(" POSIX " in lock for lock in locks) else None


def _is_locked_for_open_files(descriptor):
    """Whether a process has locked the file, this one or another: that is in the way of a lock that belongs to an open file."""
    fcntl, struct = standard("fcntl"), standard("struct")
    asked = struct.pack(_STRUCT_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, *_ = struct.unpack(_STRUCT_FLOCK, fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked))
    return kind != fcntl.F_UNLCK
