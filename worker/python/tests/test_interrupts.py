"""Interrupts: they end the cell they are meant for, whatever it does, and nothing else."""

import os
import signal
import sys
import unittest

from .client import Worker

# A program that any interrupt ends after its first line. Shells lose one that comes while they start another program, and
# Python one that comes just before it waits.
SLEEP = (
    f"exec {sys.executable} -c 'import signal, time; signal.signal(2, signal.SIG_DFL); "
    "print(\"now\", flush=True); time.sleep(1000)'"
)

# Each prints a line when it is about to be stopped.
FOREVER = {
    "loop": "print('now')\nwhile True: pass",
    "sleep": "import time\nprint('now')\ntime.sleep(1000)",
    "lock": "import threading\nlock = threading.Lock()\nlock.acquire()\nprint('now')\nlock.acquire()",
    "event": "import threading\nprint('now')\nthreading.Event().wait()",
    "subprocess": "import subprocess\nprint('now')\nsubprocess.run(['sleep', '1000'])",
    "system": f"import os\nos.system({SLEEP!r})",
    "a loop of programs": f"import os\nwhile True: os.system({SLEEP!r})",
    "await": "import asyncio\nprint('now')\nawait asyncio.sleep(1000)",
    "gather": "import asyncio\nprint('now')\nawait asyncio.gather(asyncio.sleep(1000), asyncio.sleep(1000))",
    "loop in a coroutine": "import asyncio\nawait asyncio.sleep(0)\nprint('now')\nwhile True: pass",
    "loop of awaits": "import asyncio\nprint('now')\nwhile True: await asyncio.sleep(0)",
    "asyncio.run": "import asyncio\nprint('now')\nasyncio.run(asyncio.sleep(1000))",
    "nested asyncio.run": "import asyncio\nawait asyncio.sleep(0)\nprint('now')\nasyncio.run(asyncio.sleep(1000))",
    "another task": (
        "import asyncio\n"
        "async def hog():\n"
        "    print('now')\n"
        "    while True: pass\n"
        "task = asyncio.create_task(hog())\n"
        "await asyncio.sleep(1000)"
    ),
    "a callback": (
        "import asyncio\n"
        "def hog():\n"
        "    print('now')\n"
        "    while True: pass\n"
        "asyncio.get_running_loop().call_soon(hog)\n"
        "await asyncio.sleep(1000)"
    ),
    "a callback, then the cell": (
        "import asyncio\nasyncio.get_running_loop().call_soon(print, 'now')\nawait asyncio.Event().wait()"
    ),
    "repr": "class Slow:\n    def __repr__(self):\n        print('now')\n        while True: pass\nSlow()",
    "str of an exception": (
        "class Slow(Exception):\n    def __str__(self):\n        print('now')\n        while True: pass\nraise Slow"
    ),
}

# A program that answers what it reads, or says that an interrupt has come before that. (Its status may be lost: an interrupt
# can come between the system's wait() and Python's.)
TEXT = (
    "import os, select, signal, sys\n"
    "heard, tell = os.pipe(); os.set_blocking(tell, False); signal.set_wakeup_fd(tell)\n"
    "signal.signal(signal.SIGINT, lambda *_: None)\n"
    "print('now', flush=True)\n"
    "while True:\n"
    "    select.select([0, heard], [], [])\n"
    "    if select.select([heard], [], [], 0)[0]: sys.exit(print('interrupted'))\n"
    "    if not os.read(0, 1): sys.exit(0)\n"
    "    print('read', flush=True)"
)
PROGRAM = (
    "import subprocess, sys\n"
    "def begin(**options):\n"
    f"    return subprocess.Popen([sys.executable, '-c', {TEXT!r}], stdin=subprocess.PIPE, bufsize=0, **options)"
)
# Begins one that nobody but the cell hears, and makes it answer.
BEGIN = "program = begin(stdout=subprocess.PIPE); program.stdout.readline()"
ANSWER = "program.stdin.write(b'?'); line = program.stdout.readline(); program.kill(); program.communicate(); line"


