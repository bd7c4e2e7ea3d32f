"""What the kernel makes of the deaths of its workers, what it says of them, and what of their use."""

import json
import os
import shutil
import signal
import stat
import sys
import tempfile
import time
import unittest
from pathlib import Path

from kernels import PATIENCE, Kernel, descendants, outside
from lifecycle_test import with_python
from wire import Client, KernelCase

CRASH = "import ctypes; ctypes.string_at(0)"
ANNOUNCE = "print('now', flush=True)\n"
# Says so where an interrupt is swallowed already.
STUBBORN = """
while True:
    try:
        print('now', flush=True)
        while True: pass
    except BaseException: pass
"""

# Like a Python that fails while a file is there; notes each start.
FICKLE_PYTHON = """#!/bin/sh
cd "$(dirname "$0")"
echo start >> starts
if [ -e broken ]; then
    echo "out of luck" >&2
    exit 3
fi
cd "$OLDPWD"
exec %s "$@"
"""


class Ladder(unittest.TestCase):
    """The steps of an interrupt come when the profile says, and the cell says which one has ended it."""

    @classmethod
    def setUpClass(cls):
        cls.root = Path(tempfile.mkdtemp(prefix="capsule-ladder-"))
        file = cls.root / "capsule" / "profiles.json"
        file.parent.mkdir()
        file.write_text(json.dumps({"default": {"interrupt": {"signalAfter": "1 s", "killAfter": "2 s"}}}))
        cls.kernel = Kernel(environment={"XDG_CONFIG_HOME": str(cls.root)})
        cls.client = Client(cls.kernel.info)
        cls.client.execute("import os, signal\nkept = 41")

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.kernel.kill()
        shutil.rmtree(cls.root)

    def interrupted(self, code):
        running = self.client.start(code)
        self.client.wait_text(running, "now")
        self.client.request("interrupt_request", channel="control")
        done = self.client.finish(running)
        self.assertEqual("error", done.status)
        self.assertEqual("42", self.client.execute("kept + 1").result())
        return done

    def test_a_cell_that_stops_by_itself(self):
        done = self.interrupted(ANNOUNCE + "while True: pass")
        self.assertEqual("KeyboardInterrupt", done.content["ename"])
        self.assertEqual("", done.text("stderr"))

    def test_a_cell_that_is_signalled_from_outside(self):
        # In C code: after a `print`, the interrupt could come before the process had stopped.
        stops = "list(chain(map(os.write, [1], [b'now\\n']), map(os.kill, [os.getpid()], [signal.SIGSTOP])))"
        done = self.interrupted(f"from itertools import chain\n{stops}\nwhile True: pass")
        self.assertEqual("KeyboardInterrupt", done.content["ename"])
        self.assertIn("after 1 s its worker was signalled from outside", done.text("stderr"))

    def test_a_cell_whose_worker_is_killed(self):
        done = self.interrupted(STUBBORN)
        self.assertEqual("WorkerDied", done.content["ename"], done.told())
        self.assertIn("did not stop within 2 s of the interrupt, so its worker was killed", done.content["evalue"])
        self.assertIn("The variables are as they were", done.content["evalue"])
        self.assertRegex(
            self.client.execute("%deaths").text(), r"In \[\d+\] .*was killed, since .* within 2 s .*; state restored"
        )


class Deaths(KernelCase):
    def kill_live(self):
        # In a transaction, so that there is a snapshot of the state before it.
        done = self.client.execute("%%transaction rollback_on_failure\nimport os; os.getpid()")
        pid = outside(self.kernel.pid, int(self.assert_ok(done).result()))
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE
        while "between cells" not in self.client.execute("%deaths").text():
            self.assertLess(time.monotonic(), deadline, "the death was not noticed")

    def test_are_listed_with_cell_cause_and_what_became_of_it(self):
        self.assert_ok(self.client.execute("kept = 41"))
        count = self.client.execute(CRASH).content["execution_count"]
        listed = self.assert_ok(self.client.execute("%deaths")).text()
        self.assertRegex(
            listed.splitlines()[-1],
            rf"^\d\d:\d\d:\d\d  In \[{count}\] +the worker was killed by SIGSEGV; state restored, as it was after In",
        )
        self.assert_runs("kept + 1", "42")

    def test_that_cells_bring_about_are_no_reason_not_to_go_on(self):
        self.assert_ok(self.client.execute("kept = 41"))
        for _ in range(6):
            self.assertEqual("error", self.client.execute(CRASH).status)
        self.assert_runs("kept + 1", "42")

    def test_between_cells_by_another_hand_are_told_as_such(self):
        self.assert_ok(self.client.execute("kept = 41"))
        self.kill_live()
        done = self.assert_ok(self.client.execute("kept + 1"))
        self.assertEqual("42", done.result())
        told = done.text("stderr")
        self.assertRegex(told, "SIGKILL, by (someone else than Capsule|the system most likely)")
        self.assertIn("between two cells", told)
        self.assertRegex(self.client.execute("%deaths").text(), r"between cells +the worker was killed by SIGKILL, by")

    def test_recycle_gives_a_fresh_worker_and_keeps_files(self):
        directory = self.client.execute("kept = 41\nopen('kept.txt', 'w').write('text')\nimport os; os.getcwd()")
        self.assert_ok(directory)
        self.addCleanup(lambda: Path("kept.txt").unlink(missing_ok=True))
        done = self.assert_ok(self.client.execute("%recycle"))
        self.assertIn("files are kept", done.text())
        gone = self.client.execute("kept")
        self.assertEqual("NameError", gone.content["ename"])
        self.assertEqual("", gone.text("stderr"))
        self.assert_runs("open('kept.txt').read()", "'text'")

    def test_recycle_is_orderly(self):
        self.assert_ok(self.client.execute("import atexit, pathlib\natexit.register(pathlib.Path('bye.txt').touch)"))
        self.addCleanup(lambda: Path("bye.txt").unlink(missing_ok=True))
        self.assert_ok(self.client.execute("%recycle"))
        self.assert_runs("import pathlib; pathlib.Path('bye.txt').exists()", "True")

    def test_recycle_ends_what_refuses_to(self):
        self.assert_ok(self.client.execute("import atexit, time\natexit.register(time.sleep, 1000)"))
        self.client.send("interrupt_request", channel="control")
        self.assert_ok(self.client.execute("%recycle"))
        self.assert_runs()


