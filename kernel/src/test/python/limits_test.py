"""Whatever a cell uses up, it is the cell that fails: the error names the limit and how to raise it, the next cell runs,
and the front answers meanwhile."""

import json
import os
import re
import shutil
import tempfile
import time
import unittest
from pathlib import Path

from kernels import Kernel, Watch, descendants
from wire import Client

LIMITS = {
    "memory": "256 MiB",
    "processes": 40,
    "descriptors": 256,
    "fileSize": "16 MiB",
    "tmp": "8 MiB",
    "workspaceGrowth": "24 MiB",
    "output": "64 KiB",
}

# Processes that have ended count until somebody has waited for them.
REAP = """
import os
try:
    while os.waitpid(-1, os.WNOHANG)[0]: pass
except ChildProcessError: pass
"""

# Milliseconds within which the front answers beside whatever a cell does; the tests allow for a machine that has other
# things to do.
ANSWERS_WITHIN = 200

# Of a kernel with a worker at rest, with the worker's supervisor and snapshots.
MOST_PROCESSES = 8 + 17


class Limits:
    """One kernel for all tests of a class, in a workspace and with limits of its own."""

    sandbox = "auto"
    limits = LIMITS

    @classmethod
    def setUpClass(cls):
        cls.root = Path(tempfile.mkdtemp(prefix="capsule-limits-"))
        cls.workspace = cls.root / "notebooks"
        cls.workspace.mkdir()
        cls.profiles = cls.root / "config" / "capsule" / "profiles.json"
        cls.profiles.parent.mkdir(parents=True)
        cls.profiles.write_text(json.dumps({"small": cls.limits}))
        cls.kernel = Kernel(
            environment={"XDG_CONFIG_HOME": str(cls.root / "config")},
            directory=cls.workspace,
            change_argv=lambda argv: [*argv, "--profile", "small", "--sandbox", cls.sandbox],
        )
        cls.client = Client(cls.kernel.info, validating=False)

    @classmethod
    def tearDownClass(cls):
        cls.client.send("shutdown_request", {"restart": False}, channel="control")
        cls.kernel.process.wait(30)
        cls.client.close()
        cls.kernel.kill()
        shutil.rmtree(cls.root)
        assert not control_groups(cls.kernel), "control groups were left behind"

    def fails(self, code, limit, *, name="LimitExceeded", value=None, **options):
        """The cell fails; what a person reads names the limit, its value, and the line and the file to change."""
        done = self.client.execute(code, **options)
        told = re.sub("\x1b[^m]*m", "", done.told())
        self.assertEqual("error", done.status, told)
        self.assertRegex(done.content["ename"], name, told)
        self.names(limit, told, value)
        self.assert_runs()
        return done

    def names(self, limit, told, value=None):
        value = str(value or self.limits[limit])
        self.assertIn(f'the limit "{limit}" of profile "small" is {value}; to raise it: {{"small": {{"{limit}": ', told)
        self.assertIn(f"in {self.profiles}", told)

    def assert_runs(self):
        done = self.client.execute("6 * 7")
        self.assertEqual("42", done.result(), done.told())

    def assert_snapshot(self):
        while "Of the present state" in self.client.execute("%snapshots", store_history=False).text():
            pass

    def remember(self):
        self.client.execute("kept = 1")

    def assert_kept(self):
        done = self.client.execute("kept")
        self.assertEqual("1", done.result(), done.told())


