"""The first process of a worker (worker/PROTOCOL.md, section 6). It never runs a cell: it starts the live process, which
does, is told by the system how that and the snapshots end, and tells the kernel. It signals them for the kernel, too.
"""

import os
from _signal import (
    SIG_IGN,
    SIGALRM,
    SIGCHLD,
    SIGHUP,
    SIGINT,
    SIGKILL,
    SIGQUIT,
    SIGTERM,
    SIGUSR1,
    SIGUSR2,
    set_wakeup_fd,
    signal,
)
from fcntl import F_GETFD, fcntl

from . import frames
from .connection import Incoming, die, out_of_reach
from .imports import standard

_ORDERS = 6
_REPORTS = 7
_PR_SET_NAME = 15
_PR_GET_NAME = 16
_PR_SET_CHILD_SUBREAPER = 36

_LANDLOCK_CREATE_RULESET = 444
_LANDLOCK_RESTRICT_SELF = 446
_LANDLOCK_SCOPE_SIGNAL = 2

# The C library, of which all processes have a use; None in a Python without ctypes.
_libc = None

# What a cell may send by mistake; and SIGHUP the system sends when a cell has stopped a process here and dies.
_IGNORED = (SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM)


def start():
    """Forks the live process, and returns in that alone: a descriptor from which a byte can be read as soon as there may
    be snapshots, or nothing when there can be none. None if the kernel does not want a supervisor.
    """
    try:
        for descriptor in (_ORDERS, _REPORTS):
            fcntl(descriptor, F_GETFD)
    except OSError:
        return None
    if os.getpgrp() != os.getpid():
        os.setsid()
    orders = _begin()
    ready, tell = os.pipe()
    _load_libc()
    fenced = _is_fenced_in()
    if os.fork():
        os.close(ready)
        rename(b"supervisor")
        try:
            _supervise(orders, tell)
        finally:
            os._exit(1)
    for descriptor in (_ORDERS, _REPORTS, tell):
        os.close(descriptor)
    # In the same session, by which all processes of the worker are found when the kernel is gone.
    os.setpgid(0, 0)
    if fenced:
        _keep_off_supervisor()
    return out_of_reach(ready)


def _load_libc():
    global _libc
    try:
        _libc = standard("ctypes").CDLL(None)
    except (ImportError, OSError):
        pass  # a Python without it


def rename(name):
    """Names this process otherwise than Python, which is what `pkill python` in a cell means. Returns the name it had."""
    if _libc is None:
        return None
    before = standard("ctypes").create_string_buffer(16)
    _libc.prctl(_PR_GET_NAME, before)
    _libc.prctl(_PR_SET_NAME, name)
    return before.value


def _keep_off_supervisor():
    """Landlock does not keep those whom it fences in from signalling each other: cells get a fence of their own. (Without
    it, in a namespace, the supervisor is the first process, which is out of their reach.)
    """
    if _libc is None:
        return
    ctypes = standard("ctypes")
    # struct landlock_ruleset_attr: no files, no network.
    attributes = (ctypes.c_uint64 * 3)(0, 0, _LANDLOCK_SCOPE_SIGNAL)
    ruleset = _libc.syscall(_LANDLOCK_CREATE_RULESET, attributes, ctypes.sizeof(attributes), 0)
    if ruleset >= 0:
        _libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0)
        os.close(ruleset)


def _is_fenced_in():
    """Whether the kernel, which started this process, cannot be signalled."""
    try:
        os.kill(os.getppid(), 0)
    except OSError:
        return True
    return False


def _begin():
    """Returns when the kernel has taken charge of this process: only what is started afterwards is in its charge, too."""
    orders = Incoming(_ORDERS)
    try:
        first = orders.next()
        if first is None:
            os._exit(0)
        if frames.kind_of(*first) != ("signal", "begin"):
            raise frames.FrameError(f"{first[0]} is not the first order for the supervisor")
    except frames.FrameError as error:
        die(f"the kernel broke the frame protocol: {error}")
    return orders


def _supervise(orders, tell):
    for descriptor in (3, 4, 5):
        os.close(descriptor)
    select = standard("select")
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    set_wakeup_fd(wake)
    signal(SIGCHLD, lambda *_: None)
    for number in _IGNORED:
        signal(number, SIG_IGN)
    if _adopt_orphans():
        os.write(tell, b"1")
    os.close(tell)
    poller = select.poll()
    poller.register(woken, select.POLLIN)
    poller.register(_ORDERS, select.POLLIN)
    while True:
        _report_ended()
        ready = [descriptor for descriptor, _ in poller.poll()]
        if woken in ready:
            os.read(woken, 4096)
        if _ORDERS in ready:
            if not orders.receive():
                _end()
            _follow(orders)


def _adopt_orphans():
    """Snapshots, and live processes that come of them, lose the parent that starts them: so they get this one."""
    try:
        return _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    except AttributeError:
        return False  # a Python without ctypes


def _report_ended():
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        report = b"".join(frames.encode({"signal": "died", "pid": pid, "status": status}))
        try:
            os.write(_REPORTS, report)  # short enough to be written whole
        except OSError:
            _end()


def _follow(orders):
    try:
        order = orders.parser.take()
        while order is not None:
            if frames.kind_of(*order) != ("signal", "kill"):
                raise frames.FrameError(f"{order[0]} is no order for the supervisor")
            pid, number = order[0]["pid"], order[0]["number"]
            try:
                # Never a group, nor all that there is.
                if pid > 1:
                    os.kill(pid, number)
            except ProcessLookupError:
                pass  # it has ended, and is reported
            order = orders.parser.take()
    except frames.FrameError as error:
        die(f"the kernel broke the frame protocol: {error}")


def _end():
    """The kernel is gone. The live process notices that itself; the snapshots are of this process' group, or end with the
    first one of their namespace.
    """
    if os.getpid() != 1:
        os.killpg(os.getpgrp(), SIGKILL)
    os._exit(0)
