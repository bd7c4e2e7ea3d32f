"""A cell that kills its worker costs itself: the next one has the variables of all before it. And cells can be taken back."""

import random
import re
import time

from crashes_test import FIND_PIPES
from kernels import Kernel, Watch, descendants
from wire import Client, KernelCase

# One variable of each kind that a pickle would lose or change, and how it looks afterwards.
SETUP = """
import os, random, signal, sys, tempfile
import numpy
def numbers():
    yield from range(10)
half = numbers(); next(half); next(half)
class Point:
    def __init__(self, x): self.x = x
point = Point(3)
double = lambda n: 2 * n
file = tempfile.TemporaryFile('w+'); _ = file.write('one\\ntwo\\n'); _ = file.seek(0); line = file.readline()
array = numpy.arange(1000)
texts = ['a']
random.seed(7)
"""
LOOK = "next(half), point.x, double(4), file.readline(), int(array.sum()), texts, random.random()"
SEEN = "(2, 3, 8, 'two\\n', 499500, ['a'], 0.32383276483316237)"
# Spoils all of them first.
SPOIL = "next(half); point.x = 0; double = None; file.read(); array[:] = 0; texts.append('b'); random.random(); del Point\n"

WAYS = {
    "SIGSEGV": ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    "abort": ("os.abort()", "SIGABRT"),
    "exit": ("os._exit(3)", r"code 3\b"),
    "SIGKILL": ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
    "the whole group": ("os.killpg(0, signal.SIGKILL)", "SIGKILL"),
    "recursion in C": (
        "sys.setrecursionlimit(10**9)\nnested = ()\nfor _ in range(10**6): nested = (nested,)\nrepr(nested)",
        "SIGSEGV",
    ),
    "closed descriptors": ("os.closerange(0, 4096); print('x' * 10**6)", "exited"),
    "garbage frames": (FIND_PIPES + "tell(b'garbage ' * 10_000); time.sleep(60)", "(?i)protocol"),
    "a frame that lies": (FIND_PIPES + "tell(struct.pack('>II', 6, 2) + b'{]'); time.sleep(60)", "(?i)protocol"),
    "half a frame": (FIND_PIPES + "tell(struct.pack('>II', 50 << 20, 100) + bytes(20 << 20)); os._exit(4)", "code 4|protocol"),
    "a child that lives on": (
        "import subprocess\nsubprocess.Popen(['sleep', '1000'], start_new_session=True)\nos._exit(5)",
        "code 5",
    ),
}  # fmt: skip

INTERRUPTED = {
    "swallowed exceptions": "while True:\n    try:\n        while True: pass\n    except BaseException:\n        pass",
    "an ignored signal": "signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass",
    "SIGSTOP": "os.kill(os.getpid(), signal.SIGSTOP)\nwhile True: pass",
    "C code that holds the lock": "import itertools\nsum(itertools.repeat(0))",
}


class Case(KernelCase):
    def ok(self, code, **options):
        return self.assert_ok(self.client.execute(code, **options))

    def kept(self, code):
        """Runs a cell and waits for its snapshot, which is not made while cells come thick and fast."""
        done = self.ok(code)
        while "Of the present state" in self.ok("%snapshots", store_history=False).text():
            pass
        return done

    def assert_restored(self, done, cause):
        self.assertEqual("WorkerDied", done.content["ename"], done.told())
        self.assertRegex(done.content["evalue"], cause)
        self.assertRegex(done.content["evalue"], r"The variables are as they were after In \[\d+\]; files are not")


