"""Messages that nobody should have sent, on every channel, and connection files that are broken."""

import hashlib
import hmac
import os
import random
import re
import socket
import tempfile
import unittest
from pathlib import Path

import zmq
from kernels import CHANNELS, PATIENCE, Kernel, connection
from wire import Client, KernelCase

DELIMITER = b"<IDS|MSG>"
REQUESTS = ("shell", "control", "stdin")
DROPPED = "(?i)drop|invalid|malformed|signature|unsigned|replay|refus|bad"


class Messages(KernelCase):
    """What is wrong is dropped and logged, the kernel says nothing to it, and the next message is served."""

    def frames(self, channel="shell"):
        """A correct message for a channel, as frames after the identities."""
        kinds = {
            "shell": ("execute_request", {"code": "print('must not run')", "silent": False}),
            "control": ("kernel_info_request", {}),
            "stdin": ("input_reply", {"value": "must not be taken"}),
        }
        return self.client.session.serialize(self.client.session.msg(*kinds[channel]))

    def signed(self, *parts):
        """A message with these four parts, correctly signed whatever they are."""
        digest = hmac.new(self.kernel.info["key"].encode(), digestmod=hashlib.sha256)
        for part in parts:
            digest.update(part)
        return [DELIMITER, digest.hexdigest().encode(), *parts]

    def assert_dropped(self, frames, channel):
        before, seen = self.kernel.log.size(), len(self.client.everything)
        getattr(self.client, channel).send_multipart(frames)
        if channel != "stdin":
            # On the same connection, so it is read after the bad one; whatever that causes comes before its reply.
            self.client.request("kernel_info_request", channel=channel)
        self.assertEqual("42", self.client.execute("input('? ')", answers=["42"]).result().strip("'"))
        self.assertEqual([], self.answers_to_unknown(seen), "something was said to the bad message")
        self.kernel.log.wait(DROPPED, after=before)

    def answers_to_unknown(self, since):
        """What came for messages of this session that it did not mean to send."""
        return [
            message
            for message in self.client.everything[since:]
            if message["parent_header"].get("session") == self.client.session.session
            and message["parent_header"]["msg_id"] not in self.client.requests
        ]

    def test_wrong_signatures(self):
        for channel in REQUESTS:
            for name, signature in (
                ("another key's", hmac.new(b"another key", b"", hashlib.sha256).hexdigest().encode()),
                ("short", b"abc"),
                ("long", b"0" * 100_000),
                ("not hex", b"\xff" * 64),
            ):
                with self.subTest(channel=channel, signature=name):
                    frames = self.frames(channel)
                    frames[1] = signature
                    self.assert_dropped(frames, channel)

    def test_missing_signatures(self):
        for channel in REQUESTS:
            with self.subTest(channel=channel):
                frames = self.frames(channel)
                frames[1] = b""
                self.assert_dropped(frames, channel)

    def test_changed_contents(self):
        for channel in REQUESTS:
            with self.subTest(channel=channel):
                frames = self.frames(channel)
                frames[5] = frames[5].replace(b"{", b"{ ", 1)
                self.assert_dropped(frames, channel)

    def test_replayed_messages(self):
        for channel in REQUESTS:
            with self.subTest(channel=channel):
                content = {"value": "x"} if channel == "stdin" else {}
                kind = "input_reply" if channel == "stdin" else "kernel_info_request"
                message = self.client.session.msg(kind, content)
                self.client.requests[message["msg_id"]] = message
                frames = self.client.session.serialize(message)
                getattr(self.client, channel).send_multipart(frames)
                if channel != "stdin":
                    self.client.finish(message["msg_id"])
                self.assert_dropped(frames, channel)
                if channel != "stdin":
                    states = [m["msg_type"] for m in self.client.published[message["msg_id"]]]
                    self.assertEqual(["status", "status"], states)

    def test_a_message_of_one_channel_replayed_on_another(self):
        message = self.client.session.msg("kernel_info_request", {})
        self.client.requests[message["msg_id"]] = message
        frames = self.client.session.serialize(message)
        self.client.shell.send_multipart(frames)
        self.client.finish(message["msg_id"])
        self.assert_dropped(frames, "control")

    def test_too_few_frames_and_no_delimiter(self):
        for channel in REQUESTS:
            good = self.frames(channel)
            for name, frames in (
                ("nothing", [b""]),
                ("only the delimiter", [DELIMITER]),
                ("no content", good[:5]),
                ("only a signature", good[:2]),
                ("no delimiter", good[1:]),
                ("a delimiter of another protocol", [b"<IDS|MSH>", *good[1:]]),
                ("a thousand empty frames", [b""] * 1000),
                ("a megabyte of anything", [random.Random(1).randbytes(1_000_000)]),
            ):
                with self.subTest(channel=channel, frames=name):
                    self.assert_dropped(frames, channel)

    def test_signed_messages_that_are_not_messages(self):
        for name, broken in (
            ("not JSON", lambda header: header[:-1]),
            ("an array", lambda header: b"[" + header + b"]"),
            ("empty", lambda header: b" " * self.client.session.message_count),
            ("without a type", lambda header: header.replace(b'"msg_type"', b'"message_type"')),
            ("a number for its type", lambda header: re.sub(rb'"msg_type": *"[a-z_]*"', b'"msg_type":5', header)),
            ("twice", lambda header: header + header),
            ("not UTF-8", lambda header: header.replace(b"_request", b"_re\xff\xfequest").replace(b"_reply", b"\xff")),
        ):
            for channel in REQUESTS:
                with self.subTest(header=name, channel=channel):
                    _, _, header, *others = self.frames(channel)
                    self.assertNotEqual(header, broken(header))
                    self.assert_dropped(self.signed(broken(header), *others), channel)

    def test_signed_requests_that_are_broken_are_refused(self):
        """Whose request it is can be read, so it may be answered, with an error; else it is dropped like the others."""
        deep = b'{"code":"print(5)","a":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}"
        for name, changes in (
            ("parent not JSON", {3: b"nothing"}),
            ("metadata a number", {4: b"5"}),
            ("content a number", {5: b"5"}),
            ("content empty", {5: b""}),
            ("content without code", {5: b"{}"}),
            ("content with a NaN", {5: b'{"code":"print(5)","silent":NaN}'}),
            ("content cut off", {5: b'{"code":"print(5)"'}),
            ("content with more after it", {5: b'{"code":"print(5)"} {}'}),
            ("content a million deep", {5: deep}),
        ):
            with self.subTest(name):
                before = self.kernel.log.size()
                message = self.client.session.msg("execute_request", {"code": "print(5)"})
                self.client.requests[message["msg_id"]] = message
                frames = self.client.session.serialize(message)
                parts = [changes.get(index, frame) for index, frame in enumerate(frames)]
                self.client.shell.send_multipart(self.signed(*parts[2:]))
                self.assert_runs()
                self.assertNotIn("stream", [each["msg_type"] for each in self.client.published[message["msg_id"]]])
                reply = self.client.replies.get(message["msg_id"])
                if reply is None:
                    self.kernel.log.wait(DROPPED, after=before)
                else:
                    self.assertEqual("error", reply["content"]["status"])

    def test_long_identities_and_several_of_them_are_given_back(self):
        with Client(self.kernel.info, identity=b"i" * 255) as client:
            client.request("kernel_info_request")
            for extra in ([b"second"], [b"second", b"third"], [b"x" * 1_000_000], [b"\x00", b"<IDS|MSG"]):
                message = client.session.msg("kernel_info_request", {})
                client.requests[message["msg_id"]] = message
                client.shell.send_multipart([*extra, *client.session.serialize(message)])
                self.assertEqual(extra, client.finish(message["msg_id"]).reply["identities"])

    def test_buffers_are_not_signed_and_may_be_large(self):
        content = {"comm_id": "none", "data": {}}
        message_id = self.client.send("comm_msg", content, buffers=[bytes(100_000_000), b"", b"small"])
        self.client.finish(message_id, replied=False)
        self.assert_runs()

    def test_bytes_that_are_no_zeromq_on_every_port(self):
        garbage = random.Random(2).randbytes(65536)
        greeting = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL" + bytes(16)
        left_open = []
        for channel in CHANNELS:
            for sent in (garbage, b"GET / HTTP/1.1\r\n\r\n", greeting, greeting * 2, b"\xff", b"\x01\x00" * 500):
                with self.subTest(channel=channel, sent=sent[:10]):
                    made = socket.create_connection(("127.0.0.1", self.kernel.info[f"{channel}_port"]))
                    left_open.append(made)
                    try:
                        made.sendall(sent)
                    except (BrokenPipeError, ConnectionResetError):
                        pass  # The kernel may hang up in the middle.
        try:
            self.assert_served()
        finally:
            for made in left_open:
                made.close()
        self.assert_served()

    def assert_served(self):
        self.assertTrue(self.kernel.alive())
        with Client(self.kernel.info) as client:
            client.request("kernel_info_request", channel="control")
            self.assertEqual("'42'", client.execute("input()", answers=["42"]).result())
            beat = client.context.socket(zmq.REQ)
            beat.connect(client.address("hb"))
            beat.send(b"beat")
            self.assertTrue(beat.poll(PATIENCE * 1000), "no echo")
            self.assertEqual(b"beat", beat.recv())

    def test_subscriptions_are_not_interpreted(self):
        with Client(self.kernel.info) as client:
            for topic in (b"x" * 10_000, b"\xff\xfe", b"kernel."):
                client.iopub.subscribe(topic)
            self.assertEqual("2", client.execute("1 + 1").result())
            for topic in (b"x" * 10_000, b"\xff\xfe"):
                client.iopub.unsubscribe(topic)
            self.assertEqual("2", client.execute("1 + 1").result())
            # Another client may ask for more than anybody wants; it costs this one nothing.
            greedy = client.context.socket(zmq.SUB)
            greedy.connect(client.address("iopub"))
            greedy.subscribe(b"x" * 100_000)
            for _ in range(10):
                self.assertEqual("2", client.execute("1 + 1").result())
            greedy.close(linger=0)

    def test_bytes_sent_on_iopub_and_heartbeat_of_the_wrong_kind(self):
        for kind, channel in ((zmq.DEALER, "hb"), (zmq.XSUB, "iopub")):
            made = self.client.context.socket(kind)
            made.linger = 0
            made.connect(self.client.address(channel))
            made.send_multipart([b"\x02no subscription", b"", b"x" * 100_000])
        self.assert_served()


