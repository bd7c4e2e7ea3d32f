"""Interrupt ends a cell whatever it does, and the next cell runs."""

from wire import KernelCase

# Seconds from the interrupt to the end of the cell: when the code lets itself be interrupted, nothing outside the
# worker has to act (which happens after 2 s); otherwise the worker is killed after 5 s and a fresh one started.
SOON = 1.9
LATE = 10

ANNOUNCE = "print('now', flush=True)\n"


class Interrupts(KernelCase):
    def setUp(self):
        super().setUp()
        self.assert_ok(self.client.execute("import os, signal, time\nkept = 41"))

    def interrupted(self, code, within, **options):
        """Runs a cell, interrupts it once it says that it is there, and returns how it ended."""
        running = self.client.start(code, **options)
        self.client.wait_text(running, "now")
        if options.get("allow_stdin"):
            self.client.next_input_request()
        return self.end(running, within)

    def end(self, running, within):
        asked = self.client.send("interrupt_request", channel="control")
        done = self.client.finish(running, timeout=within)
        self.assertEqual("error", done.status)
        self.assertEqual("ok", self.client.finish(asked).status)
        return done

    def assert_kept(self, done):
        self.assertEqual("KeyboardInterrupt", done.content["ename"], done.told())
        self.assert_runs("kept + 1", "42")

    def assert_kept_or_told(self, done):
        """The worker may be killed; then the message must say so, and what has become of the state."""
        kept = self.client.execute("kept + 1").status == "ok"
        if done.content["ename"] == "KeyboardInterrupt":
            self.assertTrue(kept, done.told())
        else:
            self.assertIn("of the interrupt, so its worker was killed", done.told())
            self.assertIn("The variables are as they were" if kept else "lost", done.told())
        self.assert_runs()

    def test_a_busy_loop(self):
        self.assert_kept(self.interrupted(ANNOUNCE + "while True: pass", SOON))

    def test_a_loop_is_told_to_make_way(self):
        # The thread that hears of an interrupt waited for the interpreter's lock: for 5 ms in any loop. That the signal came
        # is read from where Python's own handler writes: one of the cell's was itself interrupted now and then.
        code = (
            "seen, written = os.pipe()\n"
            "os.set_blocking(written, False)\n"
            "before = signal.set_wakeup_fd(written)\n"
            "try:\n"
            "    print('now')\n"
            "    while True: pass\n"
            "except KeyboardInterrupt:\n"
            "    while signal.SIGURG not in os.read(seen, 100): pass\n"
            "finally:\n"
            "    before = signal.set_wakeup_fd(before)"
        )
        running = self.client.start(code)
        self.client.wait_text(running, "now\n")
        self.client.request("interrupt_request", channel="control")
        self.assert_ok(self.client.finish(running, timeout=SOON))

    def test_a_sleep(self):
        self.assert_kept(self.interrupted(ANNOUNCE + "time.sleep(60)", SOON))

    def test_a_read_of_a_pipe(self):
        self.assert_kept(self.interrupted("r, w = os.pipe()\n" + ANNOUNCE + "os.read(r, 1)", SOON))

    def test_an_awaited_sleep(self):
        done = self.interrupted("import asyncio\n" + ANNOUNCE + "await asyncio.sleep(60)", SOON)
        self.assertIn(done.content["ename"], ("KeyboardInterrupt", "CancelledError"))
        self.assertIn("KeyboardInterrupt", done.told())
        self.assert_runs("await asyncio.sleep(0, kept + 1)", "42")

    def test_a_busy_loop_after_an_await(self):
        code = "import asyncio\nawait asyncio.sleep(0)\n" + ANNOUNCE + "while True: pass"
        self.assert_kept(self.interrupted(code, SOON))

    def test_background_tasks_outlive_the_interrupt_of_a_cell(self):
        self.assert_ok(
            self.client.execute(
                "import asyncio\nticks = 0\n"
                "async def tick():\n"
                "    global ticks\n"
                "    while True:\n"
                "        ticks += 1\n"
                "        await asyncio.sleep(0.001)\n"
                "ticking = asyncio.create_task(tick())\n"
                "await asyncio.sleep(0)"
            )
        )
        self.interrupted(ANNOUNCE + "await asyncio.sleep(60)", SOON)
        code = "before = ticks\nwhile ticks < before + 5: await asyncio.sleep(0.001)\nticking.cancel()"
        self.assert_runs(code, "True")

    def test_a_lock(self):
        code = "import threading\nlock = threading.Lock(); lock.acquire()\n" + ANNOUNCE + "lock.acquire()"
        self.assert_kept(self.interrupted(code, SOON))

    def test_a_question(self):
        done = self.interrupted(ANNOUNCE + "input('? ')", SOON, allow_stdin=True)
        self.assert_kept(done)
        # An answer that comes too late belongs to nobody.
        self.send_stale_answer("late")
        self.assertEqual("'fresh'", self.client.execute("input()", answers=["fresh"]).result())

    def test_a_subprocess(self):
        code = "import subprocess\n" + ANNOUNCE + "subprocess.run(['sleep', '60'])"
        self.assert_kept(self.interrupted(code, SOON))

    def test_a_chatty_loop(self):
        running = self.client.start("i = 0\nwhile True:\n    i += 1\n    print('now', i)")
        self.client.wait_text(running, "now 1000\n")
        self.assert_kept(self.end(running, LATE))

    def test_repeated_interrupts_of_repeated_cells(self):
        for _ in range(20):
            self.interrupted(ANNOUNCE + "while True: pass", LATE)
            self.assert_runs("kept + 1", "42")

    def test_several_interrupts_of_one_cell(self):
        running = self.client.start("import time\n" + ANNOUNCE + "while True: time.sleep(0.01)")
        self.client.wait_text(running, "now")
        asked = [self.client.send("interrupt_request", channel="control") for _ in range(10)]
        self.assertEqual("error", self.client.finish(running, timeout=LATE).status)
        for each in asked:
            self.assert_ok(self.client.finish(each))
        self.assert_runs("kept + 1", "42")

    def test_a_loop_that_swallows_every_exception(self):
        code = ANNOUNCE + "while True:\n    try:\n        while True: pass\n    except BaseException:\n        pass"
        self.assert_kept_or_told(self.interrupted(code, LATE))

    def test_an_ignored_signal(self):
        code = "signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + ANNOUNCE + "while True: pass"
        self.assert_kept_or_told(self.interrupted(code, LATE))
        # The ignoring must not outlive the cell in whatever worker serves now, or one cell would disarm all later ones.
        self.assertIn("KeyboardInterrupt", self.interrupted(ANNOUNCE + "while True: pass", LATE).told())

    def test_a_worker_that_stopped_itself(self):
        running = self.client.start(ANNOUNCE + "os.kill(os.getpid(), signal.SIGSTOP)\nwhile True: pass")
        self.client.wait_text(running, "now")
        self.assert_kept_or_told(self.end(running, LATE))

    def test_a_regular_expression_that_backtracks(self):
        code = "import re\n" + ANNOUNCE + "re.match('(a+)+$', 'a' * 60 + 'b')"
        self.assert_kept_or_told(self.interrupted(code, LATE))

    def test_native_code_that_never_returns(self):
        code = "import itertools\n" + ANNOUNCE + "sum(itertools.repeat(0))"
        self.assert_kept_or_told(self.interrupted(code, LATE))