class Deaths(Case):
    """Must hold 1."""

    def setUp(self):
        super().setUp()
        self.kept(SETUP)

    def check_way(self, code, cause):
        done = self.client.execute(SPOIL + code)
        ended = time.monotonic()
        self.assert_restored(done, cause)
        self.assertEqual(SEEN, self.ok(LOOK).result())
        # Generous: it is milliseconds.
        self.assertLess(time.monotonic() - ended, 5)

    def check_interrupt(self, code):
        running = self.client.start(SPOIL + "print('now', flush=True)\n" + code)
        self.client.wait_text(running, "now")
        asked = self.client.send("interrupt_request", channel="control")
        done = self.client.finish(running, timeout=20)
        self.client.finish(asked)
        self.assertEqual("error", done.status)
        if done.content["ename"] == "KeyboardInterrupt":
            # It could be interrupted, and what it had done until then stays done.
            self.ok("%undo")
        else:
            self.assert_restored(done, "did not stop within 5 s of the interrupt")
        self.assertEqual(SEEN, self.ok(LOOK).result())

    def test_after_one_that_cannot_go_on(self):
        """Its end was not taken for that of the snapshot: five seconds were waited for it, and for the next one, too."""
        self.kept("kept = 1")
        self.kept("random.setstate = None")
        began = time.monotonic()
        self.assert_restored(self.client.execute("os._exit(3)"), "code 3")
        # Generous, but less than those.
        self.assertLess(time.monotonic() - began, 4.5)
        self.assertEqual("1", self.ok("kept").result())

    def test_after_a_figure(self):
        """matplotlib closes its fonts in each copy of the process, which then did not wake."""
        figure = "import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.savefig('/tmp/figure.png'); kept = 1"
        self.kept(figure)
        self.assert_restored(self.client.execute("import os; os._exit(1)"), "exited with code 1")
        self.kept("kept += 1; plt.savefig('/tmp/figure.png')")
        self.ok("%undo")
        self.assertEqual("1", self.ok("plt.savefig('/tmp/figure.png'); kept").result())


for name, (code, cause) in WAYS.items():
    setattr(Deaths, "test_" + name.replace(" ", "_"), lambda self, way=(code, cause): self.check_way(*way))
for name, code in INTERRUPTED.items():
    setattr(Deaths, "test_interrupt_of_" + name.replace(" ", "_"), lambda self, code=code: self.check_interrupt(code))


class Revivals(Case):
    def test_many_cells_of_which_every_tenth_crashes(self, cells=100):
        """Must hold 2, in short."""
        chance = random.Random(4)
        self.kept("import os, signal, sys\nvalues = {}")
        before = len(descendants(self.kernel.pid))
        expected = {}
        for number in range(cells):
            if number % 10 == 9:
                code, cause = WAYS[chance.choice(sorted(WAYS))]
                self.assert_restored(self.client.execute(f"values[{number}] = 'lost'\n" + code), cause)
            else:
                self.kept(f"values[{number}] = {number * number}")
                expected[number] = number * number
        self.assertEqual("True", self.ok(f"values == {expected}").result())
        # The snapshots are as many as may be, and nothing else is more.
        self.assertLessEqual(len(descendants(self.kernel.pid)), before + 16)

    def test_the_first_cell_of_all(self):
        with Kernel() as kernel, Client(kernel.info) as client:
            done = client.execute("import os; os._exit(3)")
            self.assertEqual("WorkerDied", done.content["ename"])
            self.assertEqual("42", client.execute("6 * 7").result())

    def test_a_death_between_two_cells_is_told_with_the_next(self):
        self.ok("import os; kept = 41")
        watch = Watch([int(self.ok("os.getpid()").result())])
        self.ok("import threading; threading.Timer(0.05, os._exit, [7]).start()")
        watch.survivors(10)
        done = self.client.execute("kept + 1")
        if "Capsule" not in done.text("stderr"):
            # The kernel had not noticed yet when it was sent: then it is this cell's own failure, or the next tells.
            done = self.client.execute("kept + 1")
        self.assertEqual("42", self.ok("kept + 1").result())

    def test_inputs_and_counts_stay_true(self):
        first = self.kept("import os; a = 1").content["execution_count"]
        self.client.execute("os._exit(3)")
        self.ok("b = 2")
        self.ok("%undo")
        self.assertEqual(
            repr(["import os; a = 1", "os._exit(3)", "b = 2", "%undo"]), self.ok(f"In[{first}:{first + 4}]").result()
        )
        done = self.ok("'b' in globals()")
        self.assertEqual(("False", first + 5), (done.result(), done.content["execution_count"]))

    def test_asynchronous_cells(self):
        self.kept("import asyncio, os\nqueue = asyncio.Queue()\nawait queue.put(5)")
        self.assert_restored(self.client.execute("await asyncio.sleep(0.01); os._exit(2)"), "code 2")
        self.assertEqual("5", self.ok("await queue.get()").result())

    def test_no_descriptor_more_after_each_revival(self):
        # The loop's old selector and the end of a dead pipe stayed open in every process that went on.
        self.ok("import asyncio, os; await asyncio.sleep(0)")
        counts = []
        for _ in range(3):
            self.assertEqual("WorkerDied", self.client.execute("os._exit(1)").content["ename"])
            self.ok("await asyncio.sleep(0)")
            counts.append(self.ok("len(os.listdir('/proc/self/fd'))").result())
        self.assertEqual(counts[:1] * 3, counts)

    def test_input_after_a_revival(self):
        self.ok("import os")
        self.client.execute("os._exit(2)")
        self.assertEqual("'yes'", self.ok("input('? ')", answers=["yes"]).result())

    def test_late_output_of_the_dead_is_shown_under_its_cell(self):
        self.ok("import os")
        done = self.client.execute("print('last words', flush=True); os._exit(2)")
        self.assertEqual("last words\n", done.text())

    def test_a_thread_is_never_silently_missing(self):
        """Must hold 6."""
        self.kept("import os, threading; stop = threading.Event(); before = 1")
        self.ok("thread = threading.Thread(target=stop.wait, name='Waiter', daemon=True); thread.start()")
        self.assertIn("a thread is running (Waiter)", self.ok("%snapshots").text())
        done = self.client.execute("os._exit(3)")
        self.assertRegex(done.content["evalue"], r"What In \[\d+\] made is lost: .*a thread is running \(Waiter\)")
        self.assertEqual("(1, False)", self.ok("before, 'thread' in globals()").result())


