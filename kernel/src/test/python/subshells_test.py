"""Subshells: what one shell runs, asks and aborts is no business of the others, in one namespace."""

import json
import tempfile
import time
from pathlib import Path

from kernels import Kernel
from wire import Client, KernelCase

# A cell that goes on until another sets `go`.
WAIT = "import threading; go = threading.Event(); print('waiting', flush=True)\nwhile not go.wait(0.01): pass\n"
MAX = 32
# Of a question for the cell before it.
PATIENCE_SECONDS = 0.1


class Case(KernelCase):
    # Of what the kernel is started with.
    arguments = []

    def setUp(self):
        cls = type(self)
        if cls.kernel is None:
            cls.kernel = Kernel(environment=cls.environment, change_argv=lambda argv: [*argv, *cls.arguments])
            cls.client = Client(cls.kernel.info)
        self.subshell = self.create()

    def tearDown(self):
        if self.kernel is not None and self.kernel.alive():
            self.client.finish(self.client.send("interrupt_request", channel="control"))
            for subshell in self.listed():
                self.delete(subshell)

    def create(self):
        created = self.client.request("create_subshell_request", channel="control")
        self.assertEqual("ok", created.status, created.content)
        return created.content["subshell_id"]

    def delete(self, subshell):
        return self.client.request("delete_subshell_request", {"subshell_id": subshell}, channel="control")

    def listed(self):
        return self.client.request("list_subshell_request", channel="control").content["subshell_id"]

    def beside(self, code, subshell=None, **options):
        return self.client.finish(self.client.start(code, subshell=subshell or self.subshell, **options))

    def ok(self, code, **options):
        return self.assert_ok(self.client.execute(code, **options))

    def busy(self, code=WAIT, **options):
        """A cell that runs until `go` is set, or it is interrupted."""
        running = self.client.start(code, **options)
        self.client.wait_text(running, "waiting")
        return running

    def kept(self):
        """Waits for a snapshot of the state as it is."""
        while "Of the present state" in self.ok("%snapshots", store_history=False).text():
            pass


