"""A kernel process and a client that costs as little as one in Python can: ZeroMQ itself, no jupyter_client, and the
clock is read right after each receive. What the client costs is in every figure, and the same for every kernel.
"""

import hashlib
import hmac
import json
import os
import random
import re
import select
import signal
import socket
import subprocess
import time
import uuid
from pathlib import Path
from typing import NamedTuple

import zmq
from processes import Watch, tree

CHANNELS = ("shell", "iopub", "stdin", "control", "hb")

# Seconds after which a kernel is given up on.
PATIENCE = 60
# Seconds that the processes of a kernel may take to end.
GRACE = 10

now = time.perf_counter

_DELIMITER = b"<IDS|MSG>"
_NUMBER = re.compile(rb'"msg_id": ?"bench-(\d+)"')
_SOCKET_TYPES = {"shell": zmq.DEALER, "iopub": zmq.SUB, "stdin": zmq.DEALER, "control": zmq.DEALER}
# Below the range from which the system takes the ports of outgoing connections, so that nobody has one of them when the
# kernel comes to bind it.
_PORTS = range(20_000, 32_000)
_context = zmq.Context()


class Lost(Exception):
    """A kernel did not do what it was asked to: something is missing, wrong or late."""


def require(condition, what):
    if not condition:
        raise Lost(what)


class Message(NamedTuple):
    at: float
    channel: str
    # Signature, header, parent header, metadata, content, buffers.
    frames: list

    @property
    def type(self):
        return json.loads(self.frames[1])["msg_type"]

    @property
    def content(self):
        return json.loads(self.frames[4])


class Request:
    """One request, and everything that came for it in the order of its arrival. Times are in seconds since it left."""

    def __init__(self, number, sent):
        self.number = number
        self.sent = sent
        self.messages = []
        self.reply = None
        self.idle = None

    def add(self, message):
        self.messages.append(message)
        if message.channel == "iopub":
            if b'"status"' in message.frames[1] and b'"idle"' in message.frames[4]:
                self.idle = message
        elif message.channel != "stdin":
            self.reply = message

    @property
    def replied_after(self):
        return self.reply.at - self.sent

    @property
    def idle_after(self):
        return self.idle.at - self.sent

    def of_type(self, *types):
        return [message for message in self.messages if message.type in types]

    def streams(self):
        return self.of_type("stream")

    def text(self):
        return "".join(message.content["text"] for message in self.streams())

    def result(self):
        """The data of the cell's value."""
        found = self.of_type("execute_result")
        require(len(found) == 1, f"{len(found)} execute_result messages, where one was expected: {self.described()}")
        return found[0].content["data"]

    def require_ok(self):
        require(self.reply.content["status"] == "ok", f"the reply is not ok: {self.described()}")
        return self

    def require_result(self, value):
        self.require_ok()
        found = self.result()["text/plain"]
        require(found == value, f"the result is {found}, where {value} was expected")
        return self

    def require_error(self, name):
        found = self.reply.content.get("ename")
        require(found == name, f"the error is {found}, where {name} was expected: {self.described()}")
        return self

    def described(self):
        if self.reply is None:
            return "there is no reply"
        return str({key: self.reply.content.get(key) for key in ("status", "ename", "evalue")})[:300]


class Spec:
    """An installed kernel, by its name, or one in a directory that holds a kernel.json."""

    def __init__(self, name_or_directory):
        directory = Path(name_or_directory)
        if "/" not in name_or_directory:
            from jupyter_client.kernelspec import KernelSpecManager

            directory = Path(KernelSpecManager().get_kernel_spec(name_or_directory).resource_dir)
        self.directory = directory.resolve()
        self.name = name_or_directory if "/" not in name_or_directory else self.directory.name
        self._json = json.loads((self.directory / "kernel.json").read_text())
        self.env = self._json.get("env", {})
        self.interrupted_by_message = self._json.get("interrupt_mode") == "message"

    def argv(self, connection_file):
        replacements = {"{connection_file}": str(connection_file), "{resource_dir}": str(self.directory)}
        words = []
        for word in self._json["argv"]:
            for old, new in replacements.items():
                word = word.replace(old, new)
            words.append(word)
        # As jupyter_client does it: the Python that Jupyter runs on, whatever is first on the PATH.
        return ["/usr/bin/python3" if word in ("python", "python3") else word for word in words]