class Fallbacks(Case):
    """Where the best snapshot does not serve: while there is a file, a hook ends the processes that fork."""

    def setUp(self):
        super().setUp()
        self.kept("import os, tempfile; BROKEN = os.path.join(tempfile.mkdtemp(), 'broken')")

    def check(self, hook, lost):
        first = self.kept("before = 1").content["execution_count"]
        self.kept(f"os.register_at_fork({hook}=lambda: os.path.exists(BROKEN) and os._exit(1))")
        if lost > 1:
            self.kept("after = 2")
        done = self.client.execute("open(BROKEN, 'w').close(); os._exit(3)")
        names = ", ".join(f"In [{first + number}]" for number in range(1, lost + 1))
        self.assertRegex(done.content["evalue"], rf"code 3.*after In \[{first}\];.*{re.escape(names)} made is lost")
        self.assertEqual("(1, False)", self.ok("os.remove(BROKEN); before, 'after' in globals()").result())

    def test_snapshots_that_die_when_they_are_woken(self):
        self.check("before", lost=2)

    def test_a_snapshot_of_which_nothing_comes(self):
        self.check("after_in_child", lost=1)

    def test_undo_to_a_snapshot_that_does_not_wake_says_where_it_went(self):
        first = self.kept("value = 1").content["execution_count"]
        self.kept("os.register_at_fork(after_in_child=lambda: os.path.exists(BROKEN) and os._exit(1))")
        self.ok("open(BROKEN, 'w').close()")
        done = self.client.execute("%undo")
        self.assertEqual("SnapshotError", done.content["ename"], done.told())
        self.assertRegex(done.content["evalue"], rf"could not be woken.*as they were after In \[{first}\];")
        self.ok("os.remove(BROKEN)")

    def test_the_start_is_kept_whatever_goes(self):
        """It was the first to make room."""
        self.client.execute("os._exit(3)")
        for number in range(18):
            self.kept(f"value = {number}")
        self.assertIn("the start (0)", self.ok("%snapshots").text())
        self.ok("%goto 0")
        self.assertEqual("False", self.ok("'value' in globals()").result())

    def test_a_process_that_comes_of_a_snapshot_is_as_safe_as_any(self):
        """The system ends snapshots first when memory is short."""
        look = "open('/proc/self/oom_score_adj').read()"
        before = self.ok(look).result()
        for code in ("os._exit(3)", "os._exit(3)", "%undo"):
            self.client.execute(code)
            self.assertEqual(before, self.ok(look).result())


