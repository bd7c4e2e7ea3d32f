"""The debugger, as Jupyter's front ends ask for it (Jupyter messaging, "Debug request")."""

import os
import sys
from _queue import SimpleQueue
from _thread import allocate_lock

from . import formatting, frames, sources, variables
from .engine import is_installed
from .pydevd_session import Session, hide

# JupyterLab computes the name of a cell's file itself, from these. No such file need exist.
PREFIX, SUFFIX = "/tmp/capsule_cells/", ".py"
SEED = 0xC70F6907

MODULE = "debugpy"
THREAD = "capsule-debugger"
_OWN_FOLDER = os.path.dirname(os.path.abspath(__file__))
# A front end shows them; a cell's own are not longer.
_MAX_SOURCE_BYTES = 2 << 20
_MAX_MESSAGE_BYTES = 16 << 20


class _Refused(Exception):
    """Why a request cannot be answered, for a person."""


def file_name(text):
    return f"{PREFIX}{murmur2(text.encode('utf-8', 'surrogatepass'))}{SUFFIX}"


def murmur2(data, seed=SEED):
    """MurmurHash2 of 32 bits, as JupyterLab's debugger has it."""
    mask, factor = 0xFFFFFFFF, 0x5BD1E995
    value = seed ^ len(data)
    whole = len(data) & ~3
    for start in range(0, whole, 4):
        part = int.from_bytes(data[start : start + 4], "little") * factor & mask
        part = (part ^ part >> 24) * factor & mask
        value = value * factor & mask ^ part
    if whole < len(data):
        value = (value ^ int.from_bytes(data[whole:], "little")) * factor & mask
    value = (value ^ value >> 13) * factor & mask
    return value ^ value >> 15