class Kernel:
    """A kernel process, and its client.

    `directory` holds its connection file and its log, and "work", where it is started.
    """

    def __init__(self, spec, directory):
        self.spec = spec
        self.process = None
        self._number = 0
        self._requests = {}
        self._key = uuid.uuid4().hex
        self._hmac = hmac.new(self._key.encode(), digestmod=hashlib.sha256)
        self._work = directory / "work"
        self._work.mkdir(exist_ok=True)
        name = f"{spec.name}-{uuid.uuid4().hex}"
        self._connection_file = directory / f"{name}.json"
        self._log = directory / f"{name}.log"
        self._connect()

    def _connect(self):
        ports = _free_ports(len(CHANNELS))
        info = {f"{channel}_port": port for channel, port in zip(CHANNELS, ports)}
        info.update(ip="127.0.0.1", transport="tcp", key=self._key, signature_scheme="hmac-sha256")
        info.update(kernel_name=self.spec.name)
        self._connection_file.write_text(json.dumps(info))
        self._sockets, self._channels, self._poller = {}, {}, zmq.Poller()
        identity = uuid.uuid4().hex.encode()
        for channel, type in _SOCKET_TYPES.items():
            each = _context.socket(type)
            each.linger = 0
            # libzmq tries every 100 ms by itself, and would add as much to the start of every kernel.
            each.reconnect_ivl = 2
            # The client itself must lose nothing.
            each.rcvhwm = each.sndhwm = 0
            if channel == "iopub":
                each.subscribe(b"")
            else:
                each.identity = identity
            each.connect(f"tcp://127.0.0.1:{info[f'{channel}_port']}")
            self._sockets[channel], self._channels[each] = each, channel
            self._poller.register(each, zmq.POLLIN)

    def start(self):
        """Starts the process, and asks it what it is; `answered` has the reply to that."""
        require(self.process is None, "this kernel is running")
        environment = {**os.environ, **self.spec.env, "JPY_PARENT_PID": str(os.getpid())}
        started = now()
        with open(self._log, "ab") as log:
            self.process = subprocess.Popen(
                self.spec.argv(self._connection_file),
                env=environment,
                cwd=self._work,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._pidfd = os.pidfd_open(self.process.pid)
        self._poller.register(self._pidfd, zmq.POLLIN)
        self.info = self.send("kernel_info_request")
        self.info.sent = started
        return self

    def answered(self):
        """Waits until the kernel has said what it is, and that to us; returns the seconds from its start to that."""
        self.wait(lambda: self.info.reply is not None)
        signature, *signed = self.info.reply.frames[:5]
        require(signature == self._signature(signed), "the kernel_info_reply is not signed with our key")
        return self.info.replied_after

    def subscribed(self):
        """Waits until what the kernel publishes reaches us, for what it does before a subscription comes is no loss."""
        request, deadline = self.info, now() + PATIENCE
        while True:
            require(now() < deadline, f"{self.spec.name} publishes nothing")
            self.wait(lambda request=request: request.reply is not None)
            # What it publishes for a request comes within this time, or was published before we were heard.
            if self._received(lambda request=request: request.idle is not None, 0.02):
                return self
            request = self.send("kernel_info_request")

    def send(self, type, content=None, channel="shell", parent=None):
        self._number += 1
        header = {
            "msg_id": f"bench-{self._number}",
            "msg_type": type,
            "username": "bench",
            "session": self._key,
            "date": "2026-01-01T00:00:00.000000Z",
            "version": "5.3",
        }
        frames = [json.dumps(each or {}).encode() for each in (header, parent, {}, content)]
        frames = [_DELIMITER, self._signature(frames), *frames]
        request = self._requests[self._number] = Request(self._number, now())
        self._sockets[channel].send_multipart(frames)
        return request

    def send_cell(self, code, *, store_history=True, allow_stdin=False):
        return self.send(
            "execute_request",
            {
                "code": code,
                "silent": False,
                "store_history": store_history,
                "user_expressions": {},
                "allow_stdin": allow_stdin,
                "stop_on_error": False,
            },
        )

    def _signature(self, frames):
        signature = self._hmac.copy()
        for frame in frames:
            signature.update(frame)
        return signature.hexdigest().encode()

    def wait(self, done, patience=PATIENCE):
        """Receives until `done` says so."""
        require(self._received(done, patience), f"{self.spec.name} did not answer within {patience} s")

    @property
    def sockets(self):
        return list(self._channels)

    def receive(self):
        """Takes what has arrived, and waits for nothing."""
        for each in self._channels:
            self._receive(each)

    def _received(self, done, seconds):
        deadline = now() + seconds
        while not done():
            # In whole milliseconds, and the last one counts, too.
            events = self._poller.poll(max(0, deadline - now()) * 1000 + 1)
            if not events and now() > deadline:
                return False
            for each, _ in events:
                require(each != self._pidfd, f"{self.spec.name} has ended; it wrote: {self._log_tail()}")
                self._receive(each)
        return True

    def _receive(self, each):
        channel = self._channels[each]
        while True:
            try:
                frames = each.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            at = now()
            start = frames.index(_DELIMITER) + 1
            number = _NUMBER.search(frames[start + 2])
            request = self._requests.get(int(number[1])) if number else None
            if request is not None:
                request.add(Message(at, channel, frames[start:]))

    def finish(self, *requests, patience=PATIENCE):
        """Waits for the reply to each of these requests, and for the idle after it."""
        left = list(requests)

        def done():
            while left and left[-1].reply is not None and left[-1].idle is not None:
                left.pop()
            return not left

        self.wait(done, patience)
        for request in requests:
            del self._requests[request.number]
        return requests[0]

    def ask(self, type, content=None, channel="shell"):
        return self.finish(self.send(type, content, channel))

    def run(self, code, **options):
        return self.finish(self.send_cell(code, **options))

    def run_until_output(self, code):
        """Starts a cell, and waits for the first that it writes."""
        request = self.send_cell(code)
        self.wait(lambda: request.streams() or request.reply is not None)
        require(request.reply is None, f"the cell ended at once: {request.described()}")
        return request

    def interrupt(self):
        """As jupyter_client does it; returns when."""
        at = now()
        if self.spec.interrupted_by_message:
            # Nobody waits for its reply.
            del self._requests[self.send("interrupt_request", channel="control").number]
        else:
            os.killpg(self.process.pid, signal.SIGINT)
        return at

    def pids(self):
        return tree(self.process.pid)

    def end(self, restart=False):
        """Asks the kernel to end, and waits until it has; the next [start] takes the same ports."""
        self.send("shutdown_request", {"restart": restart}, "control")
        require(self._wait_end(), f"{self.spec.name} did not end within {GRACE} s of its shutdown_request")

    def close(self):
        """Ends the kernel, and sees to it that none of its processes is left."""
        self._close(self.end)

    def kill(self):
        """The same for a kernel that cannot be asked any more."""
        self._close(self._kill)

    def _close(self, end):
        try:
            if self.process is not None:
                watch = Watch(self.pids())
                try:
                    end()
                finally:
                    survivors = watch.survivors(GRACE)
                    watch.kill()
                require(not survivors, f"{self.spec.name} left processes behind: {survivors}")
        finally:
            for each in self._sockets.values():
                each.close()
            self._connection_file.unlink()

    def _kill(self):
        self.process.kill()
        self._wait_end()

    def _wait_end(self):
        """Whether it ended in time; if not, it is killed."""
        self._poller.unregister(self._pidfd)
        ended = select.poll()
        ended.register(self._pidfd, select.POLLIN)
        in_time = bool(ended.poll(GRACE * 1000))
        os.close(self._pidfd)
        if not in_time:
            self.process.kill()
        self.process.wait()
        self.process = None
        return in_time

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _log_tail(self):
        return self._log.read_text(errors="replace")[-500:] or "nothing"


# Of ten kernels that start at once, two were given the same one now and then: none is given twice.
_given_ports = set()


def _free_ports(count):
    ports = []
    while len(ports) < count:
        port = random.choice(_PORTS)
        if port in _given_ports:
            continue
        with socket.socket() as each:
            try:
                each.bind(("127.0.0.1", port))
            except OSError:
                continue  # somebody has it
        _given_ports.add(port)
        ports.append(port)
    return ports
