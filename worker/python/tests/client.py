"""A small kernel: starts a real worker over real pipes and speaks the frame protocol with it."""

import atexit
import itertools
import json
import os
import select
import signal
import sys
import tempfile
import time
from fcntl import F_DUPFD_CLOEXEC, fcntl

from capsule_worker import frames, messagepack

PACKAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "capsule_worker")

# How long anything may take before a test fails. Nothing waits for it to pass.
DEADLINE_SECONDS = 20

# Of the workers that are started; tests of another engine change it.
ENGINE = "plain"

# Workers compile the package once for all tests, and not into the source tree.
_CACHE = tempfile.TemporaryDirectory(prefix="capsule-worker-tests-")
atexit.register(_CACHE.cleanup)

# What this process was given by whoever has started it is not for workers.
for _descriptor in os.listdir("/proc/self/fd"):
    if int(_descriptor) > 2 and os.path.lexists(f"/proc/self/fd/{_descriptor}"):
        os.set_inheritable(int(_descriptor), False)


class Ended(AssertionError):
    """The worker has ended, or does not answer."""


class Cell:
    """All that came of one execution, in order: ("stdout", text), ("stderr", text) or (kind, header, buffers)."""

    def __init__(self, events, settle):
        self.events = events
        self.ok = "resolve" in settle[0]
        self.header, self.buffers = settle

    def text(self, name="stdout"):
        return "".join(event[1] for event in self.events if event[0] == name)

    def emitted(self, kind):
        return [(header, buffers) for name, header, *rest in self.events if name == kind for buffers in rest]

    def result(self):
        """text/plain of the result, None if there is none."""
        found = self.emitted("result")
        return plain(*found[0]) if found else None

    @property
    def ename(self):
        return self.header.get("ename")

    @property
    def traceback(self):
        return "\n".join(self.header["traceback"])

    @property
    def payload(self):
        return json.loads(self.buffers[1])

    @property
    def user_expressions(self):
        return json.loads(self.buffers[0])


def plain(header, buffers):
    return data(header, buffers)["text/plain"]


def data(header, buffers):
    """By MIME type; base64 as bytes."""
    values = {}
    for mime, form, value in zip(header["mimes"], header["forms"], buffers):
        values[mime] = {"text": lambda v: v.decode(), "json": json.loads, "base64": lambda v: v}[form](value)
    return values