class Keys(unittest.TestCase):
    def test_an_empty_key_means_empty_signatures(self):
        with Kernel(connection(key="")) as kernel, Client(kernel.info) as client:
            self.assertEqual("2", client.execute("1 + 1").result())
            client.shell.send_multipart(client.session.serialize(client.session.msg("kernel_info_request", {})))
            self.assertTrue(client.shell.poll(PATIENCE * 1000))
            frames = client.shell.recv_multipart()
            self.assertEqual(b"", frames[frames.index(DELIMITER) + 1])

    def test_every_digest_of_the_name_may_sign(self):
        for scheme in ("hmac-sha512", "hmac-md5", "hmac-sha1"):
            with self.subTest(scheme=scheme):
                with Kernel(connection(signature_scheme=scheme)) as kernel, Client(kernel.info) as client:
                    self.assertEqual("2", client.execute("1 + 1").result())

    def test_ports_may_be_strings_and_unknown_keys_are_ignored(self):
        info = connection(jupyter_session="a.ipynb", something={"new": 1})
        info = {key: str(value) if key.endswith("_port") else value for key, value in info.items()}
        with Kernel(info) as kernel, Client(kernel.info) as client:
            self.assertEqual("2", client.execute("1 + 1").result())


def with_file(path):
    """Changes a command line to another connection file."""
    return lambda argv: [path if "connection-" in argument else argument for argument in argv]


