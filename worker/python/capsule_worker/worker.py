"""The worker: serves requests one by one on the main thread, while its control thread listens."""

import os
import sys
from _thread import allocate_lock
from _weakref import ref

from . import __version__, comms, formatting, frames, sources, supervisor, tracebacks
from .comms import Comms
from .connection import Connection, Incoming, die, die_with_children, take_descriptors
from .control import Control
from .displays import Displays
from .engine import Unavailable, choose, is_installed
from .executions import Execution, Executions
from .frames import FrameError
from .imports import ImportWatch
from .interrupts import Interrupts
from .loop import SessionLoop
from .promises import Promises
from .snapshots import Snapshots
from .stdin import Stdin
from .streams import Streams

_PROTOCOL = 1
_OFFERS = ("execute", "complete", "inspect", "is_complete", "comm", "checkpoint", "restore")


def main():
    adopter = supervisor.start()
    worker = Worker(adopter, *take_descriptors())
    worker.serve()
    worker.close()


class Worker:
    """Of the main thread."""

    def __init__(self, adopter, requests, frames_out, control):
        self._descriptors = (requests, frames_out, control)
        self._requests = Incoming(requests)
        self._interrupts = Interrupts()
        self._connection = Connection(frames_out, self._interrupts)
        incoming_control = Incoming(control)
        self._greet(incoming_control, adopter is not None)
        self._executions = Executions()
        self._streams = Streams(self._connection, self._executions)
        self._displays = Displays(self._connection, self._executions, self._streams, self._interrupts)
        self._displays.install()
        self._comms = Comms(self._displays, self._executions)
        self._promises = Promises()
        self._loop = SessionLoop(self._executions, self._interrupts, self._streams)
        self._child = False
        self._debugger = None
        # Held until there is an engine.
        self._booting = allocate_lock()
        self._booting.acquire()
        self._settled = False
        # The control thread must not keep the namespace alive, whose end flushes files.
        owner = ref(self)
        self._control = Control(
            incoming_control,
            self._executions,
            self._interrupts,
            self._streams,
            self._displays,
            self._promises,
            lambda promise, request: owner()._debug(promise, request),
        )
        self._control.start()
        self._snapshots = Snapshots(
            adopter, self._descriptors, self._connection, self._executions, self._loop, self._control, self._is_debugged
        )
        self._set_up_process()
        try:
            wanted = os.environ.get("CAPSULE_ENGINE") or "auto"
            self._engine, self._notice = choose(wanted, self._displays, self._loop)
        except Unavailable as error:
            die(error)
        self._booting.release()
        self._connection.send({"signal": "ready"})
        self._streams.load_c()

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

    def _set_up_process(self):
        watch = ImportWatch()
        sys.meta_path.insert(0, watch)
        self._streams.install()
        self._streams.watch_imports(watch)
        Stdin(self._connection, self._executions, self._streams, self._promises).install(watch)
        self._executions.follow_threads(watch)
        self._loop.watch_imports(watch)
        self._comms.install(watch)
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
                    # From what a cell has left behind, such as a signal handler that raises; or the end is wanted.
                    if not self._interrupts.ending:
                        print(*tracebacks.describe(error).traceback, sep="\n", file=self._streams.err)
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
        if shape != "open":
            raise FrameError(f"{kind or shape} is not a request")
        if kind == "snapshot":
            self._keep(header["id"])
            return
        self._settled = False
        if kind in ("comm", "checkpoint", "restore"):
            if self._snapshots.catch_up("()"):
                self._revive()
            elif kind == "comm":
                self._guard(header, self._handle, header, buffers)
            else:
                self._guard(header, self._execute, Execution.without_code(header), getattr(self, "_" + kind), header)
            return
        try:
            text = str(buffers[0], "utf-8")
        except UnicodeDecodeError as error:
            raise FrameError(f"code of {kind} is not UTF-8: {error}") from None
        if kind == "execute" and self._snapshots.catch_up(text):
            self._revive()
            return
        if kind == "execute":
            self._guard(header, self._execute, Execution(header), self._run, text)
        else:
            self._guard(header, self._question, kind, header, text)

    def _guard(self, header, serve, *arguments):
        try:
            serve(*arguments)
        except BaseException as error:
            if self._settled:
                raise
            # Whatever it was, the kernel waits.
            self._interrupts.end()
            self._executions.end()
            self._settle([self._rejection(header["id"], error)])

    # Cells

    def _execute(self, cell, run, wanted):
        self._snapshots.changed()
        self._executions.begin(cell)
        self._displays.begin()
        self._streams.follow(self._loop.busy())
        self._streams.begin()
        if self._notice and cell.count:
            print(self._notice, file=sys.stderr)
            self._notice = None
        try:
            try:
                self._interrupts.begin(cell.id)
                settle = run(cell, wanted)
            except BaseException as error:
                settle = [self._failed(cell, error)]
        except BaseException as interrupt:
            # It came while the failure was told, and what made that take so long is in its context.
            self._interrupts.end()
            interrupt.__context__ = None
            settle = [self._rejection(cell.id, interrupt)]
        self._interrupts.end()
        self._loop.restore()
        self._loop.tell()
        self._streams.follow(self._loop.busy())
        self._streams.flush_everything()
        self._executions.end()
        self._promises.end(cell)
        self._settle(settle)
        if self._engine.wants_rest() and not self._requests.waiting():
            self._engine.rest()

    def _run(self, cell, text):
        """The frames that end the cell."""
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        debugger = self._debugger
        if debugger is None:
            result = self._engine.execute(text, cell)
        else:
            with debugger:
                result = self._engine.execute(text, cell)
        if self._child:
            self._leave_child(None)
        ending = []
        if result is not None and not cell.silent:
            mimes, forms, buffers = formatting.encode(*result)
            header = {"emit": "result", "id": cell.id, "mimes": mimes, "forms": forms}
            ending = [self._connection.encode(header, buffers)]
            cell.account(ending[0])
            # In one write with the end, unless there is something in between.
            if cell.user_expressions or self._engine.has_more():
                self._streams.flush()
                self._connection.write(ending.pop())
        self._engine.finish()
        payload = formatting.json_bytes(cell.payload, "payload") if cell.payload else b"[]"
        buffers = [self._evaluate(cell.user_expressions), payload]
        return [*ending, self._connection.encode({"resolve": cell.id}, buffers)]

    def _evaluate(self, expressions):
        """User expressions and their values as JSON. None can make another fail."""
        items = []
        for name, expression in expressions.items():
            try:
                data, metadata = self._engine.evaluate(expression)
                value = formatting.json_bytes({"status": "ok", "data": data, "metadata": metadata}, expression)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                value = frames.encode_json({"status": "error", **self._engine.describe(error)._asdict()})
            items.append(frames.encode_json(name) + b":" + value)
        return b"{" + b",".join(items) + b"}"

    def _failed(self, cell, error):
        if self._child:
            self._leave_child(error)
        try:
            self._engine.finish()
        except Exception as another:
            another.__context__ = None
            print(*tracebacks.describe(another).traceback, sep="\n", file=sys.stderr)
        return self._rejection(cell.id, error)

    def _rejection(self, promise, error):
        told = self._engine.describe(error)
        header = {"reject": promise, "ename": told.ename, "evalue": told.evalue, "traceback": told.traceback}
        if self._engine.has_shown(error):
            header["shown"] = True
        return self._connection.encode(header)

    def _settle(self, encoded):
        self._settled = True
        self._connection.write([part for parts in encoded for part in parts])

    # Checkpoints

    def _checkpoint(self, cell, header):
        from . import checkpoints

        def send(blob, data):
            self._connection.send({"emit": "part", "id": cell.id, "blob": blob}, [data])

        return self._ended(cell, checkpoints.save(*self._engine.variables(), header["limit"], send))

    def _restore(self, cell, header):
        from . import checkpoints

        def fetch(blob):
            with self._interrupts.shield:
                self._connection.send({"emit": "fetch", "id": cell.id, "blob": blob})
                return self._next_part()

        namespace, _ = self._engine.variables()
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
        if self._child:
            self._leave_child(None)
        return [self._connection.encode({"resolve": cell.id, **told})]
    # Comms

    def _handle(self, header, buffers):
        if header["kind"] not in ("open", "msg", "close") or len(buffers) < 2:
            raise FrameError(f"comm of kind {header['kind']!r} with {len(buffers)} buffers")
        content, metadata, *rest = buffers
        message = comms.message(header["request"], header["kind"], content, metadata, rest)
        self._execute(Execution.of_comm(header), self._handled, message)

    def _handled(self, handling, message):
        self._engine.call(self._comms.handle, message)
        if self._child:
            self._leave_child(None)
        self._engine.finish()
        return [self._connection.encode({"resolve": handling.id}, [b"{}", b"[]"])]

    # Questions

    def _question(self, kind, header, text):
        try:
            self._interrupts.begin(header["id"], question=True)
            answer, buffers = getattr(self, "_" + kind)(header, text)
            settle = self._connection.encode({"resolve": header["id"], **answer}, buffers)
        except BaseException as error:
            settle = self._rejection(header["id"], error)
        finally:
            self._interrupts.end()
        self._streams.flush()
        self._settle([settle])

    def _complete(self, header, text):
        matches, start, end = self._engine.complete(text, header["cursor"])
        return {"matches": matches, "start": start, "end": end}, ()

    def _inspect(self, header, text):
        found = self._engine.inspect(text, header["cursor"], header["detail"])
        mimes, forms, buffers = formatting.encode(*(found or ({}, {})))
        return {"found": found is not None, "mimes": mimes, "forms": forms}, buffers

    def _is_complete(self, header, text):
        status, indent = self._engine.is_complete(text)
        return {"status": status} if indent is None else {"status": status, "indent": indent}, ()

    # The debugger

    def _debug(self, promise, request):
        """Control thread."""
        if self._debugger is None:
            from .debugger import Debugger

            self._debugger = Debugger(self._connection, self._interrupts, self._started_engine)
        self._debugger.request(promise, request)

    def _started_engine(self):
        """Waits for it."""
        with self._booting:
            return self._engine

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
        self._control.restart()
        self._connection.send({"signal": "revived", "pid": os.getpid(), "comms": self._comms.open_targets()})

    def _add_inputs(self, counts, buffers):
        if len(counts) != len(buffers):
            raise FrameError(f"{len(counts)} counts for {len(buffers)} inputs")
        for count, text in zip(counts, buffers):
            self._engine.add_input(str(text, "utf-8", "replace"), count)

    # The end

    def close(self):
        """Lets tasks clean up; exit handlers follow. Threads are not waited for: one that never ends would keep all."""
        self._loop.close()
        self._streams.flush_everything()
        sys.modules["threading"]._shutdown = lambda: None

    # Forked children

    def _forked(self):
        """In the child: it has the cell's code to go on with, and nothing to say to the kernel."""
        if self._snapshots.forking:
            return
        self._child = True
        for descriptor in self._descriptors:
            try:
                os.close(descriptor)
            except OSError:
                pass  # the cell has closed it
        self._connection.forget()
        self._interrupts.forget()
        self._streams.forget()
        if self._debugger is not None:
            self._debugger.forget()

    def _leave_child(self, error):
        """A forked child has come to the end of the cell. It must not go on as the worker."""
        code = 0 if error is None else 1
        if isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) else bool(error.code)
        elif error is not None:
            print(*tracebacks.describe(error).traceback, sep="\n", file=sys.stderr)
        self._streams.flush_everything()
        os._exit(code)