class Debugger:
    """`request` is for the control thread; cells run within it on the main thread. Requests are served by a thread of
    their own, which ends when there are none; answers of pydevd come on a thread of pydevd's.
    """

    def __init__(self, connection, interrupts, engine):
        self._connection = connection
        self._find_engine = engine
        interrupts.before = self._resume
        self._lock = allocate_lock()
        self._waiting = SimpleQueue()
        self._serving = False
        self._session = None
        self._traced = False
        # Numbers of threads, as pydevd tells them.
        self._threads = set()
        self._stopped = set()
        # By path: what the client wants, and texts that it has told.
        self._breakpoints = {}
        self._texts = {}
        self._explorer = variables.Explorer()

    @property
    def attached(self):
        return self._session is not None

    @property
    def _engine(self):
        return self._find_engine()

    # Requests

    def request(self, promise, data):
        """Control thread."""
        with self._lock:
            self._waiting.put((promise, bytes(data)))
            if self._serving:
                return
            self._serving = True
        threading = sys.modules["threading"]
        thread = threading.Thread(target=self._serve, name=THREAD, daemon=True)
        hide(thread)
        try:
            thread.start()
        except RuntimeError as error:
            self._serving = False
            self._reject(self._waiting.get()[0], error)

    def _serve(self):
        self._find_engine()  # what is imported until there is one must not be disturbed
        while True:
            with self._lock:
                # With pydevd at work it stays: that takes a thread with the number of one that has ended for another.
                if self._session is None and self._waiting.empty():
                    self._serving = False
                    return
            promise, data = self._waiting.get()
            try:
                self._answer(promise, frames.decode_json(data))
            except BaseException as error:
                self._reject(promise, error)

    def _answer(self, promise, request):
        command = request["command"]
        arguments = request.get("arguments") or {}

        def answered(response):
            response = {**response, "type": "response", "request_seq": request["seq"], "command": command}
            response.setdefault("seq", request["seq"])
            response.setdefault("success", True)
            self._resolve(promise, response)

        handler = getattr(self, "_on_" + command, None) if command.isidentifier() else None
        try:
            if handler is not None:
                handler(arguments, answered)
            else:
                self._forward(command, arguments, answered)
        except _Refused as refusal:
            answered({"success": False, "message": str(refusal), "body": {}})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            answered({"success": False, "message": f"{command}: {type(error).__name__}: {error}", "body": {}})

    def _forward(self, command, arguments, answered):
        if self._session is None:
            raise _Refused(f"{command}: the debugger is not started")
        if not self._session.knows(command):
            raise _Refused(f"{command}: this debugger cannot do that")
        self._session.ask(command, arguments, answered)

    def _resolve(self, promise, response):
        try:
            self._connection.send({"resolve": promise}, [_checked(response)])
        except Exception as error:
            self._reject(promise, error)

    def _reject(self, promise, error):
        header = {"reject": promise, "ename": type(error).__name__, "evalue": str(error)[:1000], "traceback": []}
        self._connection.send(header)

    # The start and the end

    def _on_initialize(self, arguments, answered):
        if self._session is None:
            if not is_installed(MODULE):
                raise _Refused(f"debugpy is not installed in {sys.prefix}; install it there: pip install debugpy")
            self._session = Session(self._event, file_name)
        self._session.ask("initialize", arguments, answered)

    def _on_pause(self, arguments, answered):
        if not self._traced:
            raise _Refused("pause: no cell is running")
        self._forward("pause", arguments, answered)

    def _on_attach(self, arguments, answered):
        session = self._session
        if session is None:
            raise _Refused("attach: the debugger is not started")
        # Frames of the worker and of IPython are never a cell's.
        ours = [_OWN_FOLDER, *filter(None, [_folder("IPython")])]
        rules = [{"path": os.path.join(folder, "**"), "include": False} for folder in ours]
        wanted = {key: value for key, value in arguments.items() if key not in ("connect", "logToFile")}
        wanted["rules"] = [*(wanted.get("rules") or []), *rules]

        def attached(response):
            for path, breakpoints in list(self._breakpoints.items()):
                self._set_breakpoints({"source": {"path": path}, "breakpoints": breakpoints}, _ignore)
            session.ask("configurationDone", {}, lambda _: answered(response))

        session.ask("attach", wanted, attached)

    def _on_configurationDone(self, arguments, answered):
        answered({})

    def _on_disconnect(self, arguments, answered):
        self._breakpoints.clear()
        self._detach(answered)

    def _on_terminate(self, arguments, answered):
        self._detach(lambda _: None)
        self._event({"type": "event", "event": "terminated", "seq": 0, "body": {}})
        answered({})

    def _detach(self, answered):
        session = self._session
        if session is not None:
            session.end()
            self._session = None
            self._stopped.clear()
            self._threads.clear()
        answered({})

    # Cells

    def __enter__(self):
        """Main thread, around what runs a cell."""
        if self._session is not None:
            self._traced = True
            self._session.enter()

    def __exit__(self, *_):
        traced, self._traced = self._traced, False
        if self._session is not None:
            self._session.leave()
        elif traced:
            sys.settrace(None)

    def _resume(self):
        """An interrupt ends the cell, and that it is stopped at a breakpoint."""
        if self._session is not None:
            self._session.resume_main()
            self._stopped.clear()

    def forget(self):
        """In a forked child: nobody is there to whom pydevd could speak."""
        if self._session is not None:
            self._session.forget()
            self._session = None

    def _on_dumpCell(self, arguments, answered):
        text = arguments["code"]
        path = file_name(text)
        self._texts[path] = text
        if self._session is not None:
            self._session.know(path)
        answered({"body": {"sourcePath": path}})

    def _on_source(self, arguments, answered):
        path = (arguments.get("source") or {}).get("path")
        text = self._texts.get(path) if path else None
        if text is None and path and path.startswith(PREFIX):
            text = next((text for _, text in sources.cells() if file_name(text) == path), None)
        if text is None and path:
            try:
                with open(path, "rb") as file:
                    text = file.read(_MAX_SOURCE_BYTES).decode("utf-8", "replace")
            except OSError:
                pass  # the answer says so
        if text is None:
            raise _Refused("source unavailable")
        answered({"body": {"content": text}})

    def _on_setBreakpoints(self, arguments, answered):
        path = arguments["source"]["path"]
        wanted = arguments.get("breakpoints") or []
        if wanted:
            self._breakpoints[path] = wanted
        else:
            self._breakpoints.pop(path, None)
        self._set_breakpoints(arguments, answered)

    def _set_breakpoints(self, arguments, answered):
        if self._session is None:
            # They are remembered for the start.
            wanted = arguments.get("breakpoints") or []
            answered({"body": {"breakpoints": [{"verified": False, "line": each.get("line")} for each in wanted]}})
            return
        path = arguments["source"]["path"]
        if path.startswith(PREFIX):
            self._session.know(path)
        self._session.ask("setBreakpoints", {"breakpoints": [], **arguments}, answered)

    # What is going on

    def _event(self, event):
        kind = event.get("event")
        body = event.get("body") or {}
        if kind == "stopped":
            self._stopped.add(body.get("threadId"))
            if body.get("allThreadsStopped"):
                self._stopped |= self._threads
        elif kind == "continued":
            if body.get("allThreadsContinued", True):
                self._stopped.clear()
            else:
                self._stopped.discard(body.get("threadId"))
        elif kind == "thread" and body.get("reason") == "started":
            self._threads.add(body.get("threadId"))
        elif kind == "thread":
            self._threads.discard(body.get("threadId"))
            self._stopped.discard(body.get("threadId"))
        self._send_event(event)

    def _send_event(self, event):
        try:
            data = _checked(event)
        except (ValueError, frames.FrameError):
            return  # a front end can do without it, and pydevd's thread must go on
        self._connection.send({"signal": "debug_event"}, [data])

    def _on_debugInfo(self, arguments, answered):
        answered(
            {
                "body": {
                    "isStarted": self._session is not None,
                    "hashMethod": "Murmur2",
                    "hashSeed": SEED,
                    "tmpFilePrefix": PREFIX,
                    "tmpFileSuffix": SUFFIX,
                    "breakpoints": [
                        {"source": path, "breakpoints": wanted} for path, wanted in self._breakpoints.items()
                    ],
                    "stoppedThreads": sorted(self._stopped),
                    "richRendering": True,
                    "exceptionPaths": ["Python Exceptions"],
                    "copyToGlobals": True,
                }
            }
        )

    def _on_stackTrace(self, arguments, answered):
        def told(response):
            found = (response.get("body") or {}).get("stackFrames")
            if found:
                cells = [index for index, frame in enumerate(found) if _path(frame).startswith((PREFIX, "<"))]
                if cells:
                    # What is below the first frame of a cell has called it.
                    response["body"]["stackFrames"] = found[: cells[-1] + 1]
                    response["body"]["totalFrames"] = cells[-1] + 1
            answered(response)

        self._forward("stackTrace", arguments, told)

    # Variables

    def _on_inspectVariables(self, arguments, answered):
        self._explorer = variables.Explorer()
        answered({"body": {"variables": self._explorer.of_namespace(self._engine.names())}})

    def _on_variables(self, arguments, answered):
        reference = arguments["variablesReference"]
        if reference >= variables.FIRST_REFERENCE:
            answered({"body": {"variables": self._explorer.children(reference)}})
            return

        def told(response):
            found = (response.get("body") or {}).get("variables")
            if found is not None:
                response["body"]["variables"] = [each for each in found if variables.is_wanted(each["name"])]
            answered(response)

        self._forward("variables", arguments, told)

    def _on_richInspectVariables(self, arguments, answered):
        name = arguments["variableName"]
        if not name.isidentifier():
            groups = ("special variables", "function variables", "class variables")
            answered({"success": name in groups, "body": {"data": {}, "metadata": {}}})
            return
        if not self._stopped:
            try:
                data, metadata = self._engine.evaluate(name)
            except Exception as error:
                raise _Refused(f"{name}: {type(error).__name__}: {error}") from None
            answered({"body": _bundle(data, metadata)})
            return
        # In the frame's own thread.
        slot = variables.Slot(self._engine.show)

        def told(response):
            slot.close()
            if response.get("success") and slot.bundle is not None:
                answered({"body": _bundle(*slot.bundle)})
            else:
                nothing = {"data": {}, "metadata": {}}
                answered({"success": False, "message": response.get("message", ""), "body": nothing})

        expression = f"__import__('sys').modules[{variables.__name__!r}].keep({slot.number}, {name})"
        frame = {"frameId": arguments["frameId"]} if "frameId" in arguments else {}
        self._forward("evaluate", {"expression": expression, "context": "clipboard", **frame}, told)

    def _on_copyToGlobals(self, arguments, answered):
        source, target = arguments["srcVariableName"], arguments["dstVariableName"]
        if not target.isidentifier():
            raise _Refused(f"{target!r} is no name")
        wanted = {"expression": f"globals()[{target!r}]", "value": source, "frameId": arguments["srcFrameId"]}
        self._forward("setExpression", wanted, answered)

    def _on_modules(self, arguments, answered):
        modules = list(sys.modules.items())
        first = arguments.get("startModule", 0)
        count = arguments.get("moduleCount") or len(modules)
        told = []
        for index, (name, module) in enumerate(modules[first : first + count], first):
            origin = getattr(getattr(module, "__spec__", None), "origin", None)
            if isinstance(origin, str) and origin.endswith(".py"):
                told.append({"id": index, "name": name, "path": origin})
        answered({"body": {"modules": told, "totalModules": len(modules)}})


def _checked(message):
    """As bytes that the kernel takes. Raises ValueError or FrameError."""
    data = frames.encode_json(message)
    if len(data) > _MAX_MESSAGE_BYTES:
        raise ValueError(f"an answer of {len(data):,} bytes is over the limit of {_MAX_MESSAGE_BYTES:,} bytes")
    frames.decode_json(data)
    return data


def _bundle(data, metadata):
    """As JSON has it."""
    kept = {mime: value for mime, value in metadata.items() if mime in data}
    return frames.decode_json(formatting.json_bytes({"data": data, "metadata": kept}, "the value"))


def _path(frame):
    return (frame.get("source") or {}).get("path") or ""


def _folder(module):
    file = getattr(sys.modules.get(module), "__file__", None)
    return os.path.dirname(file) if file else None


def _ignore(response):
    pass