class Signals:
    """A cell may signal all that is of its worker. What it destroys is its own, and nothing waits for ever."""

    FIND = (
        "import os, signal, time\n"
        "supervisor = os.getppid()\n"
        "def group(pid):\n"
        "    try: return os.getpgid(pid)\n"
        "    except ProcessLookupError: pass\n"
        "def attempt(pid, number):\n"
        "    try: os.kill(pid, number)\n"
        "    except PermissionError: pass\n"
        "def name(pid): return open(f'/proc/{pid}/comm').read().strip()\n"
        "def snapshots(): return [pid for pid in range(supervisor + 1, supervisor + 1000) if group(pid) == supervisor]\n"
    )

    def setUp(self):
        kernel = Kernel(change_argv=lambda argv: [*argv, "--sandbox", self.sandbox])
        self.addCleanup(kernel.kill)
        self.client = Client(kernel.info, validating=False)
        self.addCleanup(self.client.close)
        self.kept("kept = 5")
        self.kept(self.FIND)

    def runs(self, *, kept):
        self.assertEqual("5" if kept else "None", self.ok("print(globals().get('kept'))").text().strip())

    def test_the_supervisor_is_stopped_by_a_cell_that_dies(self):
        """Who was to tell of the end did not, and the cell seemed to run for ever."""
        done = self.client.execute("attempt(supervisor, signal.SIGSTOP); os._exit(3)")
        self.assert_restored(done, "code 3")
        self.runs(kept=True)

    def test_the_supervisor_is_stopped_before_cells_are_taken_back(self):
        self.ok("attempt(supervisor, signal.SIGSTOP); kept = 6")
        self.ok("%undo")
        self.runs(kept=True)

    def test_snapshots_are_stopped(self):
        self.ok("for pid in snapshots(): os.kill(pid, signal.SIGSTOP)")
        self.ok("%undo")
        self.assert_restored(self.client.execute("os._exit(3)"), "code 3")
        self.runs(kept=True)

    def test_snapshots_are_killed(self):
        done = self.client.execute("for pid in snapshots(): os.kill(pid, signal.SIGKILL)\nos._exit(3)")
        self.assertRegex(done.content["evalue"], "code 3.*fresh worker", done.told())
        self.runs(kept=False)

    def test_snapshots_are_killed_and_the_cell_goes_on(self):
        self.ok("for pid in snapshots(): os.kill(pid, signal.SIGKILL)")
        self.runs(kept=True)

    def test_snapshots_are_woken(self):
        """Several processes then take themselves for the worker."""
        done = self.client.execute("for pid in snapshots(): os.kill(pid, signal.SIGUSR1)\ntime.sleep(60)")
        self.assertRegex(done.content["evalue"], "(?i)protocol", done.told())
        self.runs(kept=True)

    def test_all_is_killed_one_by_one(self):
        done = self.client.execute("for pid in [*snapshots(), supervisor, os.getpid()]: attempt(pid, signal.SIGKILL)")
        self.assertRegex(done.content["evalue"], "SIGKILL", done.told())
        self.runs(kept=False)


class ByName:
    def test_programs_are_killed_by_their_name(self):
        """The snapshots were called as what runs the cells is, and went with it."""
        self.assertEqual("{'snapshot'}", self.ok("print({name(pid) for pid in snapshots()})").text().strip())
        done = self.client.execute("ours = name(os.getpid())\n"
                                   "for pid in [supervisor, *snapshots(), os.getpid()]:\n"
                                   "    if name(pid) == ours: os.kill(pid, signal.SIGKILL)")
        self.assert_restored(done, "SIGKILL")
        self.runs(kept=True)
        self.assertNotEqual("snapshot", self.ok("print(name(os.getpid()))").text().strip())