class RecycledWithoutNamespaces(unittest.TestCase):
    """All that a worker's user has ends with the worker."""

    def test_a_fresh_worker_does_not_end_with_the_one_before(self):
        # It began before that had ended, and was killed with what that had left: by root's kernels, as the user of both.
        with Kernel(change_argv=lambda argv: [*argv, "--sandbox", "L3"]) as kernel, Client(kernel.info) as client:
            self.assertEqual("ok", client.execute("import atexit, time\natexit.register(time.sleep, 1000)").status)
            self.assertEqual("ok", client.execute("%recycle").status)
            done = client.execute("6 * 7")
            self.assertEqual(("42", ""), (done.result(), done.text("stderr")), done.told())
            self.assertEqual("No worker of this session has died.\n", client.execute("%deaths").text())

    def test_a_worker_that_a_checkpoint_is_restored_in_does_not_end_with_the_one_before(self):
        # Both are there until the variables are; they had one user, and then the first took the second along, always.
        home = tempfile.mkdtemp(prefix="capsule-home-")
        self.addCleanup(shutil.rmtree, home)
        with (
            Kernel(home=home, change_argv=lambda argv: [*argv, "--sandbox", "L3"]) as kernel,
            Client(kernel.info) as client,
        ):
            client.execute("x = 6")
            self.assertIn("1 variable", client.execute("%checkpoint kept").text())
            self.assertIn("Restored 1 variable", client.execute("%restore kept").text())
            done = client.execute("x * 7")
            self.assertEqual(("42", ""), (done.result(), done.text("stderr")), done.told())
            self.assertEqual("No worker of this session has died.\n", client.execute("%deaths").text())

    # The workers of other users have these.
    if os.getuid() == 0:

        def test_who_may_not_end_a_worker_starts_none(self):
            # It was started, and %recycle waited for its end for ever.
            without = ["/usr/bin/setpriv", "--inh-caps=-kill", "--bounding-set=-kill", "--"]
            with (
                Kernel(change_argv=lambda argv: [*without, *argv, "--sandbox", "L3"]) as kernel,
                Client(kernel.info) as client,
            ):
                self.assertRegex(client.execute("1").told(), r"(?s)\(CAP_KILL\).*--cap-add KILL")


