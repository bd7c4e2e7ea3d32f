"""A client that speaks the messaging protocol over plain ZeroMQ sockets and keeps everything it receives."""

import time
import unittest
from collections import defaultdict, deque
from itertools import groupby

import zmq
from jupyter_client.session import Session
from jupyter_kernel_test.msgspec_v5 import schema_fragments, validate_message
from kernels import PATIENCE, Kernel, is_first_warning


class Exchange:
    """A request's reply and what was published for it, up to and including `idle`."""

    def __init__(self, request, reply, published):
        self.request = request
        self.reply = reply
        self.published = published

    @property
    def content(self):
        return self.reply["content"]

    @property
    def status(self):
        return self.content["status"]

    def types(self):
        """The types of what was published, in order, without the status messages."""
        return [message["msg_type"] for message in self.published if message["msg_type"] != "status"]

    def contents(self, message_type):
        return [message["content"] for message in self.published if message["msg_type"] == message_type]

    def text(self, name="stdout"):
        return "".join(content["text"] for content in self.contents("stream") if content["name"] == name)

    def result(self):
        """The result as plain text, or None."""
        results = self.contents("execute_result")
        return results[0]["data"]["text/plain"] if results else None

    def told(self):
        """Everything a person would read of this exchange: output, and the error if there is one."""
        error = "\n".join([self.content.get("ename", ""), self.content.get("evalue", "")])
        tracebacks = ["\n".join(content["traceback"]) for content in self.contents("error")]
        return "\n".join([self.text(), self.text("stderr"), error, *tracebacks])


