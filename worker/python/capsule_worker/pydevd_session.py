"""pydevd, which debugpy brings, in this process, spoken to in the Debug Adapter Protocol.

It speaks that protocol itself, on what it takes for a socket. Here that is an object in memory: there is no adapter
process, no port and no address, so it works where a worker may have no sockets at all.
"""

import os
import sys
from _queue import SimpleQueue
from _thread import allocate_lock

from . import frames, sources
from .imports import standard

# Set, it keeps pydevd from warning of modules that are frozen into Python.
_VALIDATION = "PYDEVD_DISABLE_FILE_VALIDATION"
_END_SECONDS = 2
# Behind that of any cell.
_LAST_LINE = 1 << 30


class Session:
    """pydevd from its start to its end."""

    def __init__(self, event, file_name):
        """event: told of each. file_name: of a cell's text."""
        self._event = event
        self._file_name = file_name
        self._lock = allocate_lock()
        self._asked = {}
        self._seq = 0
        self._wire = _Wire(self._received)
        self._names = {}
        for thread in sys.modules["threading"].enumerate():
            if thread.name.startswith("capsule-"):
                hide(thread)
        validated = os.environ.get(_VALIDATION)
        os.environ[_VALIDATION] = "1"
        try:
            standard("debugpy.server")
        finally:
            if validated is None:
                del os.environ[_VALIDATION]
        self._pydevd = pydevd = sys.modules["pydevd"]
        self._constants = sys.modules["_pydevd_bundle.pydevd_constants"]
        # JupyterLab asks for the thread 1 always.
        schema = sys.modules["_pydevd_bundle._debug_adapter.pydevd_base_schema"].BaseSchema
        schema.initialize_ids_translation()
        main = sys.modules["threading"].main_thread()
        # It may be that of another process, of which this one is a copy.
        self._constants.clear_cached_thread_id(main)
        schema._translate_id_to_dap(self._constants.get_thread_id(main))
        self._before = set(sys.modules["threading"].enumerate())
        start_client, pydevd.start_client = pydevd.start_client, lambda host, port: self._wire
        try:
            pydevd.settrace(
                host="memory",
                port=0,
                suspend=False,
                block_until_connected=True,
                wait_for_ready_to_run=False,
                patch_multiprocessing=False,
                notify_stdin=False,
            )
        finally:
            pydevd.start_client = start_client
        self._db = self._constants.get_global_debugger()
        self._db.disable_tracing()  # of this thread
        self._json = sys.modules["_pydevd_bundle.pydevd_process_net_command_json"]
        self._api = sys.modules["_pydevd_bundle.pydevd_api"].PyDevdAPI()
        sources.watch(self.compiled)
        for name, text in sources.cells():
            self.compiled(name, text)

    def knows(self, command):
        """pydevd does not answer what it does not know."""
        return hasattr(self._json.PyDevJsonCommandProcessor, f"on_{command.lower()}_request")

    def ask(self, command, arguments, answered):
        with self._lock:
            self._seq += 1
            seq = self._seq
            self._asked[seq] = answered
        self._wire.feed({"type": "request", "seq": seq, "command": command, "arguments": arguments})

    def _received(self, message):
        """A thread of pydevd's."""
        if message.get("type") == "event":
            self._event(message)
        elif message.get("type") == "response":
            with self._lock:
                answered = self._asked.pop(message.get("request_seq"), None)
            if answered is not None:
                answered(message)

    # Files

    def know(self, path):
        """Lets breakpoints be set in a cell that may not have been compiled yet."""
        if path not in self._names:
            self._map(path, f"<not run: {path}>")

    def compiled(self, name, text):
        """A cell's text has got the name under which it is compiled."""
        self._map(self._file_name(text), name)

    def _map(self, path, name):
        if self._names.get(path) == name:
            return
        self._names[path] = name
        # IPython leaves out empty lines at the beginning; what Python compiles has the rest.
        shift = sources.lines_left_out(name)
        entry = self._api.SourceMappingEntry(1 + shift, _LAST_LINE, 1, name)
        with self._db._main_lock:
            self._api.set_source_mapping(self._db, path, [entry])

    # The main thread

    def enter(self):
        self.resume_main()
        self._db.enable_tracing()

    def leave(self):
        self._db.disable_tracing()
        self.resume_main()

    def resume_main(self):
        """It is not stopped, nor to be stopped."""
        info = getattr(sys.modules["threading"].main_thread(), "additional_info", None)
        if info is not None:
            info.pydev_state = self._constants.STATE_RUN
            info.pydev_step_cmd = info.pydev_original_step_cmd = -1
            info.pydev_step_stop = None

    # The end

    def forget(self):
        """In a forked child."""
        self._db.disable_tracing()
        monitoring = getattr(sys, "monitoring", None)
        if monitoring is not None:
            monitoring.set_events(monitoring.DEBUGGER_ID, 0)
        sources.watch(None)

    def end(self):
        sources.watch(None)
        self._db.enable_output_redirection(False, False)
        self._api.request_disconnect(self._db, resume_threads=True)
        self._pydevd.stoptrace()
        self._wire.close()
        threads = set(sys.modules["threading"].enumerate()) - self._before
        for thread in threads:
            if getattr(thread, "is_pydev_daemon_thread", False):
                thread.join(_END_SECONDS)
        with self._lock:
            asked, self._asked = self._asked, {}
        for answered in asked.values():
            answered({"success": False, "message": "the debugger has ended", "body": {}})


class _Wire:
    """What pydevd takes for its socket."""

    def __init__(self, received):
        self._received = received
        self._queue = SimpleQueue()
        self._data = bytearray()

    def feed(self, message):
        data = frames.encode_json(message)
        self._queue.put(b"Content-Length: %d\r\n\r\n%b" % (len(data), data))

    def recv(self, size):
        # The reader buffers what is more than it has asked for.
        return self._queue.get()

    def sendall(self, data):
        self._data += data
        while True:
            head, separator, rest = bytes(self._data).partition(b"\r\n\r\n")
            if not separator:
                return
            size = int(head.rpartition(b":")[2])
            if len(rest) < size:
                return
            self._data = bytearray(rest[size:])
            self._received(frames.decode_json(rest[:size]))

    def settimeout(self, seconds):
        pass

    def shutdown(self, how):
        self.close()

    def close(self):
        self._queue.put(b"")


def hide(thread):
    """Makes pydevd leave a thread alone."""
    thread.pydev_do_not_trace = thread.is_pydev_daemon_thread = True