class Bombs(Limits):
    def test_memory_of_the_worker(self):
        self.remember()
        self.fails("hoard = b'x' * (1 << 30)", "memory", name="MemoryError")
        self.assert_kept()

    def test_memory_of_a_child(self):
        self.remember()
        # Each larger than the worker itself: the system ends who has the most.
        self.fails(
            "import subprocess, sys\n"
            "hold = [subprocess.Popen([sys.executable, '-c', 'x = b\"x\" * (120 << 20); import signal; signal.pause()'])"
            " for _ in range(2)]\n"
            "codes = []\n"
            "while not any(codes): codes = [each.poll() for each in hold]\n"
            "for each in hold: each.kill(); each.wait()\n"
            "raise subprocess.CalledProcessError(min(c or 0 for c in codes), 'child')",
            "memory",
            name="CalledProcessError",
        )
        self.assert_kept()

    def test_descriptors(self):
        self.remember()
        self.fails("held = [open('/dev/null') for _ in range(1000)]", "descriptors", name="OSError")
        self.assert_kept()

    def test_threads(self):
        code = (
            "import threading\nend = threading.Event()\n"
            "try:\n    for _ in range(1000): threading.Thread(target=end.wait).start()\n"
            "finally: end.set()"
        )
        self.remember()
        self.fails(code, "processes", name="RuntimeError")
        self.assert_kept()

    def test_processes(self):
        self.remember()
        code = (
            "import os, signal\npids = []\n"
            "try:\n    while True:\n"
            "        pid = os.fork()\n"
            "        if pid == 0: signal.pause()\n"
            "        pids.append(pid)\n"
            "finally:\n    for pid in pids: os.kill(pid, 9); os.waitpid(pid, 0)"
        )
        self.fails(code, "processes", name="BlockingIOError")
        self.assert_kept()

    def test_a_fork_bomb_that_never_gives_up(self):
        self.remember()
        code = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
        running = self.client.start(code)
        self.assertLess(self.answers_within(running), ANSWERS_WITHIN)
        done = self.client.finish(running)
        self.assertEqual("LimitExceeded", done.content["ename"], done.told())
        self.names("processes", done.told())
        self.assert_nothing_runs()
        self.assert_kept()
        self.client.execute(REAP)

    def test_a_fork_bomb_of_a_shell_that_outlives_its_cell(self):
        # One look that found fewer processes than before was enough for it to go on, for up to half a minute.
        self.remember()
        before = self.shells()
        self.client.execute("import subprocess; bomb = subprocess.Popen(['sh', '-c', 'b() { b | b & }; while true; do b; done'],"
                            " start_new_session=True, stderr=subprocess.DEVNULL)")
        self.assertLess(self.answers_within(self.client.start("6 * 7")), ANSWERS_WITHIN)
        self.wait_for_shells(before)
        self.assert_kept()
        self.client.execute(REAP)

    def answers_within(self, running):
        """Milliseconds within which half of many kernel_info_requests were answered on control, while the cell runs; the
        others may have waited for what else this machine does."""
        times = []
        end = time.monotonic() + 2
        while time.monotonic() < end:
            begun = time.monotonic()
            self.client.request("kernel_info_request", channel="control")
            times.append((time.monotonic() - begun) * 1000)
        times.sort()
        print(f"answers: {len(times)}, median {times[len(times) // 2]:.1f} ms, slowest {times[-1]:.1f} ms")
        return times[len(times) // 2]

    def assert_nothing_runs(self):
        self.assertLess(len(self.running()), MOST_PROCESSES)

    def running(self):
        """What the kernel has started, and that in turn, without what has ended and was not waited for."""
        found = []
        for pid in descendants(self.kernel.pid):
            try:
                state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if state != "Z":
                found.append(pid)
        return found

    def shells(self):
        """Snapshots, of which there are more and less, are none."""
        found = set()
        for pid in self.running():
            try:
                if Path(f"/proc/{pid}/comm").read_text() == "sh\n":
                    found.add(pid)
            except (FileNotFoundError, ProcessLookupError):
                continue
        return found

    def wait_for_shells(self, expected):
        # A bomb's processes come and go so fast that one look may see none.
        end, quiet = time.monotonic() + 20, 0
        while quiet < 10 and time.monotonic() < end:
            quiet = quiet + 1 if self.shells() <= expected else 0
            self.client.request("kernel_info_request", channel="control")
        self.assertEqual(10, quiet)

    def test_one_large_file(self):
        self.remember()
        self.fails("with open('large', 'wb') as file: file.write(bytes(20 << 20))", "fileSize", name="OSError")
        self.client.execute("import os; os.remove('large')")
        self.assert_kept()

    def test_many_files(self):
        """The worker's own writes: it is stopped, keeps its state, and can make room."""
        self.remember()
        code = "import itertools\nfor n in itertools.count():\n    with open(f'many{n}', 'wb') as file: file.write(bytes(1 << 20))"
        self.fails(code, "workspaceGrowth")
        self.assert_kept()
        self.client.execute("import glob, os\nfor name in glob.glob('many*'): os.remove(name)")
        self.assertEqual([], list(self.workspace.glob("many*")))

    def test_files_without_a_name(self):
        # It goes on to write: as long as others make as much room on the file system, growth is not seen.
        self.remember()
        code = (
            "import os\nheld = []\nwhile True:\n"
            "    if len(held) < 200:\n"
            "        held.append(open('unnamed', 'wb')); os.remove('unnamed'); held[-1].write(bytes(4 << 20))"
        )
        self.fails(code, "workspaceGrowth")
        self.client.execute("for each in held: each.close()")
        self.assert_kept()

    def test_files_without_a_name_that_only_snapshots_have_open(self):
        """The cells, which had closed all but the last, were told that they had too many."""
        self.remember()
        for _ in range(6):
            done = self.client.execute(
                "import os\nfile = open('unnamed', 'wb'); os.remove('unnamed'); _ = file.write(bytes(8 << 20))\n"
                "file.flush(); total = sum(range(10**7))"
            )
            self.assertEqual("ok", done.status, done.told())
            self.assertEqual("", done.text("stderr"))
            self.assert_snapshot()
        self.client.execute("file.close()")
        self.assert_kept()

    def test_a_full_tmp(self):
        self.remember()
        code = (
            "import itertools, tempfile\nfor n in itertools.count():\n"
            "    with open(f'{tempfile.gettempdir()}/x{n}', 'wb') as file: file.write(bytes(1 << 20))"
        )
        self.full_tmp(code)
        self.client.execute("import glob, os\nfor name in glob.glob(f'{tempfile.gettempdir()}/x*'): os.remove(name)")
        self.assert_kept()

    def full_tmp(self, code):
        self.fails(code, "tmp", name="OSError")

    def test_many_empty_files(self):
        self.remember()
        code = (
            "import tempfile\nfor n in range(40_000): open(f'{tempfile.gettempdir()}/e{n}', 'wb').close()\n"
            "while True: pass"
        )
        self.fails(code, "tmp")
        self.client.execute("import glob, os\nfor name in glob.glob(f'{tempfile.gettempdir()}/e*'): os.remove(name)")
        self.assert_kept()

    def test_output(self):
        self.remember()
        done = self.fails("while True: print('x' * 1000)", "output")
        # For each second that it took, some 20 more.
        self.assertLessEqual(len(done.text()), 65 << 10)
        self.assert_kept()

    def test_output_that_ends_by_itself(self):
        done = self.fails("print('x' * (1 << 20))", "output")
        self.assertLessEqual(len(done.text()), 64 << 10)

    def test_displays(self):
        if "display" in self.client.execute("display").told():
            self.fails("while True: display('x' * 1000)", "output")

    def test_no_network(self):
        # To this address TCP never sends anything, whatever ways there are.
        done = self.client.execute("import urllib.request; urllib.request.urlopen('http://255.255.255.255/')")
        self.assertIn("capsule install --network host", done.told())

    def test_a_file_outside(self):
        done = self.client.execute("open('/srv/secret')")
        self.assertIn(str(self.workspace), done.told())
        self.assertNotIn("Capsule", self.client.execute("open('missing')").told())


class BombsBehindAFence(Bombs, unittest.TestCase):
    sandbox = "L3"

    def full_tmp(self, code):
        self.fails(code, "tmp")


class BombsInNamespaces(Bombs, unittest.TestCase):
    sandbox = "L1"


class Room(Limits):
    """Memory that all have together. Of a kernel of its own, since what others leave counts."""

    def test_memory_of_all_of_which_the_worker_has_the_most(self):
        """No process has too much for itself; the worker is ended, and its state comes back."""
        self.remember()
        self.assert_snapshot()
        done = self.fails(
            "import subprocess, sys\n"
            "child = subprocess.Popen([sys.executable, '-c', 'x = b\"x\" * (60 << 20); print(flush=True); input()'],"
            " stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
            "child.stdout.readline()\nhoard = b'x' * (200 << 20)\nwhile True: pass",
            "memory",
            name="LimitExceeded",
        )
        self.assertIn("The variables are as they were after", done.told())
        self.assert_kept()

    def test_the_next_cell_is_not_told_of_it(self):
        """The end of a process for its memory is seen within 100 ms and believed after as many more; by then the next cell
        ran, and was said to have lost one."""
        first = self.client.start(
            "import subprocess, sys\n"
            "hold = [subprocess.Popen([sys.executable, '-c', 'x = b\"x\" * (120 << 20); import signal; signal.pause()'])"
            " for _ in range(2)]\n"
            "while not any([each.poll() for each in hold]): pass\n"
            "print('ended', flush=True)"
        )
        second = self.client.start(
            "import time\nfor _ in range(100): time.sleep(0.01)\nfor each in hold: each.kill(); each.wait()"
        )
        self.assertIn("ended", self.client.finish(first).text())
        self.assertEqual("", self.client.finish(second).text("stderr"))

    def test_snapshots_make_room(self):
        """What only snapshots still hold costs no cell its memory. Room was made by who looks every 100 ms, and one call
        that asks for much was faster: the system ended the worker."""
        self.remember()
        for _ in range(5):
            self.assertEqual("ok", self.client.execute("array = bytearray(b'x') * (30 << 20)").status)
            self.assert_snapshot()
        done = self.client.execute("array = None; array = bytearray(b'x') * (120 << 20); len(array) >> 20")
        self.assertEqual("120", done.result(), done.told())
        self.assertEqual("", done.text("stderr"))
        self.client.execute("del array")
        self.assert_kept()


class RoomBehindAFence(Room, unittest.TestCase):
    sandbox = "L3"


class RoomInNamespaces(Room, unittest.TestCase):
    sandbox = "L1"


class Deadlines(Limits, unittest.TestCase):
    limits = {**LIMITS, "cellDeadline": "1 s"}

    def test_a_deadline(self):
        self.remember()
        self.fails("while True: pass", "cellDeadline")
        self.assert_kept()

    def test_a_deadline_of_a_cell_that_cannot_be_interrupted(self):
        self.remember()
        done = self.fails(
            "import os, signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
            "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
            "cellDeadline",
        )
        self.assertIn("The variables are as they were", done.told())
        self.assert_kept()


class Inherited(unittest.TestCase):
    def test_where_the_kernel_has_less_itself_cells_have_that(self):
        # Nobody can raise it again: no worker was started.
        for tier in ("L1", "L3"):
            with (
                self.subTest(tier),
                Kernel(
                    change_argv=lambda argv: ["/usr/bin/prlimit", "--nofile=512", "--fsize=100000000", "--"]
                    + [*argv, "--sandbox", tier]
                ) as kernel,
                Client(kernel.info) as client,
            ):
                done = client.execute(
                    "import resource\n"
                    "[resource.getrlimit(each)[1] for each in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE)]"
                )
                self.assertEqual("[512, 100000000]", done.result(), done.told())


class Leftovers(unittest.TestCase):
    def test_a_kernel_that_is_killed_leaves_nothing(self):
        with Kernel() as kernel, Client(kernel.info, validating=False) as client:
            client.execute("import subprocess; subprocess.Popen(['sleep', '1000'], start_new_session=True)")
            watch = Watch(descendants(kernel.pid))
            kernel.process.kill()
            self.assertEqual([], watch.survivors(30))
        self.assertEqual([], control_groups(kernel))


def control_groups(kernel):
    """The directories of control groups that a kernel has made."""
    found = []
    for directory, names, _ in os.walk("/sys/fs/cgroup"):
        found += [os.path.join(directory, name) for name in names if name.startswith(f"capsule-{kernel.pid}-")]
    return found