class ConnectionFiles(unittest.TestCase):
    """A kernel that cannot be reached ends at once, and says why in one line."""

    def assert_refused(self, says, info=None, change_argv=lambda argv: argv):
        with Kernel(info, change_argv=change_argv) as kernel:
            status = kernel.process.wait(PATIENCE)
            lines = [line for line in kernel.log.wait_end() if line.strip()]
        self.assertNotEqual(0, status)
        self.assertEqual(1, len(lines), "\n".join(lines))
        self.assertRegex(lines[0], says)
        return lines[0]

    def test_a_file_that_is_not_there(self):
        missing = os.path.join(tempfile.gettempdir(), "no-such-connection-file.json")
        self.assert_refused("no-such-connection-file.json", change_argv=with_file(missing))

    def test_a_directory(self):
        self.assert_refused(tempfile.gettempdir(), change_argv=with_file(tempfile.gettempdir()))

    def test_files_that_are_no_connection_files(self):
        for name, text in (("empty", ""), ("not JSON", "{"), ("an array", "[1]"), ("binary", "\x00\x01")):
            with self.subTest(name):
                self.assert_refused("connection-", text)

    def test_a_missing_key(self):
        for key in ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port"):
            with self.subTest(key=key):
                self.assert_refused(key, connection(**{key: None}))

    def test_ports_that_are_none(self):
        for port in (-1, 65536, "many", 1.5, True, [1]):
            with self.subTest(port=port):
                self.assert_refused("stdin_port", connection(stdin_port=port))

    def test_a_port_in_use(self):
        for channel in CHANNELS:
            with self.subTest(channel=channel), socket.socket() as taken:
                taken.bind(("127.0.0.1", 0))
                taken.listen()
                port = taken.getsockname()[1]
                self.assert_refused(str(port), connection(**{f"{channel}_port": port}))

    def test_a_transport_that_is_not_tcp(self):
        for transport in ("ipc", "udp"):
            with self.subTest(transport=transport):
                self.assert_refused(transport, connection(transport=transport))

    def test_an_address_that_is_not_of_this_machine(self):
        self.assert_refused("192.0.2.1", connection(ip="192.0.2.1"))

    def test_a_scheme_that_is_unknown(self):
        for scheme in ("hmac-sha257", "plain", "hmac-", ""):
            with self.subTest(scheme=scheme):
                self.assert_refused("signature|scheme", connection(signature_scheme=scheme))

    def test_the_key_is_never_shown(self):
        key = "a very secret key"
        line = self.assert_refused("ipc", connection(transport="ipc", key=key))
        self.assertNotIn(key, line)
        with Kernel(connection(key=key)) as kernel, Client(kernel.info) as client:
            client.execute("1")
            client.request("shutdown_request", {"restart": False}, channel="control")
            kernel.process.wait(PATIENCE)
            self.assertNotIn(key, "\n".join(kernel.log.wait_end() + kernel.output.wait_end()))


class Files(unittest.TestCase):
    def test_the_connection_file_is_only_read(self):
        with Kernel() as kernel, Client(kernel.info) as client:
            text = Path(kernel.connection_file).read_text()
            client.execute("1")
            self.assertEqual(text, Path(kernel.connection_file).read_text())
