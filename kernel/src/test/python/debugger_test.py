"""The debugger, asked as JupyterLab asks it, and beside ipykernel's."""

import os
import unittest
from itertools import count

from jupyter_client.manager import start_new_kernel
from jupyter_client.utils import run_sync
from kernels import PATIENCE, Kernel
from wire import Client, KernelCase

CODE = "def f(a):\n    b = a + 1\n    return b\nr = f(1)\nprint(r)\nr"


class Dap:
    """One client's requests to the debugger."""

    def __init__(self, client):
        self.client = client
        self._seq = count(1)
        # Of all that the client has got.
        self._seen = len(client.everything)

    def ask(self, command, **arguments):
        seq = next(self._seq)
        request = {"type": "request", "seq": seq, "command": command, "arguments": arguments}
        reply = self.client.request("debug_request", request, channel="control").content
        assert "status" not in reply, reply
        assert (reply["type"], reply["request_seq"], reply["command"]) == ("response", seq, command), reply
        return reply

    def body(self, command, **arguments):
        reply = self.ask(command, **arguments)
        assert reply["success"], reply
        return reply["body"]

    def event(self, kind):
        """The next event of this kind."""

        def events():
            return [m for m in self.client.everything[self._seen :] if m["msg_type"] == "debug_event"]

        def found():
            return next((m for m in events() if m["content"]["event"] == kind), None)

        self.client.wait(found, f"the event {kind}")
        message = found()
        self._seen = self.client.everything.index(message) + 1
        assert message["parent_header"]["msg_type"] == "debug_request", message["parent_header"]
        return message["content"]

    def attach(self):
        self.body("initialize", clientID="test", adapterID="", pathFormat="path")
        reply = self.ask("attach")
        assert reply["success"], reply

    def break_at(self, code, *lines):
        path = self.body("dumpCell", code=code)["sourcePath"]
        points = [{"line": line} for line in lines]
        told = self.body("setBreakpoints", source={"path": path}, breakpoints=points, sourceModified=False)
        assert all(point["verified"] for point in told["breakpoints"]), told
        assert self.ask("configurationDone")["success"]
        return path

    def frames(self):
        return self.body("stackTrace", threadId=1)["stackFrames"]

    def stack(self):
        return [(frame["name"], frame["line"]) for frame in self.frames()]

    def variables(self):
        scope = self.body("scopes", frameId=self.frames()[0]["id"])["scopes"][0]
        found = self.body("variables", variablesReference=scope["variablesReference"])["variables"]
        return {each["name"]: each["value"] for each in found}


class Case(KernelCase):
    options = ()

    def setUp(self):
        cls = type(self)
        if cls.kernel is None:
            cls.kernel = Kernel(change_argv=lambda argv: [*argv, *cls.options])
            cls.client = Client(cls.kernel.info)
        self.dap = Dap(self.client)
        self.addCleanup(self.detach)

    def detach(self):
        if self.client is not None and self.dap.body("debugInfo")["isStarted"]:
            self.dap.ask("disconnect", restart=False, terminateDebuggee=False)

    def stop_at_breakpoint(self):
        self.dap.break_at(CODE, 2)
        cell = self.client.start(CODE)
        self.assertEqual("breakpoint", self.dap.event("stopped")["body"]["reason"])
        self.assertEqual([("f", 2), ("<module>", 4)], self.dap.stack())
        self.assertEqual({"a": "1"}, self.dap.variables())
        return cell

    def go_on(self, cell):
        self.assertTrue(self.dap.ask("continue", threadId=1)["success"])
        self.assertEqual("2", self.assert_ok(self.client.finish(cell)).result())

    def wait_kept(self):
        """The debugger's thread may be about to end when a snapshot is to be made; then the next cell makes it."""
        while "Of the present state" in self.client.execute("%snapshots", store_history=False).text():
            self.client.execute("None", silent=True)


