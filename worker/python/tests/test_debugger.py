"""The debugger, asked as JupyterLab asks it."""

import importlib.util
import json
import os
import unittest
from itertools import count

from capsule_worker import debugger

from .client import Worker

CODE = "def f(a):\n    b = a + 1\n    return b\nr = f(1)\nprint(r)\nr"


class Dap:
    def __init__(self, worker):
        self.worker = worker
        self._seq = count(1)

    def start(self, command, **arguments):
        seq = next(self._seq)
        request = {"type": "request", "seq": seq, "command": command, "arguments": arguments}
        self.worker.send(self.worker.control, {"open": "debug", "id": f"d{seq}"}, json.dumps(request).encode())
        return f"d{seq}"

    def finish(self, promise):
        settle = self.worker.until(
            lambda event: event[0] == "settle" and promise in (event[1].get("resolve"), event[1].get("reject"))
        )
        assert "resolve" in settle[1], settle
        return json.loads(settle[2][0])

    def ask(self, command, **arguments):
        return self.finish(self.start(command, **arguments))

    def body(self, command, **arguments):
        response = self.ask(command, **arguments)
        assert response["success"], response
        return response["body"]

    def event(self, kind):
        found = self.worker.until(
            lambda event: event[0] == "debug_event" and json.loads(event[2][0])["event"] == kind
        )
        self.worker.events.remove(found)
        return json.loads(found[2][0])

    def attach(self):
        self.ask("initialize", clientID="test", adapterID="", pathFormat="path")
        response = self.ask("attach")
        assert response["success"], response

    def break_at(self, code, *lines):
        path = self.body("dumpCell", code=code)["sourcePath"]
        points = [{"line": line} for line in lines]
        return path, self.body("setBreakpoints", source={"path": path}, breakpoints=points)["breakpoints"]

    def stack(self):
        return [(frame["name"], frame["line"]) for frame in self.frames()]

    def frames(self):
        return self.body("stackTrace", threadId=1)["stackFrames"]

    def variables(self):
        scope = self.body("scopes", frameId=self.frames()[0]["id"])["scopes"][0]
        found = self.body("variables", variablesReference=scope["variablesReference"])["variables"]
        return {each["name"]: each["value"] for each in found}


class Names(unittest.TestCase):
    def test_are_those_that_jupyterlab_computes(self):
        # From ipykernel, for the same seed.
        self.assertEqual(
            debugger.murmur2(b"def g(a):\n    b = a + 1\n    return b\nr = g(1)\nprint(r)\n"), 1244580632
        )
        for text, expected in (
            ("", 3990065800),
            ("a", 2167009006),
            ("ab", 2805137849),
            ("abc", 3350977461),
            ("abcd", 804720481),
            ("é = 1", 743418365),
        ):
            self.assertEqual(debugger.file_name(text), f"{debugger.PREFIX}{expected}.py")


