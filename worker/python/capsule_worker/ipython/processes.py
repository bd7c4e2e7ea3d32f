"""Programs that cells run by `!`."""

import codecs
import os
import subprocess
import sys
import threading
from signal import SIGINT, SIGKILL

from ..streams import Stream

_READ_BYTES = 64 << 10
# How long an interrupted program may take to end by itself.
_END_SECONDS = 1.0


def system(command, uninterrupted):
    """Runs a command in a shell. Its output goes where a print would, errors too, so that both stay in order.

    Returns its exit status, or the negative number of the signal that ended it. An interrupt ends it, and comes only
    when it is known which process that is.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # Of a subshell, nobody could tell whose the raw output is.
    direct = isinstance(sys.stdout, Stream) and threading.current_thread() is threading.main_thread()
    process = None
    try:
        with uninterrupted:
            process = subprocess.Popen(
                command,
                shell=True,
                executable=os.environ.get("SHELL"),
                stdin=subprocess.DEVNULL,
                stdout=None if direct else subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if not direct:
            _copy(process.stdout)
        # Not process.wait(), which thinks that a program hears of an interrupt by itself.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    except BaseException:
        if process is not None:
            _end(process)
        raise
    status = process.wait()
    # A shell's way to say by which signal its last program ended.
    return 128 - status if status > 128 else status


def _copy(pipe):
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    with pipe:
        while data := os.read(pipe.fileno(), _READ_BYTES):
            sys.stdout.write(decoder.decode(data))
    sys.stdout.write(decoder.decode(b"", final=True))


def _end(process):
    try:
        os.killpg(process.pid, SIGINT)
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, SIGKILL)
        process.wait()
    except ProcessLookupError:
        process.wait()  # it has ended by itself