class Worker:
    def __init__(self, hello=None, environment=None, folder=None, arguments=None, wait=True, supervised=False, begin=True):
        self.encode, decode = frames.encode_json, frames.decode_json
        # Cells whose end is not waited for yet.
        self._running = set()
        requests_out, self.requests = _pipe()
        self.frames, frames_in = _pipe()
        control_out, self.control = _pipe()
        self.out, out_in = _pipe()
        self.err, err_in = _pipe()
        actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
        for end, number in ((out_in, 1), (err_in, 2), (requests_out, 3), (frames_in, 4), (control_out, 5)):
            actions.append((os.POSIX_SPAWN_DUP2, end, number))
        theirs = [out_in, err_in, requests_out, frames_in, control_out]
        if supervised:
            orders_out, self.orders = _pipe()
            self.reports, reports_in = _pipe()
            self.report_parser = frames.Parser()
            actions += [(os.POSIX_SPAWN_DUP2, orders_out, 6), (os.POSIX_SPAWN_DUP2, reports_in, 7)]
            theirs += [orders_out, reports_in]
        else:
            self.orders = self.reports = None
        # What has to stay open so that requests and control can be emptied when their reader has died.
        self._inbound = [requests_out, control_out] if supervised else []
        variables = {
            **os.environ,
            "PYTHONPYCACHEPREFIX": _CACHE.name,
            "CAPSULE_ENGINE": ENGINE,
            **(environment or {}),
        }
        for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONPATH"):
            if name not in (environment or {}):
                variables.pop(name, None)
        command = [sys.executable, *(arguments or [PACKAGE + "/__main__.py"])]
        if folder is not None:
            # posix_spawn has no working directory.
            command = ["/bin/sh", "-c", 'cd "$0" && exec "$@"', folder, *command]
        self.pid = os.posix_spawn(command[0], command, variables, file_actions=actions)
        for end in theirs:
            if end not in self._inbound:
                os.close(end)
        self.status = None
        self.count = 0
        self.parser = frames.Parser(decode)
        self.events = []
        # Whether frames that want to be answered are.
        self.answers = True
        self._open = {self.frames: None, self.out: "stdout", self.err: "stderr"}
        if supervised and begin:
            self.send(self.orders, {"signal": "begin"})
        limits = {"header": 4 << 20, "buffers": 256 << 20}
        encodings = ["json", "msgpack"]
        self.send(self.requests, hello or {"signal": "hello", "protocol": 1, "encodings": encodings, "limits": limits})
        if wait:
            self.hello = self.until(lambda event: event[0] == "hello")[1]
            self.until(lambda event: event[0] == "ready")

    # Sending

    def send(self, descriptor, header, *buffers):
        self.write(descriptor, b"".join(frames.encode(header, buffers, self.encode)))

    def write(self, descriptor, data):
        view = memoryview(data)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while view:
            # The worker may not read on before somebody reads what it says.
            if select.select([], [descriptor], [], 0)[1] or not self._open:
                view = view[os.write(descriptor, view[: select.PIPE_BUF]) :]
            else:
                self._receive(deadline, descriptor)

    def signal(self, kind, **fields):
        self.send(self.control, {"signal": kind, **fields})

    def start(self, code, **options):
        """Sends a cell and returns its id."""
        self.count += options.get("store_history", not options.get("silent", False))
        header = {
            "open": "execute",
            "id": f"e{os.urandom(4).hex()}",
            "request": "",
            "execution_count": self.count,
            "silent": False,
            "store_history": not options.get("silent", False),
            "allow_stdin": False,
            "user_expressions": {},
            **options,
        }
        self._running.add(header["id"])
        self.send(self.control if "subshell" in options else self.requests, header, code.encode())
        return header["id"]

    # Receiving

    def run(self, code, **options):
        return self.finish(self.start(code, **options))

    def finish(self, promise):
        """Waits for the settle of a cell. What came before belongs to it."""
        settle = self.until(
            lambda event: event[0] == "settle" and promise in (event[1].get("resolve"), event[1].get("reject"))
        )
        # What came after it is of later ones.
        events, self.events = self.events[: self._found], self.events[self._found :]
        self._running.discard(promise)
        # But the ends of others, which ran at the same time, are still to be waited for, and their results with them.
        self.events[:0] = [event for event in events if event[0] == "settle" or self._is_others_result(event)]
        return Cell([event for event in events if not self._is_others_result(event)], settle[1:])

    def _is_others_result(self, event):
        return event[0] == "result" and event[1]["id"] in self._running

    def ask(self, kind, code, **fields):
        promise = f"q{os.urandom(4).hex()}"
        channel = self.control if "subshell" in fields else self.requests
        self.send(channel, {"open": kind, "id": promise, **fields}, code.encode())
        settle = self.until(lambda event: event[0] == "settle")
        assert promise in (settle[1].get("resolve"), settle[1].get("reject")), settle
        return settle[1:]

    def complete(self, code, cursor=None):
        header, _ = self.ask("complete", code, cursor=len(code) if cursor is None else cursor)
        return header

    def until_text(self, text, name="stdout"):
        """Waits until a piece of output of the running cell holds this text."""
        return self.until(lambda event: event[0] == name and text in event[1])

    def until(self, wanted):
        """Reads until an event is wanted; those before it stay in self.events, and it too unless it settles."""
        checked = 0
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            while checked < len(self.events):
                event = self.events[checked]
                checked += 1
                if wanted(event):
                    self._found = checked - 1
                    if event[0] in ("settle", "hello", "ready"):
                        del self.events[self._found]
                    return event
            self._receive(deadline)
            # The last event is one piece of text with what came now, if that was text too.
            checked = max(0, checked - 1)

    def _receive(self, deadline, writing=None):
        outgoing = [] if writing is None else [writing]
        ready, writable, _ = select.select(list(self._open), outgoing, [], max(0, deadline - time.monotonic()))
        if not ready and not writable:
            raise Ended(f"nothing came within {DEADLINE_SECONDS} s after {self._said()}")
        # As a kernel does: all that was printed is taken before a frame is acted on.
        for descriptor in (self.out, self.err):
            if descriptor in ready:
                self._read(descriptor)
        if self.frames in ready:
            data = os.read(self.frames, 1 << 20)
            if not data:
                self._drain()
                raise Ended(f"the worker ended with {self.wait()}, having said {self._said()}")
            self.parser.feed(data)
            self._drain()
            frame = self.parser.take()
            while frame is not None:
                self._act(*frame)
                self._drain()
                frame = self.parser.take()

    def _said(self):
        return [str(event)[-300:] for event in self.events[-5:]]

    def _drain(self):
        while True:
            ready, _, _ = select.select([d for d in (self.out, self.err) if d in self._open], [], [], 0)
            if not ready:
                return
            for descriptor in ready:
                self._read(descriptor)

    def _read(self, descriptor):
        data = os.read(descriptor, 1 << 20)
        if not data:
            del self._open[descriptor]
            return
        name = self._open[descriptor]
        text = data.decode("utf-8", "replace")
        if self.events and self.events[-1][0] == name:
            text = self.events.pop()[1] + text
        self.events.append((name, text))

    def _act(self, header, buffers):
        buffers = [bytes(buffer) for buffer in buffers]
        kind = header.get("signal") or header.get("emit") or header.get("open") or "settle"
        self.events.append((kind, header, buffers))
        if header.get("encoding") == "msgpack":
            # From its hello on.
            self.encode = messagepack.encode
            self.parser.decode_header = messagepack.decode
        if header.get("ack") and self.answers:
            self.signal("delivered", id=header["id"])

    # Snapshots

    def kept(self, after):
        """Waits for the snapshot that shows the state after a cell, and returns its pid."""
        return self.until(lambda event: event[0] == "snapshot" and event[1]["after"] == after)[1]["pid"]

    def kept_soon(self, after):
        """The same where what stands in its way may be about to end."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        for number in itertools.count():
            self.send(self.requests, {"open": "snapshot", "id": f"soon-{after}-{number}"})
            settle = self.until(lambda event: event[0] == "settle")[1]
            if "resolve" in settle:
                return self.kept(after)
            if time.monotonic() > deadline:
                raise AssertionError(f"there is no snapshot after {after}: {settle}")

    def refused(self, after):
        return self.until(lambda event: event[0] == "no_snapshot" and event[1]["after"] == after)[1]["reason"]

    def order(self, pid, number):
        self.send(self.orders, {"signal": "kill", "pid": pid, "number": number})

    def died(self, pid):
        """Waits for the supervisor's report, and returns the exit code, or the negative number of a signal."""
        while True:
            other, code = self.next_died()
            if other == pid:
                return code

    def next_died(self):
        """The same of whichever process is reported next, with its pid."""
        report = self.report_parser.take()
        while report is None:
            if not select.select([self.reports], [], [], DEADLINE_SECONDS)[0]:
                raise Ended(f"no end of a process was reported within {DEADLINE_SECONDS} s")
            self.report_parser.feed(os.read(self.reports, 4096))
            report = self.report_parser.take()
        return report[0]["pid"], os.waitstatus_to_exitcode(report[0]["status"])

    def wake(self, snapshot):
        """As a kernel does when the live process has died. Returns the pid of the new one."""
        for descriptor in self._inbound:
            while select.select([descriptor], [], [], 0)[0]:
                os.read(descriptor, 1 << 16)
        self._drain_frames()
        self.parser = frames.Parser(self.parser.decode_header)
        self.order(snapshot, signal.SIGUSR1)
        return self.until(lambda event: event[0] == "revived")[1]["pid"]

    def _drain_frames(self):
        while select.select([self.frames], [], [], 0)[0]:
            self._receive(time.monotonic() + DEADLINE_SECONDS)

    # The end

    def wait(self):
        """The exit status: a code, or the negative number of a signal."""
        if self.status is None:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def close(self):
        ours = [self.requests, self.control, self.frames, self.out, self.err, *self._inbound]
        ours += [end for end in (self.orders, self.reports) if end is not None]
        for descriptor in ours:
            try:
                os.close(descriptor)
            except OSError:
                pass  # a test has closed it
        if self.status is None:
            self.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _pipe():
    """Two descriptors out of the way of those that the worker gets."""
    ends = []
    for end in os.pipe():
        ends.append(fcntl(end, F_DUPFD_CLOEXEC, 50))
        os.close(end)
    return ends