class Client:
    """One client of a kernel: a session, an identity, and the five sockets. For use by one thread."""

    def __init__(self, info, *, identity=None, subscribed=True, validating=True, receive_limit=0):
        self.info = info
        self.validating = validating
        self.context = zmq.Context()
        self.session = Session(key=info["key"].encode(), signature_scheme=info["signature_scheme"])
        self.identity = identity or self.session.bsession
        self.shell = self._connected(zmq.DEALER, "shell")
        self.control = self._connected(zmq.DEALER, "control")
        self.stdin = self._connected(zmq.DEALER, "stdin")
        self.iopub = self.context.socket(zmq.SUB)
        self.iopub.rcvhwm = receive_limit
        self.poller = zmq.Poller()
        for each in (self.shell, self.control, self.stdin):
            self.poller.register(each, zmq.POLLIN)
        self.requests = {}
        self.replies = {}
        self.published = defaultdict(list)
        self.everything = []
        self.orphans = []
        self.input_requests = deque()
        self._idle = {}
        if subscribed:
            self.subscribe()

    def _connected(self, kind, channel):
        made = self.context.socket(kind)
        made.identity = self.identity
        made.linger = 0
        if channel == "stdin":
            self._stdin_events = made.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        made.connect(self.address(channel))
        return made

    def address(self, channel):
        return f"tcp://{self.info['ip']}:{self.info[channel + '_port']}"

    def subscribe(self):
        """Subscribes, and waits until the kernel says that the subscription is in force."""
        self.iopub.linger = 0
        self.iopub.subscribe(b"")
        self.iopub.connect(self.address("iopub"))
        self.poller.register(self.iopub, zmq.POLLIN)
        self.wait(lambda: any(message["msg_type"] == "iopub_welcome" for message in self.orphans), "iopub_welcome")
        # Until this connection is made, nobody can be asked for input.
        assert self._stdin_events.poll(PATIENCE * 1000), "stdin is not connected"

    def close(self):
        self.context.destroy(linger=0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # Sending

    def send(
        self, message_type, content=None, *, channel="shell", parent=None, metadata=None, buffers=None, subshell=None
    ):
        """Sends a message without waiting for anything; returns its id."""
        message = self.session.msg(message_type, content or {}, parent=parent, metadata=metadata)
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        self.requests[message["msg_id"]] = message
        self.session.send(getattr(self, channel), message, buffers=buffers)
        return message["msg_id"]

    def start(self, code, subshell=None, **options):
        """Sends an execute_request without waiting for anything; returns its id."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
            **options,
        }
        return self.send("execute_request", content, subshell=subshell)

    def answer(self, value, timeout=PATIENCE):
        """Answers the next input_request; returns that request."""
        request = self.next_input_request(timeout)
        self.send("input_reply", {"value": value}, channel="stdin", parent=request)
        return request

    # Receiving

    def wait(self, condition, what, timeout=PATIENCE):
        """Receives until the condition holds."""
        deadline = time.monotonic() + timeout
        while not condition():
            ready = self.poller.poll(max(0, deadline - time.monotonic()) * 1000)
            if not ready:
                seen = [f"{m['msg_type']} {str(m['content'])[:200]}" for m in self.everything[-20:]]
                raise AssertionError(f"waited {timeout} s for {what}; the last messages were:\n" + "\n".join(seen))
            for socket, _ in ready:
                self._keep(socket)

    def _keep(self, socket):
        identities, frames = self.session.feed_identities(socket.recv_multipart(copy=False), copy=False)
        message = self.session.deserialize(frames, content=True, copy=False)
        message["identities"] = identities
        if is_first_warning(message):
            return
        self.everything.append(message)
        if self.validating:
            _validate(message)
        parent = message["parent_header"].get("msg_id")
        if socket is self.iopub:
            if parent is None:
                self.orphans.append(message)
            else:
                self.published[parent].append(message)
                if message["content"].get("execution_state") == "idle" and message["msg_type"] == "status":
                    self._idle[parent] = len(self.published[parent])
        elif socket is self.stdin:
            self.input_requests.append(message)
        else:
            assert parent not in self.replies, f"a second reply to {parent}: {message['content']}"
            self.replies[parent] = message

    def finish(self, message_id, *, replied=True, timeout=PATIENCE):
        """Waits for `idle` and, unless the request has none, for the reply; checks what holds for every request."""
        self.wait(
            lambda: message_id in self._idle and (not replied or message_id in self.replies),
            f"the reply and idle of {self.requests[message_id]['msg_type']}",
            timeout,
        )
        published = self.published[message_id][: self._idle[message_id]]
        states = [message["content"]["execution_state"] for message in published if message["msg_type"] == "status"]
        # After the end of another request, one that goes on says once more that it does.
        assert [state for state, _ in groupby(states)] == ["busy", "idle"], f"status messages of one request: {states}"
        assert published[0]["msg_type"] == "status", f"before busy: {published[0]}"
        reply = self.replies.get(message_id)
        if reply is not None:
            sent = self.requests[message_id]["header"]
            _same_header(sent, reply["parent_header"])
            _same_header(sent, published[0]["parent_header"])
        return Exchange(message_id, reply, published)

    def request(self, message_type, content=None, *, channel="shell", replied=True, timeout=PATIENCE, subshell=None):
        message_id = self.send(message_type, content, channel=channel, subshell=subshell)
        return self.finish(message_id, replied=replied, timeout=timeout)

    def execute(self, code, *, timeout=PATIENCE, answers=(), **options):
        message_id = self.start(code, **({"allow_stdin": True} if answers else {}), **options)
        for value in answers:
            self.answer(value, timeout)
        return self.finish(message_id, timeout=timeout)

    def next_input_request(self, timeout=PATIENCE):
        self.wait(lambda: self.input_requests, "an input_request", timeout)
        return self.input_requests.popleft()

    def wait_text(self, message_id, text, timeout=PATIENCE):
        """Waits until the request's output holds the text, which may have come in pieces."""

        def so_far():
            streams = [m["content"]["text"] for m in self.published[message_id] if m["msg_type"] == "stream"]
            return "".join(streams)

        self.wait(lambda: text in so_far(), f"the output {text!r}", timeout)


def _same_header(sent, received):
    """The parent header is a verbatim copy; dates are compared as the session parsed them."""
    for key in ("msg_id", "session", "username", "msg_type", "version", "date"):
        assert sent[key] == received[key], f"{key} of the parent header: {received[key]!r} is not {sent[key]!r}"


def _validate(message):
    # The schemas know neither comms nor iopub_welcome, nor the status "aborted", which every front end knows; and they
    # want a number for input_request's `password`, which the specification calls a bool.
    known = message["msg_type"] in schema_fragments and message["msg_type"] != "input_request"
    if known and message["content"].get("status") != "aborted":
        validate_message(message)
    for key in ("msg_id", "session", "username", "date", "msg_type", "version"):
        assert message["header"].get(key), f"a header without {key}: {message['header']}"
    assert getattr(message["header"]["date"], "tzinfo", None), f"a date without a zone: {message['header']['date']}"


class KernelCase(unittest.TestCase):
    """Tests that share one kernel. After a failure the kernel is replaced, so that one failure stays one."""

    kernel = None
    client = None
    environment = None
    home = None

    @classmethod
    def tearDownClass(cls):
        cls.discard()

    @classmethod
    def discard(cls):
        if cls.client is not None:
            cls.client.close()
        if cls.kernel is not None:
            cls.kernel.kill()
        cls.client = cls.kernel = None

    def setUp(self):
        cls = type(self)
        if cls.kernel is None:
            cls.kernel = Kernel(environment=cls.environment, home=cls.home)
            cls.client = Client(cls.kernel.info)

    def run(self, result=None):
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before and self.kernel is not None:
            print(f"--- log of the kernel of {self.id()}", *self.kernel.log.lines(), sep="\n", flush=True)
            type(self).discard()
        return result

    def another_client(self, **options):
        made = Client(self.kernel.info, **options)
        self.addCleanup(made.close)
        return made

    def send_stale_answer(self, value, parent=None):
        """Sends an input_reply that nobody waits for, and waits until the kernel has said so: a cell that is sent now
        may overtake it on its own connection."""
        before = self.kernel.log.size()
        self.client.send("input_reply", {"value": value}, channel="stdin", parent=parent)
        self.kernel.log.wait("input_reply", after=before)

    def assert_ok(self, exchange):
        self.assertEqual("ok", exchange.status, exchange.told())
        return exchange

    def assert_runs(self, code="6 * 7", result="42"):
        """The kernel is well: a cell runs and gives its result."""
        self.assertEqual(result, self.assert_ok(self.client.execute(code)).result())