class Interrupts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.worker = Worker()
        cls.addClassCleanup(cls.worker.close)

    def check_next(self):
        self.assertEqual(self.worker.run("1 + 1").result(), "2")

    def test_end_everything(self):
        for name, code in FOREVER.items():
            for _ in range(3):
                with self.subTest(name):
                    cell = self.worker.start(code)
                    self.worker.until_text("now\n")
                    self.worker.signal("cancel", id=cell)
                    self.assertEqual(self.worker.finish(cell).ename, "KeyboardInterrupt")
                    self.check_next()

    def test_from_outside_do_the_same(self):
        for name in ("loop", "sleep", "await", "another task", "a callback"):
            with self.subTest(name):
                cell = self.worker.start(FOREVER[name])
                self.worker.until_text("now\n")
                os.kill(self.worker.pid, signal.SIGINT)
                self.assertEqual(self.worker.finish(cell).ename, "KeyboardInterrupt")
                self.check_next()

    def test_come_with_a_signal_that_has_a_loop_make_way_for_them(self):
        cell = self.worker.start("import sys\nsys.setswitchinterval(1000)\nprint('now')\nwhile True: pass")
        self.worker.until_text("now\n")
        self.worker.signal("cancel", id=cell)
        os.kill(self.worker.pid, signal.SIGURG)
        self.assertEqual(self.worker.finish(cell).ename, "KeyboardInterrupt")
        self.assertTrue(self.worker.run("sys.setswitchinterval(0.005)").ok)

    def test_reach_the_programs_that_cells_have_started(self):
        """The worker alone heard of them: `p.wait()` ended, the program ran on and printed under later cells; and system(),
        which ignores the signal while it waits for its program, ended by the worker's death only.
        """
        self.worker.run(PROGRAM)
        for ending in ("program.wait()", "while True: pass"):
            with self.subTest(ending):
                cell = self.worker.start("program = begin()\n" + ending)
                self.worker.until_text("now\n")
                self.worker.signal("cancel", id=cell)
                done = self.worker.finish(cell)
                self.assertEqual(done.ename, "KeyboardInterrupt")
                after = self.worker.run("program.stdin.close(); program.wait()")
                self.assertIn("interrupted\n", done.text() + after.text())

    def test_reach_no_program_that_has_left_the_group(self):
        self.worker.run(PROGRAM)
        self.worker.run(BEGIN.replace("begin(", "begin(start_new_session=True, "))
        cell = self.worker.start("other = begin(); other.wait()")
        self.worker.until_text("now\n")
        self.worker.signal("cancel", id=cell)
        done = self.worker.finish(cell)
        after = self.worker.run("other.stdin.close(); other.wait()")
        self.assertIn("interrupted\n", done.text() + after.text())
        self.assertEqual(self.worker.run(ANSWER).result(), r"b'read\n'")

    def test_of_questions_reach_no_program(self):
        slow = "class Slow:\n    def __dir__(self):\n        print('now')\n        while True: pass\nslow = Slow()"
        # Where IPython asks in a thread, that goes on for ever.
        with Worker() as worker:
            worker.run(PROGRAM)
            worker.run(BEGIN)
            worker.run(slow)
            worker.send(worker.requests, {"open": "complete", "id": "slow", "cursor": 5}, b"slow.")
            worker.until_text("now\n")
            worker.signal("cancel", id="slow")
            worker.until(lambda event: event[0] == "settle")
            self.assertEqual(worker.run(ANSWER).result(), r"b'read\n'")

    def test_raise_once_though_programs_hear_of_them_too(self):
        code = (
            "import os\n"
            "try:\n"
            f"    os.system({SLEEP!r})\n"
            "except KeyboardInterrupt:\n"
            "    n = 0\n"
            "    while n < 1_000_000: n += 1\n"
            "n"
        )
        for _ in range(10):
            cell = self.worker.start(code)
            self.worker.until_text("now\n")
            self.worker.signal("cancel", id=cell)
            self.assertEqual(self.worker.finish(cell).result(), "1000000")

    def test_show_where_the_cell_was(self):
        sleeping = (
            "import sys, threading, time\n"
            "def tell(main=sys._getframe()):\n"
            "    while main.f_lineno != 6: pass\n"
            "    print('now')\n"
            "threading.Thread(target=tell).start()\n"
            "slept = time.sleep(1000)"
        )
        waiting = FOREVER["a callback, then the cell"]
        for code, line in ((sleeping, "    slept = time.sleep(1000)"), (waiting, "    await asyncio.Event().wait()")):
            cell = self.worker.start(code)
            self.worker.until_text("now\n")
            self.worker.signal("cancel", id=cell)
            traceback = self.worker.finish(cell).traceback
            self.assertIn(line, traceback)
            self.assertNotIn("capsule_worker", traceback)
            self.assertNotIn("CancelledError", traceback)

    def test_end_user_expressions(self):
        cell = self.worker.start("import time", user_expressions={"a": "print('now') or time.sleep(1000)"})
        self.worker.until_text("now\n")
        self.worker.signal("cancel", id=cell)
        self.assertEqual(self.worker.finish(cell).ename, "KeyboardInterrupt")
        self.check_next()

    def test_can_be_caught_and_come_again(self):
        code = (
            "import time\n"
            "for i in range(3):\n"
            "    try:\n"
            "        print('now', i)\n"
            "        time.sleep(1000)\n"
            "    except KeyboardInterrupt:\n"
            "        print('caught')"
        )
        cell = self.worker.start(code)
        for number in range(3):
            self.worker.until_text(f"now {number}\n")
            self.worker.signal("cancel", id=cell)
        self.assertTrue(self.worker.finish(cell).ok)

    def test_a_second_one_ends_what_swallows_cancellation(self):
        code = (
            "import asyncio\n"
            "while True:\n"
            "    try:\n"
            "        asyncio.get_running_loop().call_soon(print, 'now')\n"
            "        await asyncio.sleep(1000)\n"
            "    except asyncio.CancelledError:\n"
            "        print('caught')"
        )
        with Worker() as worker:
            cell = worker.start(code)
            worker.until_text("now\n")
            worker.signal("cancel", id=cell)
            worker.until_text("caught\nnow\n")
            worker.signal("cancel", id=cell)
            self.assertEqual(worker.finish(cell).ename, "KeyboardInterrupt")
            self.assertEqual(worker.run("1 + 1").result(), "2")

    def test_leave_tasks_of_the_cell_alone(self):
        code = (
            "import asyncio\n"
            "go = asyncio.Event()\n"
            "task = asyncio.create_task(go.wait())\n"
            "asyncio.get_running_loop().call_soon(print, 'now')\n"
            "await asyncio.sleep(1000)"
        )
        cell = self.worker.start(code)
        self.worker.until_text("now\n")
        self.worker.signal("cancel", id=cell)
        self.worker.finish(cell)
        self.assertEqual(self.worker.run("go.set()\nawait task").result(), "True")

    def test_leave_tasks_alone_in_whose_steps_they_come(self):
        """Such a task ended by the KeyboardInterrupt that was meant for the cell."""
        code = (
            "import asyncio, os, signal\n"
            "async def beside():\n"
            "    os.kill(os.getpid(), signal.SIGINT)\n"
            "    await asyncio.sleep(0)\n"
            "    return 'alive'\n"
            "task = asyncio.create_task(beside())\n"
            "await asyncio.sleep(1000)"
        )
        self.assertEqual(self.worker.run(code).ename, "KeyboardInterrupt")
        self.assertEqual(self.worker.run("await task").result(), "'alive'")

    def test_between_cells_do_nothing(self):
        self.worker.run("x = 1")
        self.worker.signal("cancel", id="long over")
        os.kill(self.worker.pid, signal.SIGINT)
        self.check_next()

    def test_of_a_cell_that_is_over_do_not_hit_the_next(self):
        first = self.worker.start("x = 1")
        self.worker.finish(first)
        second = self.worker.start("import threading\nprint('now')\ngo = threading.Event()\ngo.wait()")
        self.worker.until_text("now\n")
        self.worker.signal("cancel", id=first)
        # Only this one ends it.
        self.worker.signal("cancel", id=second)
        self.assertEqual(self.worker.finish(second).ename, "KeyboardInterrupt")
        for _ in range(200):
            cell = self.worker.start("pass")
            self.worker.signal("cancel", id=cell)
            following = self.worker.start("1 + 1")
            self.worker.finish(cell)
            self.assertEqual(self.worker.finish(following).result(), "2")

    def test_that_come_before_their_cell_end_it_at_once(self):
        self.worker.signal("cancel", id="early")
        # Control has its own order: when this display is answered, the cancel has been heard.
        self.worker.run("display(1)")
        self.worker.start("print('never')\nwhile True: pass", id="early")
        cell = self.worker.finish("early")
        self.assertEqual((cell.ename, cell.text()), ("KeyboardInterrupt", ""))
        self.check_next()

    def test_end_a_question_in_front_of_the_cell(self):
        code = "class Slow:\n    def __dir__(self):\n        print('now')\n        while True: pass\nslow = Slow()"
        self.worker.run(code)
        self.worker.send(self.worker.requests, {"open": "complete", "id": "slow", "cursor": 5}, b"slow.")
        cell = self.worker.start("1 + 1")
        self.worker.until_text("now\n")
        self.worker.signal("cancel", id=cell)
        question = self.worker.until(lambda event: event[0] == "settle")
        self.assertEqual((question[1].get("reject"), question[1].get("ename")), ("slow", "KeyboardInterrupt"))
        self.assertEqual(self.worker.finish(cell).ename, "KeyboardInterrupt")

    def test_go_to_the_handler_of_a_cell_which_holds_for_that_cell(self):
        code = (
            "import signal, threading\n"
            "go = threading.Event()\n"
            "signal.signal(signal.SIGINT, lambda *_: go.set())\n"
            "print('now')\n"
            # Python does not hear a signal that comes between its last look and a wait without end, and nobody can know
            # whether a handler of the cell's has: so none is sent again.
            "while not go.wait(0.1): pass\n"
            "'handled'"
        )
        cell = self.worker.start(code)
        self.worker.until_text("now\n")
        self.worker.signal("cancel", id=cell)
        self.assertEqual(self.worker.finish(cell).result(), "'handled'")
        cell = self.worker.start(FOREVER["loop"])
        self.worker.until_text("now\n")
        self.worker.signal("cancel", id=cell)
        self.assertEqual(self.worker.finish(cell).ename, "KeyboardInterrupt")

    def test_in_the_midst_of_displays_tear_no_frame(self):
        for _ in range(20):
            cell = self.worker.start("while True: display({'image/png': b'x' * 300_000}, raw=True)")
            self.worker.until(lambda event: event[0] == "display")
            self.worker.signal("cancel", id=cell)
            done = self.worker.finish(cell)
            self.assertEqual(done.ename, "KeyboardInterrupt")
            self.assertTrue(all(len(buffers[0]) == 300_000 for _, buffers in done.emitted("display")))
        self.check_next()

    def test_signal_handlers_of_cells_that_raise_are_no_harm(self):
        # A worker of its own: what a handler raises in a finalizer of an earlier cell's objects is lost in any Python.
        worker = Worker()
        self.addCleanup(worker.close)
        worker.run(
            "import signal\n"
            "def alarm(*_):\n"
            "    signal.setitimer(signal.ITIMER_REAL, 0)\n"
            "    raise TimeoutError('too late')\n"
            "signal.signal(signal.SIGALRM, alarm)\n"
            # One signal might come when the worker is just about to wait for it, and wait with it.
            "signal.setitimer(signal.ITIMER_REAL, 0.1, 0.01)"
        )
        worker.until_text("too late", "stderr")
        worker.events.clear()
        self.assertEqual(worker.run("1 + 1").result(), "2")
        # In the midst of frames that are longer than the pipe.
        cell = worker.run(
            "def alarm(*_):\n"
            "    global showing\n"
            "    if showing:\n"
            "        showing = False\n"
            "        raise TimeoutError\n"
            "showing = False\n"
            "signal.signal(signal.SIGALRM, alarm)\n"
            "signal.setitimer(signal.ITIMER_REAL, 0.003, 0.003)\n"
            "for _ in range(10):\n"
            "    try:\n"
            "        showing = True\n"
            "        while True: display({'image/png': b'x' * 1_000_000}, raw=True)\n"
            "    except TimeoutError:\n"
            "        pass\n"
            "signal.setitimer(signal.ITIMER_REAL, 0)"
        )
        self.assertTrue(cell.ok, cell.header)
        self.assertTrue(all(len(buffers[0]) == 1_000_000 for _, buffers in cell.emitted("display")))
        self.assertEqual(worker.run("1 + 1").result(), "2")