class Breaker(unittest.TestCase):
    """A worker that cannot be started is not started for ever."""

    def setUp(self):
        self.directory = Path(tempfile.mkdtemp(prefix="capsule-breaker-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.broken = self.directory / "broken"
        self.broken.touch()
        python = self.directory / "python"
        python.write_text(FICKLE_PYTHON % sys.executable)
        python.chmod(python.stat().st_mode | stat.S_IXUSR)
        self.kernel = Kernel(change_argv=lambda argv: [*with_python(argv, str(python)), "--sandbox", "none"])
        self.addCleanup(self.kernel.kill)
        self.client = Client(self.kernel.info)
        self.addCleanup(self.client.close)

    def starts(self):
        return (self.directory / "starts").read_text().count("start")

    def refused(self):
        """Runs cells until one is refused without a try; returns that."""
        for _ in range(5):
            before = self.starts() if (self.directory / "starts").exists() else 0
            done = self.client.execute("1")
            self.assertEqual("error", done.status)
            self.assertIn("out of luck", done.told())
            if "was not run" in done.content["evalue"]:
                self.assertEqual(before, self.starts())
                return done
        raise AssertionError("every cell has started a worker")

    def test_says_why_and_what_to_try_and_no_question_starts_one(self):
        told = self.refused().content["evalue"]
        self.assertRegex(told, r"has failed 3 times within \d+ s")
        self.assertRegex(told, r"a cell that comes in \d+ s or later")
        self.assertIn("exited with code 3", told)
        self.assertIn("capsule doctor", told)
        before = self.starts()
        for _ in range(5):
            done = self.client.request("complete_request", {"code": "pri", "cursor_pos": 3})
            self.assertEqual([], done.content["matches"])
            self.client.request("inspect_request", {"code": "print", "cursor_pos": 3, "detail_level": 0})
        self.assertEqual(before, self.starts())
        self.assertRegex(self.client.execute("%deaths").text(), "at its start +the worker could not be started")

    def test_lets_a_cell_try_again_later(self):
        self.refused()
        before = self.starts()
        self.broken.unlink()
        deadline = time.monotonic() + PATIENCE
        done = self.client.execute("6 * 7")
        while done.status == "error" and time.monotonic() < deadline:
            self.assertIn("was not run", done.content["evalue"])
            done = self.client.execute("6 * 7")
        self.assertEqual("42", done.result())
        self.assertEqual(before + 1, self.starts())

    def test_recycle_tries_at_once(self):
        self.refused()
        self.broken.unlink()
        self.assertEqual("ok", self.client.execute("%recycle").status)
        self.assertEqual("42", self.client.execute("6 * 7").result())

    def kill_worker(self, deaths):
        """Kills it once it is ready, and waits until that is the last of so many deaths."""
        self.client.request("complete_request", {"code": "pri", "cursor_pos": 3})
        for pid in descendants(self.kernel.pid):
            if b"capsule_worker" in command(pid):
                os.kill(pid, signal.SIGKILL)
                break
        deadline = time.monotonic() + PATIENCE
        while self.client.execute("%deaths").text().count("between cells") < deaths:
            self.assertLess(time.monotonic(), deadline, "the death was not noticed")

    def test_a_worker_that_dies_between_cells_time_and_again_is_left_dead(self):
        self.broken.unlink()
        while self.client.execute("1").status == "error":
            pass  # The first worker was started when Python was still broken.
        before = self.starts()
        for deaths in range(1, 4):
            self.kill_worker(deaths)
        # The last one was not replaced.
        self.assertEqual(before + 2, self.starts())
        self.client.request("complete_request", {"code": "pri", "cursor_pos": 3})
        self.assertEqual(before + 2, self.starts())
        told = self.client.execute("1").content["evalue"]
        self.assertRegex(told, "the worker has failed 3 times")
        self.assertIn("was killed by SIGKILL, by someone else than Capsule", told)


def command(pid):
    try:
        return Path("/proc", str(pid), "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


class Usage(KernelCase):
    """`usage_request` as ipykernel has it and jupyter-resource-usage asks it."""

    def usage(self):
        return self.assert_ok(self.client.request("usage_request", channel="control")).content

    def test_has_what_is_expected(self):
        self.assert_runs()
        usage = self.usage()
        self.assertEqual(os.uname().nodename, usage["hostname"])
        self.assertEqual(self.kernel.pid, usage["pid"])
        self.assertGreater(usage["kernel_cpu"], 0)
        self.assertEqual(os.cpu_count(), usage["cpu_count"])
        memory = usage["host_virtual_memory"]
        self.assertEqual(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), memory["total"])
        self.assertLessEqual({"available", "percent", "used", "free", "active", "inactive"}, set(memory))
        self.assertLessEqual(memory["available"], memory["total"])
        worker = usage["capsule"]["worker"]
        self.assertLess(worker["memory"], usage["kernel_memory"])
        self.assertEqual((2 << 30, 256), (worker["memory_limit"], worker["process_limit"]))

    def test_counts_what_the_worker_has_and_starts(self):
        self.assert_ok(self.client.execute("import subprocess"))
        before = self.usage()
        code = (
            "hoard = b'x' * (100 << 20)\n"
            "children = [subprocess.Popen(['sleep', '1000']) for _ in range(3)]\nprint('now', flush=True)\n"
            "while True: pass"
        )
        running = self.client.start(code)
        self.client.wait_text(running, "now")
        # While the cell is busy.
        after = self.usage()
        grown = after["kernel_memory"] - before["kernel_memory"]
        self.assertGreater(grown, 90 << 20)
        self.assertGreater(after["capsule"]["worker"]["memory"] - before["capsule"]["worker"]["memory"], 90 << 20)
        self.assertGreaterEqual(after["capsule"]["worker"]["processes"], 4)
        self.client.request("interrupt_request", channel="control")
        self.client.finish(running)
        self.assertGreater(self.usage()["capsule"]["worker"]["cpu_seconds"], 0)
        self.assert_ok(self.client.execute("for each in children: each.kill(); each.wait()\ndel hoard"))

    def test_does_not_wait_for_the_worker(self):
        running = self.client.start(ANNOUNCE + "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)")
        self.client.wait_text(running, "now")
        self.assertGreater(self.usage()["kernel_memory"], 0)
        self.assertGreater(self.usage()["capsule"]["worker"]["processes"], 0)
        self.client.request("interrupt_request", channel="control")
        self.client.finish(running)
