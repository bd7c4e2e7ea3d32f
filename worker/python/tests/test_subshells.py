"""Subshells: cells and questions on threads of their own, while the main thread runs a cell."""

import os
import signal
import unittest

from .client import Worker

# A cell that goes on until another sets `go`.
WAIT = "import threading; go = threading.Event(); print('waiting', flush=True)\nwhile not go.wait(0.01): pass\n'main'"


class Subshells(unittest.TestCase):
    def worker(self, **options):
        worker = Worker(**options)
        self.addCleanup(worker.close)
        return worker

    def busy(self, worker):
        """The id of a cell that keeps the main thread busy."""
        running = worker.start(WAIT)
        worker.until_text("waiting")
        return running

    def beside(self, worker, code, subshell="s1", **options):
        return worker.run(code, subshell=subshell, **{"store_history": False, **options})

    def printed(self, cell, name="stdout"):
        """What came in frames of that cell."""
        promise = cell.header.get("resolve") or cell.header["reject"]
        return "".join(
            buffers[0].decode()
            for header, buffers in cell.emitted("stream")
            if header["id"] == promise and header["name"] == name
        )

    def test_it_runs_while_the_main_thread_does_in_the_same_namespace(self):
        worker = self.worker()
        worker.run("a = 1")
        running = self.busy(worker)
        cell = self.beside(worker, "b = a + 1; import sys; print('beside'); print('err', file=sys.stderr); b")
        self.assertTrue(cell.ok, cell.header)
        self.assertEqual(("beside\n", "err\n"), (self.printed(cell), self.printed(cell, "stderr")))
        self.assertEqual("2", cell.result())
        self.assertNotIn("beside", cell.text())
        self.assertTrue(self.beside(worker, "go.set()", "s2").ok)
        main = worker.finish(running)
        self.assertEqual("'main'", main.result())
        self.assertEqual("2", worker.run("b").result())

    def test_what_it_shows_keeps_its_order_and_asks_for_no_ack(self):
        worker = self.worker()
        cell = self.beside(worker, "print(1, end=''); display('two'); print(3)")
        kinds = [(event[0], event[1].get("ack")) for event in cell.events]
        self.assertEqual([("stream", None), ("display", None), ("stream", None)], kinds)

    def test_a_flood_of_lines_is_few_frames(self):
        worker = self.worker()
        promise = worker.start(
            "for n in range(200_000): print(n)", subshell="s1", store_history=False
        )
        # As a kernel says of a cell that prints much.
        worker.until(lambda event: event[0] == "stream")
        worker.signal("flush", buffering="block")
        cell = worker.finish(promise)
        self.assertEqual("".join(f"{n}\n" for n in range(200_000)), self.printed(cell))
        self.assertLess(len(cell.emitted("stream")), 100_000)

    def test_code_can_be_traced_after_its_cells(self):
        # What was raised in its thread was taken back at the end of each cell, though nothing was. Of that CPython 3.11
        # keeps a note for good, with which no function that is traced ever begins: a debugger did not start.
        worker = self.worker()
        trace = "import sys\ndef f(): return 5\nsys.settrace(lambda *_: None); a = f(); sys.settrace(None)\na"
        self.beside(worker, "1")
        self.assertEqual("5", worker.run(trace).result())
        promise = worker.start("print('on', flush=True)\nwhile True: pass", subshell="s1", store_history=False)
        worker.until(lambda event: event[0] == "stream")
        worker.signal("cancel", id=promise)
        self.assertEqual("KeyboardInterrupt", worker.finish(promise).ename)
        self.assertEqual("5", worker.run(trace).result())

    def test_it_is_interrupted_alone(self):
        worker = self.worker()
        running = self.busy(worker)
        for code in (
            "print('on', flush=True)\nwhile True: pass",
            "import time; print('on', flush=True); time.sleep(1000)",
            "print('on', flush=True); input()",
            "import asyncio; print('on', flush=True); await asyncio.sleep(1000)",
            "import asyncio, time; await asyncio.sleep(0); print('on', flush=True)\nwhile True: pass",
            "for n in range(1000):\n  try:\n    print('on', flush=True)\n    time.sleep(1000)\n  finally: n += 1",
        ):
            with self.subTest(code=code):
                promise = worker.start(code, subshell="s1", store_history=False, allow_stdin=True)
                worker.until(lambda event: event[0] == "stream")
                if "input()" in code:
                    worker.until(lambda event: event[0] == "input")
                worker.signal("cancel", id=promise)
                cell = worker.finish(promise)
                self.assertEqual("KeyboardInterrupt", cell.ename, cell.header)
                self.assertIn("KeyboardInterrupt", cell.traceback)
        self.assertEqual("3", self.beside(worker, "1 + 2").result())
        worker.signal("cancel", id=running)
        self.assertEqual("KeyboardInterrupt", worker.finish(running).ename)

    def test_an_interrupt_in_it_reaches_no_program(self):
        worker = self.worker()
        worker.run("import subprocess; cat = subprocess.Popen(['cat'], stdin=-1, stdout=-1, bufsize=0)")
        promise = worker.start("print('on', flush=True)\nwhile True: pass", subshell="s1", store_history=False)
        worker.until(lambda event: event[0] == "stream")
        worker.signal("cancel", id=promise)
        self.assertEqual("KeyboardInterrupt", worker.finish(promise).ename)
        self.assertEqual("b'a'", worker.run("cat.stdin.write(b'a'); cat.stdout.read(1)").result())
        worker.run("cat.communicate()")

    def test_a_cell_that_waits_is_cancelled_before_it_begins(self):
        worker = self.worker()
        first = worker.start(WAIT, subshell="s1", store_history=False)
        worker.until(lambda event: event[0] == "stream")
        second = worker.start("print('never')", subshell="s1", store_history=False)
        worker.signal("cancel", id=second)
        worker.run("go.set()")
        cell = worker.finish(second)
        self.assertEqual("KeyboardInterrupt", cell.ename)
        self.assertEqual("", self.printed(cell))
        self.assertNotEqual(first, second)

    def test_both_ask_for_input_at_once(self):
        worker = self.worker()
        main = worker.start("input('main? ')", allow_stdin=True)
        asked = worker.until(lambda event: event[0] == "input")[1]
        beside = worker.start("input('beside? ')", subshell="s1", store_history=False, allow_stdin=True)
        other = worker.until(lambda event: event[0] == "input" and event[1]["prompt"] == "beside? ")[1]
        self.assertEqual([main, beside], [asked["execution"], other["execution"]])
        worker.send(worker.control, {"resolve": other["id"], "value": "b"})
        self.assertEqual("'b'", worker.finish(beside).result())
        worker.send(worker.control, {"resolve": asked["id"], "value": "m"})
        self.assertEqual("'m'", worker.finish(main).result())

    def test_questions_are_answered_while_a_cell_runs(self):
        worker = self.worker()
        worker.run("value = 'text'")
        running = self.busy(worker)
        self.assertIn("value", worker.ask("complete", "val", cursor=3, subshell="s1")[0]["matches"])
        self.assertTrue(worker.ask("inspect", "value", cursor=5, detail=0, subshell="s1")[0]["found"])
        self.assertEqual("incomplete", worker.ask("is_complete", "if 1:", subshell="s1")[0]["status"])
        self.beside(worker, "go.set()")
        worker.finish(running)

    def test_a_question_is_given_up_when_it_is_cancelled(self):
        worker = self.worker()
        worker.run(
            "class Slow:\n"
            "    def __dir__(self):\n"
            "        print('asked', flush=True)\n"
            "        while True: pass\n"
            "slow = Slow(); sl_name = 1"
        )
        worker.send(worker.control, {"open": "complete", "id": "q1", "cursor": 5, "subshell": "s1"}, b"slow.")
        worker.until_text("asked")
        worker.signal("cancel", id="q1")
        given_up = worker.finish("q1")
        self.assertEqual("KeyboardInterrupt", given_up.ename)
        found, _ = worker.ask("complete", "sl_", subshell="s1", cursor=3)
        self.assertEqual(["sl_name"], found["matches"])

    def test_its_event_loop_is_its_own_and_goes_on_between_cells(self):
        worker = self.worker()
        running = self.busy(worker)
        code = (
            "import asyncio, threading\n"
            "async def later(): await asyncio.sleep(0.05); print('later', threading.current_thread().name); go.set()\n"
            "task = asyncio.create_task(later())\n"
            "await asyncio.sleep(0)\nasyncio.run(asyncio.sleep(0, 5))"
        )
        cell = self.beside(worker, code)
        self.assertEqual("5", cell.result(), cell.header)
        late = worker.until(lambda event: event[0] == "stream" and b"later" in event[2][0])
        self.assertEqual(cell.header["resolve"], late[1]["id"])
        self.assertIn(b"capsule-subshell", late[2][0])
        worker.finish(running)
        self.assertEqual("7", self.beside(worker, "await asyncio.sleep(0, 7)").result())

    def test_a_thread_of_its_cell_prints_under_it(self):
        worker = self.worker()
        running = self.busy(worker)
        code = "import threading; t = threading.Thread(target=print, args=['of a thread']); t.start(); t.join()"
        self.assertEqual("of a thread\n", self.printed(self.beside(worker, code)))
        self.beside(worker, "go.set()")
        worker.finish(running)

    def test_prints_of_the_main_shell_are_direct_again_without_them(self):
        worker = self.worker()
        look = "import sys; 'write' in vars(sys.stdout)"
        # One that is only asked costs nothing.
        worker.ask("is_complete", "1", subshell="s0")
        self.assertEqual("False", worker.run(look).result())
        self.beside(worker, "1")
        self.assertEqual("True", worker.run(look).result())
        worker.signal("end_subshell", subshell="s1")
        worker.run("import time")
        # Who is told of the end by control may be later than the first cell.
        while worker.run(look).result() != "False":
            pass

    def test_figures_of_a_running_cell_are_left_to_it(self):
        worker = self.worker()
        if not worker.run("import matplotlib.pyplot as plt").ok:
            self.skipTest("matplotlib is not installed")
        running = worker.start("figure = plt.figure()\n" + WAIT)
        worker.until_text("waiting")
        cell = self.beside(worker, "shown = 1")
        self.assertEqual([], cell.emitted("display"))
        self.beside(worker, "go.set()")
        self.assertEqual(1, len(worker.finish(running).emitted("display")))
        # While nothing runs there, a subshell shows its own.
        cell = self.beside(worker, "plt.plot([1, 2]);")
        self.assertEqual(1, len(cell.emitted("display")))

    def test_a_forked_child_in_it_ends_with_its_cell(self):
        worker = self.worker()
        cell = self.beside(worker, "import os\npid = os.fork()\nstatus = os.waitpid(pid, 0)[1] if pid else None\nstatus")
        self.assertEqual("0", cell.result(), cell.header)

    def test_an_ended_subshell_leaves_no_thread(self):
        worker = self.worker()
        self.beside(worker, "import threading; mine = threading.current_thread()")
        worker.signal("end_subshell", subshell="s1")
        self.assertEqual("False", worker.run("mine.join(20); mine.is_alive()").result())
        self.assertEqual("3", self.beside(worker, "1 + 2").result())

    def test_snapshots_with_idle_and_busy_subshells(self):
        worker = self.worker(supervised=True)
        self.beside(worker, "a = 1")
        main = worker.run("b = a + 1")
        snapshot = worker.kept(main.header["resolve"])
        # What a subshell has changed is in the next, as soon as the main thread may make one.
        cell = self.beside(worker, "c = b + 1")
        worker.send(worker.requests, {"signal": "rest"})
        second = worker.kept(cell.header["resolve"])
        busy = worker.start(WAIT, subshell="s1", store_history=False)
        worker.until(lambda event: event[0] == "stream")
        cell = worker.run("d = c + 1")
        self.assertEqual("a subshell has something to do", worker.refused(cell.header["resolve"]))
        worker.run("go.set()")
        worker.finish(busy)
        live = worker.hello["pid"]
        worker.start("import os; os._exit(3)", subshell="s2", store_history=False)
        self.assertEqual(3, worker.died(live))
        live = worker.wake(second)
        self.assertEqual("(1, 2, 3)", self.beside(worker, "a, b, c").result())
        self.assertEqual("(1, 2, 3)", worker.run("a, b, c").result())
        worker.order(live, signal.SIGKILL)
        self.assertEqual(-signal.SIGKILL, worker.died(live))
        worker.wake(snapshot)
        self.assertEqual("(1, 2)", self.beside(worker, "a, b", "s3").result())
        self.assertEqual("False", worker.run("'c' in globals()").result())

    def test_after_a_revival_output_and_threads_are_told_apart_again(self):
        worker = self.worker(supervised=True)
        self.beside(worker, "a = 1")
        snapshot = worker.kept(worker.run("import os").header["resolve"])
        worker.start("os._exit(3)")
        self.assertEqual(3, worker.died(worker.hello["pid"]))
        worker.wake(snapshot)
        self.assertEqual("one\n", self.printed(self.beside(worker, "print('one')")))
        after = worker.run("print('two')")
        self.assertEqual("two\n", after.text())
        worker.kept(after.header["resolve"])


if __name__ == "__main__":
    unittest.main()
