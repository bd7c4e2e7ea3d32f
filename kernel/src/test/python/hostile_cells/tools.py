"""What hostile cells have in common. Copied into the workspace; nothing in it is trusted there."""

import array
import ctypes
import errno
import fcntl
import json
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
from pathlib import Path

with open("facts/facts.json") as _file:
    FACTS = json.load(_file)
globals().update({name: value for name, value in FACTS.items() if name.isupper()})

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def call(name, *arguments):
    """A system call, by its name."""
    converted = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result = _libc.syscall(ctypes.c_long(FACTS["calls"][name]), *converted)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def attempt(function, *arguments, **options):
    """What came of it, in a word: the error, what the function returns if that is a word, or `did`."""
    try:
        result = function(*arguments, **options)
    except OSError as error:
        return errno.errorcode.get(error.errno, type(error).__name__)
    except BaseException as error:
        return type(error).__name__
    return result if isinstance(result, str) else "did"


def attempts(*thunks):
    return " ".join(attempt(thunk) for thunk in thunks)


def forked(function, *arguments):
    """The same, of a child, whose end costs nothing and whose changes of itself are gone."""
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        os.write(theirs, attempt(function, *arguments).encode())
        os._exit(0)
    os.close(theirs)
    said = os.read(ours, 1000).decode()
    os.close(ours)
    _, status = os.waitpid(child, 0)
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else said


def show(path, limit=4096):
    """Prints what is in a file, so that it leaves the sandbox."""
    with open(path, "rb") as file:
        text = file.read(limit)
    print(text.decode(errors="replace"))
    return "did" if text else "empty"


def listed(path):
    print(os.listdir(path))
    return "did" if os.listdir(path) else "empty"


def opened(path, flags=os.O_RDONLY):
    """Opens and closes: nothing is read or written."""
    os.close(os.open(path, flags))


def writable(path):
    opened(path, os.O_WRONLY)


def plantable(directory):
    """Makes a file in a directory, one without a name, which leaves no trace."""
    opened(directory, os.O_WRONLY | os.O_TMPFILE)


def removed(path):
    """Undoes what an attempt has made."""
    try:
        os.unlink(path)
    except IsADirectoryError:
        os.rmdir(path)
    return "did"


def moved_and_back(source, target):
    os.rename(source, target)
    os.rename(target, source)


def processes():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def found(condition):
    return "found" if condition else "nothing"


def connection():
    """The worker's own connection to the kernel."""
    import gc

    gc.unfreeze()
    return next(each for each in gc.get_objects() if type(each).__name__ == "Connection" and hasattr(each, "_write_all"))


def execution():
    """The id of the running execution."""
    import gc

    gc.unfreeze()
    return next(each for each in gc.get_objects() if type(each).__name__ == "Executions").running.id


def later_execution(count):
    """The id that an execution may get, after so many others."""
    worker, _, number = execution().rpartition(".")
    return f"{worker}.{int(number) + count}"


def forge(header, *buffers):
    """Sends a frame as the worker would."""
    connection().send(header, buffers)
    return "did"


def forge_bytes(data):
    while data:
        data = data[os.write(connection()._descriptor, data) :]


def connect(family, address, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as made:
        made.settimeout(2)
        made.connect(address)
        made.sendall(b"hostile")