class Subshells(Case):
    def test_they_are_told_of_and_listed(self):
        info = self.client.request("kernel_info_request")
        self.assertIn("kernel subshells", info.content["supported_features"])
        other = self.create()
        self.assertEqual([self.subshell, other], self.listed())
        self.assertEqual("ok", self.delete(other).status)
        self.assertEqual([self.subshell], self.listed())
        again = self.delete(other)
        self.assertEqual(("error", "SubshellNotFound"), (again.status, again.content["ename"]))

    def test_there_are_not_more_than_32(self):
        subshells = [self.subshell, *(self.create() for _ in range(MAX - 1))]
        refused = self.client.request("create_subshell_request", channel="control")
        self.assertEqual("error", refused.status)
        self.assertIn("32", refused.content["evalue"])
        # Each has a thread that works.
        started = [self.client.start("import threading; threading.get_ident()", subshell=each) for each in subshells]
        threads = {self.assert_ok(self.client.finish(each)).result() for each in started}
        self.assertEqual(MAX, len(threads))

    def test_an_unknown_one_is_an_error(self):
        done = self.client.finish(self.client.start("1", subshell="nobody"))
        self.assertEqual(("error", "SubshellNotFound"), (done.status, done.content["ename"]))
        self.assertIn('"nobody"', done.content["evalue"])
        asked = self.client.request("complete_request", {"code": "pr", "cursor_pos": 2}, subshell="nobody")
        self.assertEqual("error", asked.status)

    def test_a_cell_runs_while_the_main_shell_does(self):
        self.ok("a = 1")
        running = self.busy()
        done = self.assert_ok(self.beside("b = a + 1; print('beside'); display('shown'); b"))
        self.assertEqual(("beside\n", "2"), (done.text(), done.result()))
        self.assertEqual(["execute_input", "stream", "display_data", "execute_result"], done.types())
        self.assert_ok(self.beside("go.set()"))
        main = self.assert_ok(self.client.finish(running))
        self.assertEqual("waiting\n", main.text())
        self.assertEqual("2", self.ok("b").result())

    def test_counts_and_history_are_its_own(self):
        before = self.ok("'main'").content["execution_count"]
        other = self.create()
        shells = [self.subshell, other] * 2
        counts = [self.beside("'beside'", subshell).content["execution_count"] for subshell in shells]
        self.assertEqual([1, 1, 2, 2], counts)
        after = self.ok("_")
        self.assertEqual((before + 1, "'main'"), (after.content["execution_count"], after.result()))

    def test_its_failure_aborts_its_own_cells_only(self):
        running = self.busy()
        waiting = self.client.start("'main too'")
        failing = [self.client.start(code, subshell=self.subshell) for code in ("1 / 0", "'aborted'")]
        self.assertEqual(["error", "aborted"], [self.client.finish(each).status for each in failing])
        self.assert_ok(self.beside("go.set()"))
        self.assert_ok(self.client.finish(running))
        self.assertEqual("'main too'", self.assert_ok(self.client.finish(waiting)).result())

    def test_both_ask_for_input(self):
        main = self.client.start("input('main? ')", allow_stdin=True)
        asked = self.client.next_input_request()
        beside = self.client.start("input('beside? ')", subshell=self.subshell, allow_stdin=True)
        other = self.client.next_input_request()
        self.assertEqual((main, beside), (asked["parent_header"]["msg_id"], other["parent_header"]["msg_id"]))
        self.client.send("input_reply", {"value": "b"}, channel="stdin", parent=other)
        self.assertEqual("'b'", self.assert_ok(self.client.finish(beside)).result())
        self.client.send("input_reply", {"value": "m"}, channel="stdin", parent=asked)
        self.assertEqual("'m'", self.assert_ok(self.client.finish(main)).result())

    def test_an_interrupt_reaches_all(self):
        self.ok("import time, asyncio")
        waits = {
            None: "print('waiting', flush=True)\nwhile True: pass",
            self.subshell: "print('waiting', flush=True); time.sleep(1000)",
            self.create(): "print('waiting', flush=True); await asyncio.sleep(1000)",
            self.create(): "print('waiting', flush=True)\nwhile True: pass",
        }
        running = [self.busy(code, subshell=subshell) for subshell, code in waits.items()]
        asking = self.client.start("input()", subshell=self.create(), allow_stdin=True)
        self.client.next_input_request()
        asked = time.monotonic()
        self.client.finish(self.client.send("interrupt_request", channel="control"))
        for each in [*running, asking]:
            self.assertEqual("KeyboardInterrupt", self.client.finish(each).content["ename"])
        # Before the first step of the ladder from outside.
        self.assertLess(time.monotonic() - asked, 2)
        self.assert_runs()

    def test_deleting_a_busy_one_interrupts_it(self):
        running = self.busy(subshell=self.subshell)
        queued = self.client.start("'never'", subshell=self.subshell)
        asked = self.client.send("complete_request", {"code": "pr", "cursor_pos": 2}, subshell=self.subshell)
        # What came before this on the same connection has come, too.
        self.client.request("kernel_info_request")
        self.assertEqual("ok", self.delete(self.subshell).status)
        self.assertEqual("KeyboardInterrupt", self.client.finish(running).content["ename"])
        self.assertEqual("aborted", self.client.finish(queued).status)
        self.assertEqual("error", self.client.finish(asked).status)
        self.assertEqual([], self.listed())
        self.assertEqual("SubshellNotFound", self.beside("1").content["ename"])

    def test_questions_are_answered_while_the_main_shell_is_busy(self):
        self.ok("a_long_name = 5")
        running = self.busy()
        found = self.client.request("complete_request", {"code": "a_lo", "cursor_pos": 4}, subshell=self.subshell)
        self.assertEqual(["a_long_name"], found.content["matches"])
        where = {"code": "a_long_name", "cursor_pos": 5}
        inspected = self.client.request("inspect_request", where, subshell=self.subshell)
        self.assertTrue(inspected.content["found"])
        complete = self.client.request("is_complete_request", {"code": "if 1:"}, subshell=self.subshell)
        self.assertEqual("incomplete", complete.content["status"])
        self.assertEqual({}, self.client.request("comm_info_request", subshell=self.subshell).content["comms"])
        self.assert_ok(self.beside("go.set()"))
        self.client.finish(running)

    def test_questions_of_the_main_shell_do_not_wait_for_a_long_cell(self):
        self.ok("another_name = 5")
        running = self.busy()
        found = self.client.request("complete_request", {"code": "another_", "cursor_pos": 8})
        self.assertEqual(["another_name"], found.content["matches"])
        [told] = found.content["metadata"]["_jupyter_types_experimental"]
        self.assertEqual({"start": 0, "end": 8, "text": "another_name", "type": "instance"}, told)
        self.assertTrue(self.client.request("inspect_request", {"code": "another_name", "cursor_pos": 5}).content["found"])
        self.assertEqual("incomplete", self.client.request("is_complete_request", {"code": "if 1:"}).content["status"])
        # Who shows what the kernel does goes by the last status: the cell goes on.
        self.client.wait(lambda: self.last_status()[0] == "busy", "a last status that says busy")
        self.assertEqual(("busy", running), self.last_status())
        self.assert_ok(self.beside("go.set()"))
        self.client.finish(running)
        self.assertEqual("idle", self.last_status()[0])

    def last_status(self):
        last = [message for message in self.client.everything if message["msg_type"] == "status"][-1]
        return last["content"]["execution_state"], last["parent_header"]["msg_id"]

    def test_a_question_sees_what_the_short_cell_before_it_does(self):
        self.assert_runs()
        short = 0
        for n in range(20):
            began = time.monotonic()
            running = self.client.start(f"fresh_{n} = 1")
            asked = self.client.send("complete_request", {"code": f"fresh_{n}", "cursor_pos": len(f"fresh_{n}")})
            self.client.finish(running)
            if time.monotonic() - began < PATIENCE_SECONDS:
                short += 1
                self.assertIn(f"fresh_{n}", self.client.finish(asked).content["matches"])
            self.client.finish(asked)
        self.assertGreater(short, 0)

    def test_async_cells_and_late_output(self):
        running = self.busy()
        code = (
            "import asyncio\nasync def late():\n  await asyncio.sleep(0.05)\n  print('late')\n  go.set()\n"
            "task = asyncio.create_task(late())\nawait asyncio.sleep(0)\nprint('now')"
        )
        done = self.assert_ok(self.beside(code))
        self.client.wait_text(done.request, "late")
        self.assertEqual("waiting\n", self.assert_ok(self.client.finish(running)).text())

    def test_a_crash_costs_the_cells_that_run(self):
        self.ok("import os; a = [1]")
        self.kept()
        running = self.busy("a.append(2)\n" + WAIT)
        done = self.beside("os._exit(7)")
        main = self.client.finish(running)
        for each in (done, main):
            self.assertEqual("WorkerDied", each.content["ename"])
            self.assertIn("code 7", each.content["evalue"])
        self.assertEqual("[1]", self.assert_ok(self.beside("a")).result())
        self.assertEqual("[1]", self.ok("a").result())
        self.assertEqual([self.subshell], self.listed())

    def test_snapshots_with_idle_subshells(self):
        self.ok("import os; b = 1")
        self.assert_ok(self.beside("b = 2"))
        # Though nobody has run a cell of the main shell since.
        self.kept()
        lost = self.client.execute("os._exit(7)")
        self.assertEqual("WorkerDied", lost.content["ename"])
        self.assertIn("after a cell of a subshell", lost.content["evalue"])
        self.assertEqual("2", self.ok("b").result())
        self.assertEqual("2", self.assert_ok(self.beside("b")).result())

    def test_taking_back_cells_ends_what_runs_beside(self):
        self.ok("c = 1")
        self.kept()
        self.ok("c = 2")
        self.kept()
        running = self.busy(subshell=self.subshell)
        self.ok("%undo")
        ended = self.client.finish(running)
        self.assertIn("taken back", ended.content["evalue"])
        self.assertEqual("1", self.assert_ok(self.beside("c")).result())

    def test_a_cell_that_ends_with_a_recycled_worker_does_not_bring_it_back(self):
        # Its success made the worker that was about to end the one that serves, and ended the fresh one.
        self.ok(
            "import atexit, threading; stop = threading.Event()\n"
            "atexit.register(lambda: (stop.set(), threading.Event().wait()))"
        )
        running = self.busy("print('waiting', flush=True); stop.wait()", subshell=self.subshell)
        self.ok("%recycle")
        self.assert_ok(self.client.finish(running))
        done = self.ok("'stop' in globals()")
        self.assertEqual(("False", ""), (done.result(), done.text("stderr")))

    def test_what_capsule_itself_does_is_for_the_main_shell(self):
        refused = self.beside("%undo")
        self.assertEqual("UsageError", refused.content["ename"])
        self.assertIn("main shell", refused.content["evalue"])