class Plain(Case):
    options = ("--sandbox", "L1")

    def test_a_cell_is_stopped_looked_at_stepped_through_and_goes_on(self):
        self.dap.attach()
        cell = self.stop_at_breakpoint()
        self.assertEqual([1], self.dap.body("debugInfo")["stoppedThreads"])
        path = self.dap.frames()[0]["source"]["path"]
        self.assertEqual(CODE, self.dap.body("source", source={"path": path})["content"])
        self.dap.ask("next", threadId=1)
        self.dap.event("stopped")
        self.assertEqual([("f", 3), ("<module>", 4)], self.dap.stack())
        self.assertEqual({"a": "1", "b": "2"}, self.dap.variables())
        self.assertTrue(self.dap.ask("stepOut", threadId=1)["success"])
        self.dap.event("stopped")
        self.assertEqual(["<module>"], [name for name, _ in self.dap.stack()])
        self.go_on(cell)

    def test_variables_are_told_before_the_start(self):
        self.assert_ok(self.client.execute("table = [1, {'k': 2}]"))
        found = {each["name"]: each for each in self.dap.body("inspectVariables")["variables"]}
        self.assertEqual("[1, {'k': 2}]", found["table"]["value"])
        inner = self.dap.body("variables", variablesReference=found["table"]["variablesReference"])["variables"]
        self.assertEqual(["1", "{'k': 2}"], [each["value"] for each in inner])

    def test_a_rich_value_is_let_out_as_an_output_is(self):
        # It goes into the page as a display does, so the same must be withheld.
        self.assert_ok(
            self.client.execute(
                "class Rich:\n"
                "    def _repr_mimebundle_(self, **_):\n"
                "        return {'text/html': '<script>alert(1)</script>', 'application/javascript': 'alert(1)',\n"
                "                'text/plain': 'rich'}\n"
                "rich = Rich()"
            )
        )
        shown = self.assert_ok(self.client.execute("rich")).contents("execute_result")[0]["data"]
        self.assertNotIn("application/javascript", shown)
        for stopped in (False, True):
            if stopped:
                self.dap.attach()
                self.dap.break_at("rich.x = 1", 1)
                cell = self.client.start("rich.x = 1")
                self.dap.event("stopped")
                frame = {"frameId": self.dap.frames()[0]["id"]}
            else:
                frame = {}
            data = self.dap.body("richInspectVariables", variableName="rich", **frame)["data"]
            self.assertEqual(set(shown), set(data))
            self.assertNotIn("<script>alert", data["text/html"].replace("srcdoc", ""))
        self.dap.ask("continue", threadId=1)
        self.client.finish(cell)

    def test_an_interrupt_at_a_breakpoint(self):
        # ipykernel#821: after it the debugger did nothing any more.
        self.dap.attach()
        for _ in range(2):
            cell = self.stop_at_breakpoint()
            self.client.request("interrupt_request", channel="control")
            self.assertEqual("KeyboardInterrupt", self.client.finish(cell).content["ename"])
            self.assert_runs()
        self.go_on(self.stop_at_breakpoint())

    def test_a_crash_under_the_debugger(self):
        self.assert_ok(self.client.execute("before = 7"))
        self.wait_kept()
        self.dap.attach()
        path = self.dap.break_at(CODE, 2)
        self.assert_ok(self.client.execute("after = 8"))
        done = self.client.execute("import os; os._exit(3)")
        self.assertIn("the debugger is attached", done.content["evalue"])
        self.dap.event("terminated")
        self.assertEqual("7", self.client.execute("before").result())
        self.assertEqual("NameError", self.client.execute("after").content["ename"])
        info = self.dap.body("debugInfo")
        self.assertFalse(info["isStarted"])
        self.assertEqual([{"source": path, "breakpoints": [{"line": 2}]}], info["breakpoints"])
        self.dap.attach()
        # The breakpoint is in force without having been set again.
        cell = self.client.start(CODE)
        self.dap.event("stopped")
        self.assertEqual([("f", 2), ("<module>", 4)], self.dap.stack())
        self.go_on(cell)

    def test_a_crash_at_a_breakpoint(self):
        self.dap.attach()
        cell = self.stop_at_breakpoint()
        frame = self.dap.frames()[0]["id"]
        reply = self.dap.ask("evaluate", expression="__import__('os')._exit(3)", frameId=frame, context="repl")
        self.assertFalse(reply["success"])
        self.assertEqual("WorkerDied", self.client.finish(cell).content["ename"])
        self.dap.event("terminated")
        self.dap.attach()
        self.go_on(self.stop_at_breakpoint())

    def test_an_undo_ends_it(self):
        self.assert_ok(self.client.execute("n = 1"))
        self.wait_kept()
        self.dap.attach()
        self.assert_ok(self.client.execute("n = 2"))
        self.assert_ok(self.client.execute("%undo"))
        self.dap.event("terminated")
        self.assertEqual("1", self.client.execute("n").result())
        self.dap.attach()
        self.go_on(self.stop_at_breakpoint())

    def test_snapshots_are_made_again_after_it(self):
        self.dap.attach()
        self.assert_ok(self.client.execute("m = 1"))
        self.assertIn("the debugger is attached", self.client.execute("%snapshots").text())
        self.dap.ask("disconnect", restart=False, terminateDebuggee=False)
        self.assert_ok(self.client.execute("m = 2"))
        self.wait_kept()

    def test_terminate_ends_the_debugger_alone(self):
        self.assert_ok(self.client.execute("kept = 1"))
        self.dap.attach()
        self.assertTrue(self.dap.ask("terminate", restart=False)["success"])
        self.dap.event("terminated")
        self.assertFalse(self.dap.body("debugInfo")["isStarted"])
        self.assertEqual("1", self.client.execute("kept").result())

    def test_two_clients_number_their_requests_as_they_like(self):
        other = Dap(self.another_client())
        for _ in range(3):
            other.body("debugInfo")
        self.dap.attach()
        cell = self.stop_at_breakpoint()
        self.assertEqual([("f", 2), ("<module>", 4)], other.stack())
        other.ask("continue", threadId=1)
        self.assertEqual("2", self.client.finish(cell).result())

    def test_what_cannot_be_is_refused(self):
        self.assertIn("not started", self.dap.ask("stackTrace", threadId=1)["message"])
        self.assertEqual("error", self.client.request("debug_request", {"seq": 1}, channel="control").status)
        self.assertFalse(self.dap.ask("no such command")["success"])
        self.dap.attach()
        self.assertFalse(self.dap.ask("noSuchCommand")["success"])
        self.assertFalse(self.dap.ask("setBreakpoints", breakpoints=7)["success"])

    def test_what_a_cell_forges_ends_its_worker_or_harms_nobody(self):
        forge = (
            "import os, struct, json\n"
            "def forge(data):\n"
            "    head = json.dumps({'signal': 'debug_event', 'buffers': [len(data)]}).encode()\n"
            "    frame = struct.pack('>II', 4 + len(head) + len(data), len(head)) + head + data\n"
            "    import stat\n"
            "    for fd in range(200, 210):\n"
            "        try:\n"
            "            if stat.S_ISFIFO(os.fstat(fd).st_mode): os.write(fd, frame)\n"
            "        except OSError: pass\n"
        )
        self.dap.body("debugInfo")
        self.client.execute(forge + 'forge(b\'{"type":"event","event":"capsule forged","body":{}}\')')
        self.assertEqual({}, self.dap.event("capsule forged")["body"])
        for data in (b"[]", b"{}", b'{"type":"response"}', b"not JSON"):
            done = self.client.execute(forge + f"forge({data!r})\nwhile True: pass")
            self.assertIn("protocol", done.content["evalue"])
        self.assert_runs()

    def test_a_malformed_answer_is_an_answer_all_the_same(self):
        # The worker was ended for it, but the client got no reply, and the kernel was busy for ever.
        for data in (b"[]", b'{"type":"event"}'):
            self.dap.body("debugInfo")
            self.assert_ok(
                self.client.execute(f"import sys; sys.modules['capsule_worker.debugger']._checked = lambda _: {data!r}")
            )
            self.assertFalse(self.dap.ask("debugInfo")["success"])
            # The snapshot that took its place has the same.
            self.assert_ok(self.client.execute("%recycle"))

    def test_kernel_info_says_so(self):
        self.assertIn("debugger", self.client.request("kernel_info_request").content["supported_features"])


