"""The worker: serves requests one by one on the main thread, while its control thread listens."""

import os
import sys
import threading

from . import __version__, connection, frames, sources, tracebacks
from .connection import Connection, Incoming, die
from .control import Control
from .display import Displays
from .engine import PlainEngine
from .executions import Execution, Executions
from .frames import FrameError
from .imports import ImportWatch
from .interrupts import Interrupts
from .loop import SessionLoop
from .promises import Promises
from .stdin import Stdin
from .streams import Streams

_PROTOCOL = 1


def main():
    worker = Worker(*connection.take_descriptors())
    worker.start()
    worker.serve()
    worker.close()


class Worker:
    def __init__(self, requests, descriptor, control):
        self._requests = Incoming(requests)
        self._interrupts = Interrupts()
        self._connection = Connection(descriptor, self._interrupts)
        self._greet(control)
        self._executions = Executions()
        self._streams = Streams(self._connection, self._executions)
        self._displays = Displays(self._connection, self._executions, self._streams, self._interrupts)
        self._promises = Promises()
        self._stdin = Stdin(self._connection, self._executions, self._streams, self._promises)
        self._loop = SessionLoop(self._executions, self._interrupts, self._streams)
        self._engine = PlainEngine(self._displays, self._loop)