class OutOfReach:
    """The variables were gone when a cell had ended who keeps their copies, and the next cell was told of it."""

    def test_the_supervisor_is_killed(self):
        self.ok("attempt(supervisor, signal.SIGKILL)")
        self.assert_restored(self.client.execute("attempt(supervisor, signal.SIGTERM); os._exit(3)"), "code 3")
        self.runs(kept=True)

    def test_all_is_killed_at_once(self):
        done = self.client.execute("os.kill(-1, signal.SIGKILL)")
        self.assertEqual("PermissionError", done.content["ename"], done.told())
        self.assertIn("not all processes at once", done.told())
        self.runs(kept=True)


class SignalsInNamespaces(OutOfReach, ByName, Signals, Case):
    sandbox = "L1"


class SignalsBehindAFence(OutOfReach, Signals, Case):
    sandbox = "L3"


class SignalsWithoutASandbox(ByName, Signals, Case):
    sandbox = "none"

    def test_the_supervisor_is_killed(self):
        """The cell during which that is noticed need not have done it, but was told that its own process was killed."""
        done = self.client.execute("os.kill(supervisor, signal.SIGKILL); time.sleep(60)")
        told = "lost its supervisor, which was killed by SIGKILL.* this cell, or just before.*fresh worker"
        self.assertRegex(done.content["evalue"], told, done.told())
        self.runs(kept=False)


class Undo(Case):
    def test_undo_of_five_cells_with_much_state(self):
        """Must hold 3. The bound is generous; the benchmark says how long it takes."""
        self.kept("import numpy; array = numpy.ones(500 << 17); values = []")
        for number in range(5):
            self.ok(f"values.append({number}); array[{number}] = 7")
        began = time.monotonic()
        self.ok("%undo 5")
        self.assertLess(time.monotonic() - began, 2)
        self.assertEqual("([], 65536000.0)", self.ok("values, float(array.sum())").result())

    def test_undo_of_a_cell_that_printed_and_raised(self):
        self.kept("values = [1]")
        self.client.execute("print('x'); values.append(2)\nclass Made: pass\nraise ValueError('no')")
        self.assertIn("files are not restored", self.ok("%undo").text())
        self.assertEqual("([1], False)", self.ok("values, 'Made' in globals()").result())

    def test_sockets_and_pipes_that_are_closed_are_told(self):
        """It was said that the variables were as before, but a socket was none any more."""
        self.kept("import asyncio, os, socket; await asyncio.sleep(0)")
        self.ok("x = 1")
        self.assertRegex(self.ok("%undo").text(), "; files are not restored.\n$")
        one = "; files are not restored, and a socket or pipe that was open is closed.\n$"
        self.kept("a = socket.socket()")
        self.ok("x = 1")
        self.assertRegex(self.ok("%undo").text(), one)
        self.ok("ends = os.pipe()")
        self.kept("b = socket.socket()")
        two = r"; files are not restored, and 2 sockets or pipes that were open are closed\."
        done = self.client.execute("%%transaction rollback_always\nx = 1")
        self.assertRegex(done.text("stderr"), two)
        self.assertRegex(self.client.execute("os._exit(3)").content["evalue"], two)

    def test_going_back_and_forth(self):
        first = self.kept("step = 1").content["execution_count"]
        self.kept("step = 2")
        self.kept("step = 3")
        self.ok(f"%goto {first}")
        self.assertEqual("1", self.ok("step").result())
        self.ok(f"%goto {first + 2}")
        self.assertEqual("3", self.kept("step").result())
        listed = self.ok("%snapshots").text()
        self.assertRegex(listed, r"(?m)^\* In \[\d+\] +\d\d:\d\d:\d\d +[\d,]+ KiB$")

    def test_what_cannot_be_gone_to_is_refused_and_changes_nothing(self):
        self.ok("kept = 1")
        for command in ("%undo 1000", "%goto 100000", "%undo x", "%undo 0", "%goto", "%snapshots 3", "%transaction no"):
            with self.subTest(command=command):
                done = self.client.execute(command)
                self.assertEqual("error", done.status)
                self.assertEqual("1", self.ok("kept").result())

    def test_only_whole_cells_are_commands(self):
        self.assertEqual("1", self.ok("a = 5\na \\\n%undo(3) if False else 1" .replace("undo(3)", "2")).result())
        self.assertEqual("error", self.client.execute("a = 1\n%undo").status)