class IPython(Plain):
    options = ("--engine", "ipython", "--sandbox", "L1")


class WithoutSockets(Plain):
    """A sandbox in which nothing can have a socket."""

    options = ("--sandbox", "L3")

    def test_there_are_none(self):
        self.assertEqual("error", self.client.execute("import socket; socket.socket()").status)


class BesideIpykernel(unittest.TestCase):
    """The same session, with the same answers but for paths and numbers."""

    def test_answers_alike(self):
        with Kernel(change_argv=lambda argv: [*argv, "--engine", "ipython"]) as kernel, Client(kernel.info) as client:
            ours = self.session(Dap(client), client.start)
        os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
        self.addCleanup(os.environ.pop, "PYDEVD_DISABLE_FILE_VALIDATION")
        manager, client = start_new_kernel(kernel_name="python3")
        try:
            theirs = self.session(Ipykernel(client), client.execute)
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
        for name, expected in theirs.items():
            with self.subTest(name):
                self.assertEqual(expected, ours[name])

    def session(self, dap, execute):
        told = {}
        info = dap.body("debugInfo")
        # Later ones than Debian's know copyToGlobals.
        told["debugInfo"] = {key: type(value).__name__ for key, value in info.items() if key != "copyToGlobals"}
        told["hash"] = info["hashMethod"], info["hashSeed"], info["tmpFileSuffix"]
        dap.ask("initialize", clientID="test", adapterID="", pathFormat="path")
        dap.ask("attach")
        path = dap.body("dumpCell", code=CODE)["sourcePath"]
        told["dumpCell"] = path.removeprefix(info["tmpFilePrefix"])
        points = dap.body("setBreakpoints", source={"path": path}, breakpoints=[{"line": 2}])["breakpoints"]
        told["setBreakpoints"] = [(point["verified"], point["line"]) for point in points]
        dap.ask("configurationDone")
        execute(CODE)
        told["stopped"] = dap.event("stopped")["body"]
        frames = dap.body("stackTrace", threadId=1)["stackFrames"]
        told["stackTrace"] = [{key: frame[key] for key in ("name", "line", "column")} for frame in frames]
        told["shape of a frame"] = sorted(frames[0])
        told["paths"] = {frame["source"]["path"] == path for frame in frames}
        scopes = dap.body("scopes", frameId=frames[0]["id"])["scopes"]
        told["scopes"] = [scope["name"] for scope in scopes]
        variables = dap.body("variables", variablesReference=scopes[0]["variablesReference"])["variables"]
        told["variables"] = variables
        told["rich"] = dap.body("richInspectVariables", variableName="a", frameId=frames[0]["id"])
        told["source"] = dap.body("source", source={"path": path})
        dap.ask("next", threadId=1)
        told["continued"] = dap.event("continued")["body"]
        dap.event("stopped")
        told["next"] = [(frame["name"], frame["line"]) for frame in dap.body("stackTrace", threadId=1)["stackFrames"]]
        dap.ask("continue", threadId=1)
        told["disconnect"] = dap.ask("disconnect", restart=False, terminateDebuggee=False)["success"]
        told["after"] = dap.body("debugInfo")["isStarted"]
        return told


class Ipykernel(Dap):
    """Through a client of jupyter_client's own."""

    def __init__(self, client):
        self.client = client
        self._seq = count(1)

    def ask(self, command, **arguments):
        request = {"type": "request", "seq": next(self._seq), "command": command, "arguments": arguments}
        message = self.client.session.msg("debug_request", request)
        self.client.control_channel.send(message)
        while True:
            reply = run_sync(self.client.control_channel.get_msg)(timeout=PATIENCE)
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                return reply["content"]

    def event(self, kind):
        while True:
            message = self.client.get_iopub_msg(timeout=PATIENCE)
            if message["msg_type"] == "debug_event" and message["content"]["event"] == kind:
                return message["content"]


if __name__ == "__main__":
    unittest.main()