class OnIPython(Subshells):
    arguments = ["--engine", "ipython"]


class Limits(Case):
    arguments = ["--profile", "hasty"]

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="capsule-subshells-")
        cls.addClassCleanup(folder.cleanup)
        profiles = Path(folder.name, "capsule", "profiles.json")
        profiles.parent.mkdir()
        profiles.write_text(json.dumps({"hasty": {"cellDeadline": "2 s"}}))
        cls.environment = {"XDG_CONFIG_HOME": folder.name}

    def test_the_deadline_is_a_cells_own(self):
        late = self.busy(subshell=self.subshell)
        self.ok("import time; began = time.monotonic()\nwhile time.monotonic() < began + 1: pass")
        # Begins later, and is there when the other's time is over.
        running = self.busy("print('waiting', flush=True)\nwhile not go.wait(0.01): pass")
        self.assertEqual("LimitExceeded", self.client.finish(late).content["ename"])
        self.assert_ok(self.beside("go.set()"))
        self.assert_ok(self.client.finish(running))

    def test_a_question_that_nobody_answers_is_given_up(self):
        # What it asked of went on for ever: no later question was answered beside a cell, and no snapshot made.
        self.ok(
            "class Slow:\n"
            "    def __dir__(self):\n"
            "        while True: pass\n"
            "slow = Slow(); sl_name = 1"
        )
        lost = self.client.request("complete_request", {"code": "slow.", "cursor_pos": 5}, subshell=self.subshell)
        self.assertEqual([], lost.content["matches"])
        found = self.client.request("complete_request", {"code": "sl_", "cursor_pos": 3}, subshell=self.subshell)
        self.assertEqual(["sl_name"], found.content["matches"])
        self.kept()
