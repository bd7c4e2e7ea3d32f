"""Beginnings and ends: no process is left, ports are free again, and what cannot start says why."""

import contextlib
import json
import os
import platform
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from kernels import KERNEL_NAME, PATIENCE, UNCONFINED, Kernel, Watch, connection, descendants
from wire import Client

# Starts a kernel with a program of the user below it, tells of it, and waits to be killed.
PARENT = """
import json, sys
from kernels import Kernel
from wire import Client
kernel = Kernel()
client = Client(kernel.info)
{cells}
print(json.dumps(kernel.pid), flush=True)
sys.stdin.read()
"""

# Runs what it is given like any Python, which finds that it is run by an old one.
OLD_PYTHON = """
import runpy, sys
sys.version_info = (3, 6, 9, "final", 0)
sys.version = "3.6.9 (default)"
sys.hexversion = 0x030609F0
arguments = sys.argv[1:]
while arguments and arguments[0].startswith("-") and arguments[0] not in ("-", "-c", "-m"):
    if arguments.pop(0) in ("-V", "--version"):
        print("Python 3.6.9")
        sys.exit()
if arguments[0] == "-c":
    sys.argv = ["-c", *arguments[2:]]
    exec(arguments[1], {"__name__": "__main__"})
elif arguments[0] == "-":
    sys.argv = arguments
    exec(sys.stdin.read(), {"__name__": "__main__"})
else:
    sys.argv = arguments[arguments[0] == "-m":]
    (runpy.run_module if arguments[0] == "-m" else runpy.run_path)(sys.argv[0], run_name="__main__")
"""

CHILD = "import subprocess; child = subprocess.Popen(['sleep', '1000'])"


def with_cache(argv, path):
    """A kernel's command with another cache for the start of the virtual machine."""
    changed = [f"-XX:AOTCache={path}" if word.startswith("-XX:AOTCache=") else word for word in argv]
    assert changed != argv, argv
    return changed


def watchdog_call(kernel):
    """The system call that the thread is in which looks at what cells use: number and arguments. None without it."""
    for task in Path(f"/proc/{kernel.pid}/task").iterdir():
        if (task / "comm").read_text() == "watchdog\n":
            return (task / "syscall").read_text().split()
    return None


