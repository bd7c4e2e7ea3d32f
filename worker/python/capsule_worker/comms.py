"""Comms: what widgets of cells and their other half in the front end say to each other (Jupyter messaging, "Custom
Messages"). Needs nothing of ipykernel; what libraries look for is put where they do: in the packages `comm` and
`ipykernel.comm` once a cell imports them, and at `get_ipython().kernel`.

Which thread handles a message is the caller's matter.
"""

import os
import sys

from . import formatting
from .imports import standard

# The kernel refuses longer names.
_MAX_NAME_CHARS = 256
# Of more, a process that was woken from a snapshot tells the latest.
_MAX_TOLD = 20_000

_comms = None


class Comm:
    """One line between a front end and cells. Both ends may open it; each hears what the other sends."""

    def __init__(
        self,
        target_name="comm",
        data=None,
        metadata=None,
        buffers=None,
        comm_id=None,
        primary=True,
        target_module=None,
        topic=None,
        _open_data=None,
        _close_data=None,
        **kwargs,
    ):
        self.comm_id = comm_id or os.urandom(16).hex()
        self.primary = primary
        self.target_name = target_name or "comm"
        self.target_module = target_module
        self.topic = topic or f"comm-{self.comm_id}".encode("ascii", "replace")
        self._open_data = _open_data or {}
        self._close_data = _close_data or {}
        self._msg_callback = self._close_callback = None
        self._closed = True
        for name in (self.comm_id, self.target_name):
            if not isinstance(name, str) or len(name) > _MAX_NAME_CHARS:
                raise ValueError(f"the id and target of a comm are strings of up to {_MAX_NAME_CHARS} characters")
        if primary:
            self.open(data, metadata, buffers)
        else:
            self._closed = False

    @property
    def kernel(self):
        return kernel()

    def open(self, data=None, metadata=None, buffers=None):
        """Open it in the front ends, which the constructor does."""
        _comms.register_comm(self)
        try:
            self.publish_msg("comm_open", self._open_data if data is None else data, metadata, buffers)
        except Exception:
            _comms.unregister_comm(self)
            raise
        self._closed = False

    def send(self, data=None, metadata=None, buffers=None):
        self.publish_msg("comm_msg", data, metadata, buffers)

    def close(self, data=None, metadata=None, buffers=None, deleting=False):
        if self._closed:
            return
        self._closed = True
        try:
            self.publish_msg("comm_close", self._close_data if data is None else data, metadata, buffers)
        finally:
            _comms.comms.pop(self.comm_id, None)

    def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **keys):
        _comms.publish(self, msg_type, data, metadata, buffers or ())

    def on_msg(self, callback):
        """Have this called with each message from the front end."""
        self._msg_callback = callback

    def on_close(self, callback):
        self._close_callback = callback

    def handle_msg(self, msg):
        if self._msg_callback is not None:
            self._msg_callback(msg)

    def handle_close(self, msg):
        if self._close_callback is not None:
            self._close_callback(msg)


class Comms:
    """The comms of this process, by the names that libraries know their manager's parts by. Any thread: each change is
    one step of a dict.
    """

    def __init__(self, displays, executions):
        self.comms = {}
        self.targets = {}
        self._displays = displays
        self._executions = executions

    def install(self, watch):
        """Makes these the comms of the functions below, and of the libraries that cells import."""
        global _comms
        _comms = self
        watch.when_loaded("comm", self._serve_comm)
        watch.when_loaded("ipykernel.comm", self._serve_ipykernel)
        # It makes itself what `comm` is to use.
        watch.when_loaded("ipykernel.ipkernel", lambda _: self._serve_comm(sys.modules.get("comm")))

    def _serve_comm(self, package):
        # Anybody may have a module of this name.
        if hasattr(package, "get_comm_manager"):
            package.create_comm = Comm
            package.get_comm_manager = lambda: self

    @staticmethod
    def _serve_ipykernel(package):
        package.Comm = package.comm.Comm = Comm

    # What libraries call

    def register_target(self, target_name, f):
        """Have f(comm, msg), or what has this dotted name, called when a front end opens a comm for the target."""
        if isinstance(f, str):
            module, _, name = f.rpartition(".")
            f = getattr(standard("importlib").import_module(module), name)
        self.targets[target_name] = f

    def unregister_target(self, target_name, f):
        return self.targets.pop(target_name)

    def register_comm(self, comm):
        self.comms[comm.comm_id] = comm
        return comm.comm_id

    def unregister_comm(self, comm):
        del self.comms[comm.comm_id]

    def get_comm(self, comm_id):
        return self.comms.get(comm_id)

    # From the front end

    def handle(self, message):
        """Has a message of a front end handled. Raises what its handler raises."""
        getattr(self, message["msg_type"])(None, None, message)

    def comm_open(self, stream, ident, msg):
        content = msg["content"]
        comm = Comm(content.get("target_name"), comm_id=content["comm_id"], primary=False)
        self.register_comm(comm)
        opened = False
        try:
            target = self.targets.get(comm.target_name)
            if target is not None:
                target(comm, msg)
                opened = True
        finally:
            if not opened:
                comm.close()

    def comm_msg(self, stream, ident, msg):
        comm = self.comms.get(msg["content"]["comm_id"])
        if comm is not None:
            comm.handle_msg(msg)

    def comm_close(self, stream, ident, msg):
        comm = self.comms.pop(msg["content"]["comm_id"], None)
        if comm is not None:
            comm._closed = True
            comm.handle_close(msg)

    # To the front ends

    def publish(self, comm, msg_type, data, metadata, buffers):
        kind = msg_type.partition("_")[2]
        fields = {"kind": kind, "comm_id": comm.comm_id}
        if kind == "open":
            fields["target_name"] = comm.target_name
        parts = [
            formatting.json_bytes({} if data is None else data, "data of a comm"),
            formatting.json_bytes(metadata, "metadata of a comm") if metadata else b"{}",
            *map(_flat, buffers),
        ]
        # A finalizer may close a comm in the midst of anything, and must not wait.
        self._displays.emit("comm", fields, parts, waits=kind != "close")

    def open_targets(self):
        """The targets of the open comms by their ids."""
        return {comm_id: comm.target_name for comm_id, comm in list(self.comms.items())[-_MAX_TOLD:]}

    # What is being served

    def parent(self):
        """The request whose handling the calling code is part of, as Jupyter's message without its content."""
        execution = self._executions.current()
        return {} if execution is None else _message(execution.request, execution.msg_type)


class Kernel:
    """What libraries that know ipykernel ask of its kernel."""

    @property
    def comm_manager(self):
        return _comms

    def get_parent(self, channel=None):
        return _comms.parent()

    @property
    def _parent_header(self):
        return _comms.parent()


_kernel = Kernel()


def kernel():
    return _kernel


def parent():
    return _comms.parent()


def message(request, kind, content, metadata, buffers):
    """A front end's message as its handler gets it. Content and metadata are JSON. Raises ValueError."""
    read = standard("json").loads
    told = _message(request, f"comm_{kind}")
    told.update(content=read(str(content, "utf-8")), metadata=read(str(metadata, "utf-8")), buffers=buffers)
    return told


def _message(msg_id, msg_type):
    header = {"msg_id": msg_id, "msg_type": msg_type}
    return {"header": header, **header, "parent_header": {}, "metadata": {}, "content": {}, "buffers": []}


def _flat(buffer):
    """The bytes of a buffer; those of what lies in memory in one piece are not copied."""
    view = memoryview(buffer)
    return view.cast("B") if view.c_contiguous and view.nbytes else view.tobytes()