class Transactions(Case):
    """Must hold 4."""

    def setUp(self):
        super().setUp()
        self.ok("import asyncio, os\nvalue = 1")

    def run_in(self, policy, code, how):
        if how == "magic":
            return self.client.execute(f"%%transaction {policy}\n{code}")
        if how == "default":
            self.ok(f"%transaction {policy}")
            try:
                return self.client.execute(code)
            finally:
                self.ok("%transaction commit_always")
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False,
                   "stop_on_error": True}  # fmt: skip
        return self.client.finish(
            self.client.send("execute_request", content, metadata={"capsule": {"transaction": policy}})
        )

    def check(self, policy, *, kept_after_success, kept_after_failure):
        for how in ("magic", "metadata", "default"):
            for ending, succeeds in (
                ("", True),
                ("\n1 / 0", False),
                ("\nawait asyncio.sleep(0)", True),
                ("\nawait asyncio.sleep(0); 1 / 0", False),
                ("\nraise KeyboardInterrupt", False),
            ):
                with self.subTest(how=how, ending=ending):
                    self.ok("value = 1")
                    done = self.run_in(policy, "value = 2; print('ran')" + ending, how)
                    self.assertEqual(("ok" if succeeds else "error", "ran\n"), (done.status, done.text()), done.told())
                    kept = kept_after_success if succeeds else kept_after_failure
                    self.assertEqual("2" if kept else "1", self.ok("value").result())
                    self.assertEqual(not kept, "rolled back" in done.text("stderr"), done.told())
        self.kept("value = 1")
        self.assert_restored(self.run_in(policy, "value = 2; os._exit(3)", "magic"), "code 3")
        self.assertEqual("1", self.ok("value").result())

    def test_commit_always(self):
        self.check("commit_always", kept_after_success=True, kept_after_failure=True)

    def test_rollback_on_failure(self):
        self.check("rollback_on_failure", kept_after_success=True, kept_after_failure=False)

    def test_rollback_always(self):
        self.check("rollback_always", kept_after_success=False, kept_after_failure=False)

    def test_an_interrupted_cell_is_rolled_back(self):
        running = self.client.start("%%transaction rollback_on_failure\nvalue = 2\nprint('now', flush=True)\n"
                                    "while True: pass")  # fmt: skip
        self.client.wait_text(running, "now")
        asked = self.client.send("interrupt_request", channel="control")
        self.assertEqual("KeyboardInterrupt", self.client.finish(running).content["ename"])
        self.client.finish(asked)
        self.assertEqual("1", self.ok("value").result())

    def test_a_cell_that_could_not_be_taken_back_is_not_run(self):
        self.ok("import threading; stop = threading.Event(); t = threading.Thread(target=stop.wait); t.start()")
        done = self.client.execute("%%transaction rollback_always\nvalue = 2")
        self.assertEqual("TransactionError", done.content["ename"])
        self.assertRegex(done.content["evalue"], "not run.*a thread is running")
        self.assertEqual("1", self.ok("value").result())
        self.ok("stop.set()")

    def test_tracebacks_count_lines_as_the_person_does(self):
        done = self.client.execute("%%transaction rollback_on_failure\nx = 1\n1 / 0")
        self.assertIn("line 3", re.sub(r"\x1b\[[\d;]*m", "", done.told()))
