"""What serves requests on one thread: the main one's, or a subshell's."""

import os
import sys
import threading

from . import comms, formatting, frames, tracebacks
from .executions import Execution
from .frames import FrameError


_UNTOLD = {"ename": "Untold", "evalue": "an error of which nothing can be told: telling it fails", "traceback": []}


class Parts:
    """What all threads that serve share."""

    def __init__(self, connection, executions, streams, displays, messages, promises):
        self.connection = connection
        self.executions = executions
        self.streams = streams
        self.displays = displays
        self.comms = messages
        self.promises = promises
        self.engine = None
        # Set when cells can be run.
        self.ready = threading.Event()


class Server:
    """Of the thread that it serves on, but for its making."""

    def __init__(self, parts, interrupts, loop):
        self._parts = parts
        self._connection = parts.connection
        self._interrupts = interrupts
        self._loop = loop
        self._settled = False

    def _answer(self, kind, header, buffers):
        """Serves what a main shell and a subshell have in common."""
        self._settled = False
        if kind == "comm":
            self._guard(header, self._handle, header, buffers)
            return
        try:
            text = str(buffers[0], "utf-8")
        except UnicodeDecodeError as error:
            raise FrameError(f"code of {kind} is not UTF-8: {error}") from None
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
            self._parts.executions.end()
            try:
                rejection = self._rejection(header["id"], error)
            except BaseException:
                # A cell has broken what tells of errors.
                rejection = self._connection.encode({"reject": header["id"], **_UNTOLD})
            self._settle([rejection])

    # Cells

    def _begin(self, cell):
        """Before a cell, when nothing interrupts it yet."""

    def _end(self, cell):
        """After it, when nothing interrupts it any more."""

    def _execute(self, cell, run, wanted):
        self._begin(cell)
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
        self._end(cell)
        self._parts.promises.end(cell)
        self._settle(settle)

    def _run(self, cell, text):
        """The frames that end the cell."""
        engine = self._parts.engine
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        result = self._run_code(text, cell)
        if self._connection.forked:
            self._leave_child(None)
        ending = []
        if result is not None and not cell.silent:
            mimes, forms, buffers = formatting.encode(*result)
            header = {"emit": "result", "id": cell.id, "mimes": mimes, "forms": forms}
            ending = [self._connection.encode(header, buffers)]
            cell.account(ending[0])
            # In one write with the end, unless there is something in between.
            if cell.user_expressions or engine.has_more():
                self._parts.streams.flush()
                self._connection.write(ending.pop())
        engine.finish()
        payload = formatting.json_bytes(cell.payload, "payload") if cell.payload else b"[]"
        buffers = [self._evaluate(cell.user_expressions), payload]
        return [*ending, self._connection.encode({"resolve": cell.id}, buffers)]

    def _run_code(self, text, cell):
        return self._parts.engine.execute(text, cell)

    def _evaluate(self, expressions):
        """User expressions and their values as JSON. None can make another fail."""
        items = []
        for name, expression in expressions.items():
            try:
                data, metadata = self._parts.engine.evaluate(expression)
                value = formatting.json_bytes({"status": "ok", "data": data, "metadata": metadata}, expression)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                value = frames.encode_json({"status": "error", **self._parts.engine.describe(error)._asdict()})
            items.append(frames.encode_json(name) + b":" + value)
        return b"{" + b",".join(items) + b"}"

    def _failed(self, cell, error):
        if self._connection.forked:
            self._leave_child(error)
        try:
            self._parts.engine.finish()
        except Exception as another:
            another.__context__ = None
            print(*tracebacks.describe(another).traceback, sep="\n", file=sys.stderr)
        return self._rejection(cell.id, error)

    def _rejection(self, promise, error):
        told = self._parts.engine.describe(error)
        header = {"reject": promise, "ename": told.ename, "evalue": told.evalue, "traceback": told.traceback}
        if self._parts.engine.has_shown(error):
            header["shown"] = True
        return self._connection.encode(header)

    def _settle(self, encoded):
        if self._connection.forked:
            # By a user expression, or what completion has called.
            self._leave_child(None)
        self._settled = True
        self._connection.write([part for parts in encoded for part in parts])

    # Comms

    def _handle(self, header, buffers):
        if header["kind"] not in ("open", "msg", "close") or len(buffers) < 2:
            raise FrameError(f"comm of kind {header['kind']!r} with {len(buffers)} buffers")
        content, metadata, *rest = buffers
        message = comms.message(header["request"], header["kind"], content, metadata, rest)
        self._execute(Execution.of_comm(header), self._handled, message)

    def _handled(self, handling, message):
        self._parts.engine.call(self._parts.comms.handle, message)
        if self._connection.forked:
            self._leave_child(None)
        self._parts.engine.finish()
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
        self._parts.streams.flush()
        self._settle([settle])

    def _complete(self, header, text):
        matches, start, end, types = self._parts.engine.complete(text, header["cursor"])
        return {"matches": matches, "start": start, "end": end, "types": types}, ()

    def _inspect(self, header, text):
        found = self._parts.engine.inspect(text, header["cursor"], header["detail"])
        mimes, forms, buffers = formatting.encode(*(found or ({}, {})))
        return {"found": found is not None, "mimes": mimes, "forms": forms}, buffers

    def _is_complete(self, header, text):
        status, indent = self._parts.engine.is_complete(text)
        return {"status": status} if indent is None else {"status": status, "indent": indent}, ()

    # Forked children

    def _leave_child(self, error):
        """A forked child has come to the end of the cell, and ends as a script does. It must not go on as the worker."""
        code = 0 if error is None else 1
        try:
            if not isinstance(error, SystemExit):
                lines = [] if error is None else tracebacks.describe(error).traceback
            elif error.code is None or isinstance(error.code, int):
                code, lines = (error.code or 0) & 0xFF, []
            else:
                lines = [error.code]
            if lines:
                print(*lines, sep="\n", file=sys.stderr)
            self._parts.streams.flush_everything()
        finally:
            # Also when it has closed its output, or is interrupted.
            os._exit(code)