class WithoutDebugger(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.worker = Worker()
        cls.addClassCleanup(cls.worker.close)
        cls.dap = Dap(cls.worker)

    def test_variables_are_inspected(self):
        self.worker.run("class Point:\n    pass\np = Point(); p.x = [1, {'k': 2}]\ntext = 'é'; big = 10**5000")
        found = {each["name"]: each for each in self.dap.body("inspectVariables")["variables"]}
        self.assertEqual((found["text"]["value"], found["text"]["type"]), ("'é'", "str"))
        self.assertLess(len(found["big"]["value"]), 5_000)
        self.assertEqual(found["text"]["variablesReference"], 0)
        self.assertNotIn("In", found)
        [x] = self.dap.body("variables", variablesReference=found["p"]["variablesReference"])["variables"]
        self.assertEqual((x["name"], x["value"], x["evaluateName"]), ("x", "[1, {'k': 2}]", "p.x"))
        second = self.dap.body("variables", variablesReference=x["variablesReference"])["variables"][1]
        self.assertEqual((second["name"], second["value"]), ("1", "{'k': 2}"))

    def test_a_repr_that_fails_harms_nobody(self):
        self.worker.run("class Bad:\n    def __repr__(self): raise ValueError\nbad = Bad()")
        found = {each["name"]: each["value"] for each in self.dap.body("inspectVariables")["variables"]}
        self.assertIn("Bad", found["bad"])

    def test_rich_variables(self):
        self.worker.run("class Rich:\n    def _repr_html_(self): return '<b>rich</b>'\nrich = Rich()")
        self.assertEqual(self.dap.body("richInspectVariables", variableName="rich")["data"]["text/html"], "<b>rich</b>")
        self.assertFalse(self.dap.ask("richInspectVariables", variableName="not there")["success"])
        self.assertFalse(self.dap.ask("richInspectVariables", variableName="nothing")["success"])

    def test_info(self):
        info = self.dap.body("debugInfo")
        self.assertEqual((info["isStarted"], info["hashMethod"], info["hashSeed"]), (False, "Murmur2", 0xC70F6907))

    def test_what_needs_it_says_so(self):
        for command in ("threads", "attach", "nonsense", "not even a name"):
            response = self.dap.ask(command)
            self.assertEqual((response["success"], response["request_seq"] > 0), (False, True))
            self.assertIn("not started", response["message"])

    def test_breakpoints_wait_for_the_start(self):
        path, points = self.dap.break_at("1", 1)
        self.assertFalse(points[0]["verified"])
        self.assertEqual(self.dap.body("debugInfo")["breakpoints"], [{"source": path, "breakpoints": [{"line": 1}]}])
        self.dap.body("setBreakpoints", source={"path": path}, breakpoints=[])
        self.assertEqual(self.dap.body("debugInfo")["breakpoints"], [])

    def test_the_text_of_a_cell_is_in_no_file(self):
        path = self.dap.body("dumpCell", code="é = 1\n")["sourcePath"]
        self.assertFalse(os.path.exists(path))
        self.assertEqual(self.dap.body("source", source={"path": path})["content"], "é = 1\n")
        self.assertFalse(self.dap.ask("source", source={"path": "/nowhere.py"})["success"])


@unittest.skipUnless(importlib.util.find_spec("debugpy"), "debugpy is not installed")
class Debugging(unittest.TestCase):
    def worker(self, **options):
        self.worker = Worker(**options)
        self.addCleanup(self.worker.close)
        self.dap = Dap(self.worker)
        return self.worker

    def debugged(self, **options):
        self.worker(**options)
        self.dap.attach()
        return self.dap

    def test_stops_tells_steps_and_goes_on(self):
        dap = self.debugged()
        path, points = dap.break_at(CODE, 2)
        self.assertEqual([(each["verified"], each["line"]) for each in points], [(True, 2)])
        cell = self.worker.start(CODE)
        stopped = dap.event("stopped")["body"]
        self.assertEqual((stopped["reason"], stopped["threadId"]), ("breakpoint", 1))
        self.assertEqual(dap.body("debugInfo")["stoppedThreads"], [1])
        self.assertEqual({frame["source"]["path"] for frame in dap.frames()}, {path})
        self.assertEqual(dap.stack(), [("f", 2), ("<module>", 4)])
        self.assertEqual(dap.variables(), {"a": "1"})
        for expected in ([("f", 3), ("<module>", 4)], [("<module>", 5)], [("<module>", 6)]):
            dap.ask("next", threadId=1)
            dap.event("stopped")
            if dap.stack() == [("<module>", 4)]:
                # Where Python tells debuggers of returns, they stop there too.
                dap.ask("next", threadId=1)
                dap.event("stopped")
            self.assertEqual(dap.stack(), expected)
        dap.ask("continue", threadId=1)
        done = self.worker.finish(cell)
        # pydevd warned of a call of sys.settrace() that was the worker's own.
        self.assertEqual((done.text(), done.text("stderr"), done.result()), ("2\n", "", "2"))
        self.assertEqual(dap.body("debugInfo")["stoppedThreads"], [])

    def test_functions_of_cells_that_ran_before_it(self):
        self.worker()
        self.worker.run("\n\n" + CODE)
        dap = self.dap
        dap.attach()
        path, _ = dap.break_at("\n\n" + CODE, 4)
        cell = self.worker.start("f(41)")
        dap.event("stopped")
        self.assertEqual(dap.stack()[0], ("f", 4))
        self.assertEqual(dap.frames()[0]["source"]["path"], path)
        dap.ask("continue", threadId=1)
        self.assertEqual(self.worker.finish(cell).result(), "42")

    def test_tracebacks_are_what_they_were(self):
        self.worker()
        before = self.worker.run("1 / 0").traceback
        self.dap.attach()
        self.dap.break_at("1 / 0")
        self.assertEqual(self.worker.run("1 / 0").traceback, before.replace("[1]", "[2]").replace("-1-", "-2-"))

    def test_values_of_a_stopped_frame(self):
        dap = self.debugged()
        code = "class Rich:\n    def _repr_html_(self): return '<b>rich</b>'\n"
        code += "def g():\n    here = Rich()\n    return 1\ng()"
        dap.break_at(code, 5)
        cell = self.worker.start(code)
        dap.event("stopped")
        frame = dap.frames()[0]["id"]
        rich = dap.body("richInspectVariables", variableName="here", frameId=frame)
        self.assertEqual(rich["data"]["text/html"], "<b>rich</b>")
        self.assertEqual(dap.body("evaluate", expression="1 + 1", frameId=frame, context="repl")["result"], "2")
        dap.ask("copyToGlobals", srcVariableName="here", dstVariableName="there", srcFrameId=frame)
        dap.ask("continue", threadId=1)
        self.worker.finish(cell)
        self.assertEqual(self.worker.run("type(there).__name__").result(), "'Rich'")

    def test_an_interrupt_ends_the_cell_at_a_breakpoint(self):
        # ipykernel#821: the debugger was of no more use.
        dap = self.debugged()
        dap.break_at(CODE, 2)
        for _ in range(3):
            cell = self.worker.start(CODE)
            dap.event("stopped")
            self.worker.signal("cancel", id=cell)
            self.assertEqual(self.worker.finish(cell).ename, "KeyboardInterrupt")
            self.assertEqual(dap.body("debugInfo")["stoppedThreads"], [])
            self.assertEqual(self.worker.run("1 + 1").result(), "2")
        cell = self.worker.start(CODE)
        dap.event("stopped")
        self.assertEqual(dap.variables(), {"a": "1"})
        dap.ask("continue", threadId=1)
        self.assertTrue(self.worker.finish(cell).ok)

    def test_an_interrupt_ends_an_asynchronous_cell_at_a_breakpoint(self):
        dap = self.debugged()
        code = "import asyncio\nasync def h():\n    await asyncio.sleep(0)\n    return 5\nawait h()"
        dap.break_at(code, 4)
        for _ in range(2):
            cell = self.worker.start(code)
            dap.event("stopped")
            self.worker.signal("cancel", id=cell)
            self.assertEqual(self.worker.finish(cell).ename, "KeyboardInterrupt")

    def test_what_pydevd_would_not_answer_is_refused(self):
        dap = self.debugged()
        for command in ("restart", "stepBack", "nonsense"):
            self.assertFalse(dap.ask(command, threadId=1)["success"])

    def test_a_pause_between_cells_is_not_for_the_next(self):
        dap = self.debugged()
        self.assertFalse(dap.ask("pause", threadId=1)["success"])
        self.assertEqual(self.worker.run("1 + 1").result(), "2")

    def test_may_begin_before_the_worker_is_ready(self):
        # What debugpy put into sys.path went into a copy, which another import's end threw away.
        self.worker(wait=False)
        self.worker.until(lambda event: event[0] == "hello")
        self.dap.attach()
        self.assertEqual(self.worker.run("1 + 1").result(), "2")

    def test_pauses_a_loop(self):
        dap = self.debugged()
        cell = self.worker.start("go = True\nprint('now')\nwhile go:\n    pass\nprint('done')")
        self.worker.signal("flush", buffering="line")
        self.worker.until_text("now")
        dap.ask("pause", threadId=1)
        dap.event("stopped")
        frame = dap.frames()[0]["id"]
        dap.body("evaluate", expression="go = False", frameId=frame, context="repl")
        dap.ask("continue", threadId=1)
        self.assertIn("done", self.worker.finish(cell).text())

    def test_ends_and_begins_again(self):
        self.worker()
        dap = self.dap
        for _ in range(3):
            dap.attach()
            dap.break_at(CODE, 2)
            cell = self.worker.start(CODE)
            dap.event("stopped")
            self.assertTrue(dap.ask("disconnect", restart=False, terminateDebuggee=True)["success"])
            self.assertEqual(self.worker.finish(cell).result(), "2")
            info = dap.body("debugInfo")
            self.assertEqual((info["isStarted"], info["stoppedThreads"], info["breakpoints"]), (False, [], []))
        names = "import sys, threading; sys.gettrace(), [t.name for t in threading.enumerate() if 'pydevd' in t.name]"
        self.assertEqual(self.worker.run(names).result(), "(None, [])")

    def test_starts_after_cells_of_a_subshell_and_leaves_snapshots_possible(self):
        # It never did (tests/test_subshells.py says why), and its thread, which did not end, kept snapshots from being
        # made from then on.
        worker = self.worker(supervised=True)
        worker.run("1", subshell="s1", store_history=False)
        self.dap.attach()
        self.dap.ask("disconnect")
        # The thread that has answered may be about to end.
        worker.run("import threading\nfor t in threading.enumerate():\n    if t.name == 'capsule-debugger': t.join()")
        worker.kept_soon(worker.run("2").header["resolve"])

    def test_no_snapshot_is_made_under_it(self):
        worker = self.worker(supervised=True)
        worker.kept(worker.run("a = 1").header["resolve"])
        self.dap.attach()
        cell = worker.run("a = 2").header["resolve"]
        self.assertEqual(worker.refused(cell), "the debugger is attached")
        self.dap.ask("disconnect")
        # The thread that has answered may be about to end.
        wait = "import threading\nfor t in threading.enumerate():\n    if t.name == 'capsule-debugger': t.join()"
        snapshot = worker.kept_soon(worker.run(f"a = 3\n{wait}").header["resolve"])
        worker.start("import os; os._exit(3)")
        worker.died(worker.hello["pid"])
        worker.wake(snapshot)
        self.assertEqual(worker.run("a").result(), "3")
        self.dap.attach()
        self.dap.break_at(CODE, 2)
        cell = worker.start(CODE)
        self.dap.event("stopped")
        self.dap.ask("continue", threadId=1)
        self.assertEqual(worker.finish(cell).result(), "2")

    def test_a_forked_child_does_not_stop(self):
        dap = self.debugged()
        code = "import os\ndef child():\n    return 7\nif not os.fork():\n    os._exit(child())\n"
        code += "os.waitstatus_to_exitcode(os.wait()[1])"
        dap.break_at(code, 3)
        done = self.worker.run(code)
        self.assertEqual((done.result(), done.text("stderr")), ("7", ""))

    def test_asynchronous_cells(self):
        dap = self.debugged()
        code = "import asyncio\nasync def h():\n    await asyncio.sleep(0)\n    return 5\nawait h()"
        dap.break_at(code, 4)
        cell = self.worker.start(code)
        dap.event("stopped")
        self.assertEqual(dap.stack()[0], ("h", 4))
        dap.ask("continue", threadId=1)
        self.assertEqual(self.worker.finish(cell).result(), "5")
