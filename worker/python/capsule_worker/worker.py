"""The worker: serves requests one by one on the main thread, while its control thread listens, and each subshell's
requests on a thread of its own.
"""

import gc
import os
import sys
from _thread import allocate_lock
from _weakref import ref

from . import __version__, frames, sources, supervisor, tracebacks
from .comms import Comms
from .connection import Connection, Incoming, die, die_with_children, take_descriptors
from .control import Control
from .displays import Displays
from .engine import Unavailable, choose, is_installed
from .executions import Execution, Executions
from .frames import FrameError
from .imports import ImportWatch
from .interrupts import Interrupts
from .loop import Loops, SessionLoop
from .promises import Promises
from .risk import Risk, is_grave
from .serving import Parts, Server
from .snapshots import Snapshots
from .stack import with_room
from .stdin import Stdin
from .streams import Streams
from .subshells import Subshells

_PROTOCOL = 1
_OFFERS = ("execute", "complete", "inspect", "is_complete", "comm", "checkpoint", "restore", "subshells")


def main():
    adopter = supervisor.start()
    worker = Worker(adopter, *take_descriptors())
    with_room(worker.serve)
    worker.close()


class Worker(Server):
    """Of the main thread."""

    def __init__(self, adopter, requests, frames_out, control):
        self._descriptors = (requests, frames_out, control)
        self._requests = Incoming(requests)
        interrupts = Interrupts()
        self._connection = Connection(frames_out, interrupts)
        incoming_control = Incoming(control)
        self._greet(incoming_control, adopter is not None)
        executions = Executions()
        streams = Streams(self._connection, executions)
        displays = Displays(self._connection, executions, streams, interrupts)
        displays.install()
        promises = Promises()
        parts = Parts(self._connection, executions, streams, displays, Comms(displays, executions), promises)
        loop = SessionLoop(executions, interrupts, streams)
        super().__init__(parts, interrupts, loop)
        self._loops = loops = Loops(loop)
        self._subshells = Subshells(parts, interrupts, loops)
        self._debugger = None
        # Held until there is an engine.
        self._booting = allocate_lock()
        self._booting.acquire()
        # The control thread must not keep the namespace alive, whose end flushes files.
        owner = ref(self)
        self._control = Control(
            incoming_control,
            parts,
            interrupts,
            self._subshells,
            lambda promise, request: owner()._debug(promise, request),
        )
        self._control.start()
        kept = [*(stream.descriptor for stream in streams.both), *self._descriptors]
        self._snapshots = Snapshots(adopter, kept, parts, loop, self._control, self._subshells, self._is_debugged)
        self._set_up_process(loops)
        try:
            wanted = os.environ.get("CAPSULE_ENGINE") or "auto"
            parts.engine, self._notice = choose(wanted, displays, loops)
        except Unavailable as error:
            die(error)
        self._risk = Risk()
        # All that was made so far stays: no collection need look at it, nor write to what snapshots share.
        gc.freeze()
        self._booting.release()
        self._connection.send({"signal": "ready"})
        streams.load_c()
        parts.ready.set()

    def _greet(self, control, supervised):
        try:
            header, buffers = self._requests.next() or die_with_children()
            if frames.kind_of(header, buffers) != ("signal", "hello"):
                raise FrameError("the first frame is not hello")
            if header["protocol"] != _PROTOCOL:
                die(f"the kernel speaks frame protocol {header['protocol']}, this worker speaks {_PROTOCOL}")
            self._connection.header_limit = frames.limit(header["limits"], "header")
            self._connection.buffers_limit = frames.limit(header["limits"], "buffers")
        except FrameError as error:
            die(f"the kernel broke the frame protocol: {error}")
        # C makes JSON in a fraction of the time, so MessagePack is taken by those only who want it.
        wanted = os.environ.get("CAPSULE_ENCODING") == "msgpack" and "msgpack" in header["encodings"]
        encoding = "msgpack" if wanted else "json"
        self._connection.send(
            {
                "signal": "hello",
                "protocol": _PROTOCOL,
                "encoding": encoding,
                "pid": os.getpid(),
                "language": {"name": "python", "version": sys.version.split()[0].rstrip("+")},
                "implementation": f"capsule_worker {__version__}",
                "offers": [*_OFFERS, *["snapshot"] * supervised, *["debug"] * is_installed("debugpy")],
            }
        )
        if encoding == "msgpack":
            from . import messagepack

            self._connection.encode_header = messagepack.encode
            self._requests.parser.decode_header = control.parser.decode_header = messagepack.decode

    def _set_up_process(self, loops):
        parts = self._parts
        watch = ImportWatch()
        sys.meta_path.insert(0, watch)
        parts.streams.install()
        parts.streams.watch_imports(watch)
        Stdin(self._connection, parts.executions, parts.streams, parts.promises).install(watch)
        parts.executions.follow_threads(watch)
        loops.watch_imports(watch)
        parts.comms.install(watch)
        sources.watch_imports(watch)
        os.register_at_fork(after_in_child=self._forked)
        self._interrupts.install()
        sys.argv = [""]
        sys.path.insert(0, "")

    def serve(self):
        """Serves until the kernel wants the end."""
        while not self._interrupts.ending:
            try:
                try:
                    self._serve(*self._next_request())
                except FrameError as error:
                    die(f"the kernel broke the frame protocol: {error}")
                except BaseException as error:
                    if self._connection.forked:
                        self._leave_child(error)
                    # From what a cell has left behind, such as a signal handler that raises; or the end is wanted.
                    if not self._interrupts.ending:
                        print(*tracebacks.describe(error).traceback, sep="\n", file=self._parts.streams.err)
            except BaseException:
                pass  # the same once more, while the first was told

    def _next_request(self):
        if self._snapshots.rest(self._requests):
            self._revive()
        frame = self._loop.wait(self._requests) if self._loop.busy() else self._requests.next()
        return frame or die_with_children()

    def _serve(self, header, buffers):
        shape, kind = frames.kind_of(header, buffers)
        if kind == "inputs":
            self._add_inputs(header["counts"], buffers)
            return
        if kind == "rest":
            return
        if shape != "open":
            raise FrameError(f"{kind or shape} is not a request")
        if kind == "snapshot":
            self._keep(header["id"])
            return
        if kind in ("execute", "comm", "checkpoint", "restore"):
            risky, grave = self._risk_of(kind, buffers)
            if self._snapshots.catch_up(risky, grave):
                self._revive()
                return
        if kind in ("checkpoint", "restore"):
            self._settled = False
            self._guard(header, self._execute, Execution.without_code(header), getattr(self, "_" + kind), header)
        else:
            self._answer(kind, header, buffers)

    def _risk_of(self, kind, buffers):
        """Whether it may end the process, and whether that is likely."""
        if kind != "execute":
            return True, kind != "comm"
        text = str(buffers[0], "utf-8", "replace")
        risky = self._risk.of(text, self._parts.engine.namespace())
        return risky, risky and is_grave(text)

    # Cells

    def _begin(self, cell):
        parts = self._parts
        parts.executions.begun += 1
        parts.executions.begin(cell)
        parts.displays.begin()
        parts.streams.follow(self._loop.busy())
        parts.streams.begin()
        if self._notice and cell.count:
            print(self._notice, file=sys.stderr)
            self._notice = None

    def _end(self, cell):
        parts = self._parts
        parts.streams.follow(self._loop.busy())
        parts.streams.end()
        parts.executions.end()

    def _run_code(self, text, cell):
        debugger = self._debugger
        if debugger is None:
            return super()._run_code(text, cell)
        with debugger:
            return super()._run_code(text, cell)

    def _execute(self, cell, run, wanted):
        super()._execute(cell, run, wanted)
        if self._parts.engine.wants_rest() and not self._requests.waiting():
            self._parts.engine.rest()

    # Checkpoints

    def _checkpoint(self, cell, header):
        from . import checkpoints

        def send(blob, data):
            self._connection.send({"emit": "part", "id": cell.id, "blob": blob}, [data])

        return self._ended(cell, checkpoints.save(*self._parts.engine.variables(), header["limit"], send))

    def _restore(self, cell, header):
        from . import checkpoints

        def fetch(blob):
            with self._interrupts.shield:
                self._connection.send({"emit": "fetch", "id": cell.id, "blob": blob})
                return self._next_part()

        namespace, _ = self._parts.engine.variables()
        told = checkpoints.restore(namespace, header["names"], header["blobs"], header["packages"], fetch)
        return self._ended(cell, told)

    def _next_part(self):
        try:
            header, buffers = self._requests.next() or die_with_children()
            if frames.kind_of(header, buffers) != ("signal", "supply"):
                raise FrameError("a part was asked for, and something else came")
        except FrameError as error:
            die(f"the kernel broke the frame protocol: {error}")
        return buffers[0], header["last"]

    def _ended(self, cell, told):
        if self._connection.forked:
            self._leave_child(None)
        return [self._connection.encode({"resolve": cell.id, **told})]

    # The debugger

    def _debug(self, promise, request):
        """Control thread."""
        # As what it is known to pydevd, which it must not stop.
        sys.modules["threading"].current_thread().name = self._control.NAME
        if self._debugger is None:
            from .debugger import Debugger

            self._debugger = Debugger(self._connection, self._interrupts, self._started_engine)
        self._debugger.request(promise, request)

    def _started_engine(self):
        """Waits for it."""
        with self._booting:
            return self._parts.engine

    def _is_debugged(self):
        return self._debugger is not None and self._debugger.attached

    # Snapshots

    def _keep(self, promise):
        if self._snapshots.keep():
            self._revive()
        elif self._snapshots.refusal is None:
            self._connection.send({"resolve": promise})
        else:
            told = {"ename": "SnapshotRefused", "evalue": self._snapshots.refusal, "traceback": []}
            self._connection.send({"reject": promise, **told})

    def _revive(self):
        """In a process that was woken from a snapshot: it is the live one now."""
        self._requests.renew()
        self._connection.renew()
        self._loop.renew()
        self._subshells.forget()
        self._control.restart()
        comms = self._parts.comms.open_targets()
        self._connection.send({"signal": "revived", "pid": os.getpid(), "comms": comms, "cut": self._snapshots.cut()})

    def _add_inputs(self, counts, buffers):
        if len(counts) != len(buffers):
            raise FrameError(f"{len(counts)} counts for {len(buffers)} inputs")
        for count, text in zip(counts, buffers):
            self._parts.engine.add_input(str(text, "utf-8", "replace"), count)

    # The end

    def close(self):
        """Lets tasks clean up; exit handlers follow. Threads are not waited for: one that never ends would keep all."""
        self._loop.close()
        self._parts.streams.flush_everything()
        sys.modules["threading"]._shutdown = lambda: None
        # The control thread, which no end reaches, must not keep what is to be finalized.
        self._parts.engine = None

    # Forked children

    def _forked(self):
        """In the child: it has the cell's code to go on with, and nothing to say to the kernel."""
        if self._snapshots.forking:
            return
        for descriptor in self._descriptors:
            try:
                os.close(descriptor)
            except OSError:
                pass  # the cell has closed it
        self._connection.forget()
        self._interrupts.forget()
        self._parts.streams.forget()
        self._loops.end_child(self._leave_child)
        if self._debugger is not None:
            self._debugger.forget()