class Lifecycle(unittest.TestCase):
    def watch(self, kernel_pid, expected):
        """Watches a kernel and what is below it, which must be at least so many processes."""
        pids = [kernel_pid, *descendants(kernel_pid)]
        self.assertGreaterEqual(len(pids), expected, f"processes: {pids}")
        watch = Watch(pids)
        self.addCleanup(watch.kill)
        return watch

    def killed_parent(self, cells):
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT.format(cells=cells)],
            cwd=Path(__file__).parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.addCleanup(parent.stdin.close)
        self.addCleanup(parent.stdout.close)
        self.addCleanup(parent.wait)
        self.addCleanup(parent.kill)
        line = parent.stdout.readline()
        self.assertTrue(line, "the parent did not start its kernel")
        watch = self.watch(json.loads(line), 3)
        parent.kill()
        return watch

    def test_a_killed_parent_leaves_nothing_after_two_seconds(self):
        watch = self.killed_parent(f"client.execute({CHILD!r})")
        self.assertEqual([], watch.survivors(2))

    def test_a_parent_killed_during_a_cell_leaves_nothing_after_two_seconds(self):
        code = CHILD + "\nprint('now', flush=True)\nimport itertools; sum(itertools.repeat(0))"
        watch = self.killed_parent(f"client.wait_text(client.start({code!r}), 'now')")
        self.assertEqual([], watch.survivors(2))

    def test_a_killed_front_leaves_nothing(self):
        with Kernel() as kernel, Client(kernel.info) as client:
            client.execute(CHILD)
            watch = self.watch(kernel.pid, 3)
            kernel.process.kill()
            self.assertEqual([], watch.survivors(2))

    def test_a_terminated_kernel_leaves_nothing(self):
        with Kernel() as kernel, Client(kernel.info) as client:
            client.execute(CHILD)
            watch = self.watch(kernel.pid, 3)
            kernel.process.terminate()
            self.assertEqual([], watch.survivors(5))

    def test_shutdown_ends_children_that_left_their_group(self):
        code = "import subprocess; child = subprocess.Popen(['sleep', '1000'], start_new_session=True)"
        with Kernel() as kernel, Client(kernel.info) as client:
            client.execute(code)
            watch = self.watch(kernel.pid, 3)
            client.request("shutdown_request", {"restart": False}, channel="control")
            self.assertEqual([], watch.survivors(5))

    def test_exit_handlers_run_at_shutdown(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        with Kernel(directory=directory.name) as kernel, Client(kernel.info) as client:
            client.execute("import atexit, pathlib; atexit.register(pathlib.Path('trace').write_text, 'bye')")
            client.send("shutdown_request", {"restart": False}, channel="control")
            kernel.process.wait(PATIENCE)
            self.assertEqual("bye", (Path(directory.name) / "trace").read_text())

    def test_an_interrupt_of_the_process_group_does_not_end_the_kernel(self):
        with Kernel() as kernel, Client(kernel.info) as client:
            client.execute("kept = 41")
            for _ in range(3):
                os.killpg(kernel.pid, signal.SIGINT)
            self.assertEqual("42", client.execute("kept + 1").result())
            self.assertTrue(kernel.alive())

    def test_fifty_restarts_on_the_same_ports(self):
        info = connection()
        sessions = set()
        watches = []
        for restart in range(50):
            with Kernel(info) as kernel, Client(info) as client:
                self.assertEqual(str(restart), client.execute(f"{restart}").result())
                sessions.add(client.everything[-1]["header"]["session"])
                watches.append(self.watch(kernel.pid, 2))
                message_id = client.send("shutdown_request", {"restart": True}, channel="control")
                client.wait(lambda: message_id in client.replies, "shutdown_reply")
                kernel.process.wait(PATIENCE)
        self.assertEqual(50, len(sessions))
        self.assertEqual([], [pid for watch in watches for pid in watch.survivors(2)])

    def test_a_client_that_stays_connected_meets_the_restarted_kernel(self):
        info = connection()
        with Kernel(info) as first, Client(info) as client:
            client.execute("1")
            client.request("shutdown_request", {"restart": True}, channel="control", replied=True)
            first.process.wait(PATIENCE)
            client.orphans.clear()
            with Kernel(info):
                client.wait(lambda: any(m["msg_type"] == "iopub_welcome" for m in client.orphans), "a second welcome")
                self.assertEqual("2", client.execute("1 + 1").result())

    def test_the_virtual_machine_starts_from_its_cache(self):
        # With this option it does not start where it cannot use it.
        with Kernel(change_argv=lambda argv: [argv[0], "-XX:AOTMode=on", *argv[1:]]) as kernel, Client(kernel.info) as client:
            self.assertEqual("42", client.execute("6 * 7").result())

    def test_it_is_ready_without_a_look_into_its_jar(self):
        # It looked there for loggers, selectors and the frames of a page, for a tenth of its start.
        with Kernel() as kernel, Client(kernel.info) as client:
            client.request("kernel_info_request", channel="control")
            opened = []
            for descriptor in Path(f"/proc/{kernel.pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):
                    opened.append(os.readlink(descriptor))
            self.assertTrue(opened)
            self.assertEqual([], [path for path in opened if path.endswith(".jar")])

    def test_a_cache_that_is_of_no_use_costs_time_only(self):
        with tempfile.NamedTemporaryFile("wb") as file:
            file.write(os.urandom(1 << 20))
            file.flush()
            for path in (file.name, file.name + "-missing"):
                with (
                    self.subTest(path),
                    Kernel(change_argv=lambda argv: with_cache(argv, path)) as kernel,
                    Client(kernel.info) as client,
                ):
                    self.assertEqual("42", client.execute("6 * 7").result())
                    self.assertEqual([], kernel.log.lines())

    def test_an_idle_kernel_rests(self):
        # What looks at a worker's processes every second never ceased to, for it took the worker's own for a cell's.
        with Kernel() as kernel, Client(kernel.info) as client:
            # Long enough to be looked at.
            self.assertEqual("ok", client.execute("import time\ntime.sleep(0.5)").status)
            # Without a sandbox there are no limits, and nothing to be looked at.
            self.assertEqual(UNCONFINED, watchdog_call(kernel) is None)
            deadline = time.monotonic() + PATIENCE
            # A futex, waited on without a time: the fifth word is the fourth argument.
            while not UNCONFINED and (watchdog_call(kernel) + [""] * 5)[4] != "0x0":
                self.assertLess(time.monotonic(), deadline, watchdog_call(kernel))
                client.request("kernel_info_request", channel="control")

    def test_it_is_ready_before_its_worker_is(self):
        """kernel_info does not wait for a Python that takes for ever to start."""
        with tempfile.TemporaryDirectory() as directory:
            fake = script(directory, "import time\ntime.sleep(1000)")
            with Kernel(change_argv=lambda argv: with_python(argv, fake)) as kernel:
                with Client(kernel.info) as client:
                    told = client.request("kernel_info_request", channel="control").content
                    self.assertEqual("ok", told["status"])
                    # It was "3.11" until there was a worker, so notebooks changed with who was the first to ask.
                    self.assertEqual(platform.python_version(), told["language_info"]["version"])


class Pythons(unittest.TestCase):
    """A Python that cannot be used is named, with what is wrong with it, and nothing hangs."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def assert_told(self, python, says):
        """Either the kernel refuses to start, or each cell fails; both say the same."""
        with Kernel(change_argv=lambda argv: with_python(argv, python)) as kernel:
            told = self.what_is_told(kernel)
        self.assertIn(python, told)
        self.assertRegex(told, says)

    def what_is_told(self, kernel):
        client = Client(kernel.info, subscribed=False)
        self.addCleanup(client.close)
        monitor = Watch([kernel.pid])
        if not monitor.survivors(3):
            lines = [line for line in kernel.log.wait_end() if line.strip()]
            self.assertNotEqual(0, kernel.process.wait(PATIENCE))
            self.assertEqual(1, len(lines), "\n".join(lines))
            return lines[0]
        client.subscribe()
        done = client.execute("1")
        self.assertEqual("error", done.status)
        self.assertEqual("error", client.execute("2").status)
        return done.told()

    def test_one_that_is_not_there(self):
        self.assert_told(os.path.join(self.directory, "no-python"), "(?i)not found|no such|does not exist|cannot")

    def test_one_that_is_no_program(self):
        file = Path(self.directory) / "text"
        file.write_text("no program")
        self.assert_told(str(file), "(?i)not executable|cannot|permission|not a")

    def test_one_that_is_too_old(self):
        self.assert_told(script(self.directory, OLD_PYTHON), r"3\.9")

    def test_one_that_is_no_python(self):
        self.assert_told("/usr/bin/true", "(?i)python|version|hello|ended|exit")

    def test_one_that_the_environment_names(self):
        missing = os.path.join(self.directory, "no-python")
        for python, says in ((missing, missing), (script(self.directory, OLD_PYTHON), "3.6.9")):
            with self.subTest(python=python), Kernel(
                environment={"CAPSULE_PYTHON": python}, change_argv=without_python
            ) as kernel:
                lines = [line for line in kernel.log.wait_end() if line.strip()]
                self.assertNotEqual(0, kernel.process.wait(PATIENCE))
                self.assertEqual(1, len(lines), "\n".join(lines))
                self.assertIn("CAPSULE_PYTHON", lines[0])
                self.assertIn(says, lines[0])

    def test_install_refuses_each(self):
        jar = os.environ.get("CAPSULE_JAR")
        self.assertTrue(jar, "CAPSULE_JAR names the jar")
        missing = os.path.join(self.directory, "no-python")
        for python, says in ((missing, "not"), (script(self.directory, OLD_PYTHON), "3.6.9"), ("/usr/bin/true", "")):
            with self.subTest(python=python):
                options = ["--prefix", self.directory, "--python", python]
                done = subprocess.run(
                    [os.environ["CAPSULE_JAVA"], "-jar", jar, "install", *options],
                    capture_output=True,
                    text=True,
                    timeout=PATIENCE,
                )
                self.assertNotEqual(0, done.returncode)
                self.assertIn(python, done.stderr)
                self.assertIn(says, done.stderr)
                self.assertNotIn("\tat ", done.stderr)
                self.assertEqual([], list(Path(self.directory).rglob("kernel.json")))


def script(directory, text):
    """An executable that is a Python program, by whose name it is called."""
    path = Path(directory) / "python-script"
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
    return str(path)


def without_python(argv):
    """The command line without its choice of a Python."""
    if "--python" in argv:
        at = argv.index("--python")
        return argv[:at] + argv[at + 2 :]
    return [argument for argument in argv if not argument.startswith("--python=")]


def with_python(argv, python):
    return [*without_python(argv), "--python", python]


class KernelSpecification(unittest.TestCase):
    def test_it_is_what_front_ends_expect(self):
        from jupyter_client.kernelspec import KernelSpecManager

        spec = KernelSpecManager().get_kernel_spec(KERNEL_NAME)
        traits = ["no sandbox"] * UNCONFINED + ["plain"] * ("plain" in KERNEL_NAME)
        name = f"Python ({', '.join(['Capsule', *traits])})"
        self.assertEqual((name, "python", "message"), (spec.display_name, spec.language, spec.interrupt_mode))
        self.assertIn("{connection_file}", spec.argv)
        self.assertTrue(os.path.isabs(spec.argv[0]) and os.access(spec.argv[0], os.X_OK), spec.argv)
        files = set(os.listdir(spec.resource_dir))
        self.assertLessEqual({"kernel.json", "logo-32x32.png", "logo-64x64.png", "logo-svg.svg"}, files)
        self.assertNotIn(os.environ["CAPSULE_JAR"], spec.argv, "a rebuild would remove it")
