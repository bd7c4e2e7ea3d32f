"""Snapshots: a copy of the live process takes its place, and goes on with the state that it shows."""

import ctypes.util
import os
import signal
import tempfile
import time
import unittest
from pathlib import Path

from .client import Worker
from .test_interrupts import SLEEP

SETUP = """
import io, os, random, sys, tempfile
def numbers():
    yield from range(10)
half = numbers(); next(half); next(half)
class Point:
    def __init__(self, x): self.x = x
point = Point(3)
double = lambda n: 2 * n
file = open(tempfile.mkstemp()[1], 'w+'); file.write('one\\ntwo\\nthree\\n'); file.seek(0); line = file.readline()
random.seed(7)
"""

# What of tqdm has a thread.
TQDM = {
    "__init__": "from .std import tqdm",
    "_monitor": (
        "import atexit, threading\n"
        "class TMonitor(threading.Thread):\n"
        "    def __init__(self, tqdm_cls, sleep_interval):\n"
        "        super().__init__(name='tqdm_monitor', daemon=True)\n"
        "        self.tqdm_cls, self.sleep_interval, self.was_killed = tqdm_cls, sleep_interval, threading.Event()\n"
        "        atexit.register(self._atexit_signal)\n"
        "        self.start()\n"
        "    def _atexit_signal(self): self.was_killed.set()\n"
        "    def run(self):\n"
        "        killed = self.was_killed\n"
        "        while not killed.wait(self.sleep_interval):\n"
        "            with self.tqdm_cls.get_lock(): self.tqdm_cls._instances.copy()\n"
        "    def report(self): return not self.was_killed.is_set()\n"
    ),
    "std": (
        "import threading, weakref\n"
        "from ._monitor import TMonitor\n"
        "class tqdm:\n"
        "    monitor, Monitor, _instances, _lock = None, TMonitor, weakref.WeakSet(), threading.RLock()\n"
        "    def __init__(self, iterable):\n"
        "        self.iterable = iterable\n"
        "        self._instances.add(self)\n"
        "        if self.monitor is None or not self.monitor.report(): type(self).monitor = TMonitor(type(self), 10)\n"
        "    def __iter__(self):\n"
        "        try: yield from self.iterable\n"
        "        finally: self._instances.remove(self)\n"
        "    @classmethod\n"
        "    def get_lock(cls): return cls._lock\n"
    ),
}
# What of dask has threads.
DASK = (
    "import atexit, threading\n"
    "from collections import defaultdict\n"
    "from concurrent.futures import ThreadPoolExecutor\n"
    "default_pool, pools, pools_lock = None, defaultdict(dict), threading.Lock()\n"
    "def compute(function, number=None):\n"
    "    global default_pool\n"
    "    with pools_lock:\n"
    "        own = pools[threading.current_thread()]\n"
    "        pool = default_pool if number is None else own.get(number)\n"
    "        if pool is None:\n"
    "            pool = ThreadPoolExecutor(number)\n"
    "            atexit.register(pool.shutdown)\n"
    "            if number is None: default_pool = pool\n"
    "            else: own[number] = pool\n"
    "    return pool.submit(function)\n"
)
LOOK = "[next(half), point.x, double(4), file.readline(), random.random()]"
SEEN = "[2, 3, 8, 'two\\n', 0.32383276483316237]"


class Snapshots(unittest.TestCase):
    def worker(self, **options):
        worker = Worker(supervised=True, **options)
        self.addCleanup(worker.close)
        self.live = worker.hello["pid"]
        return worker

    def run_kept(self, worker, code):
        """Runs a cell and waits for the snapshot after it."""
        cell = worker.run(code)
        self.assertTrue(cell.ok, cell.header)
        return worker.kept(cell.header["resolve"])

    def run_kept_soon(self, worker, code):
        """The same where a thread may be about to end, or to rest."""
        cell = worker.run(code)
        self.assertTrue(cell.ok, cell.header)
        return worker.kept_soon(cell.header["resolve"])

    def crash(self, worker, code="os._exit(3)"):
        worker.start(code)
        return worker.died(self.live)

    def revive(self, worker, snapshot):
        self.live = worker.wake(snapshot)

    def test_it_is_offered_only_under_a_supervisor(self):
        self.assertIn("snapshot", self.worker().hello["offers"])
        with Worker() as worker:
            self.assertNotIn("snapshot", worker.hello["offers"])

    def test_nothing_is_started_before_the_kernel_is_in_charge(self):
        """The live process was started at once, and what a killed kernel's keeper could not find outlived it: where there
        is no process namespace, it finds what was marked before it was started.
        """
        worker = Worker(supervised=True, begin=False, wait=False)
        self.addCleanup(worker.close)
        process = f"/proc/{worker.pid}"
        deadline = time.monotonic() + 20
        waits_for_orders = ["0x6"]
        while Path(process, "syscall").read_text().split()[1:2] != waits_for_orders:
            self.assertLess(time.monotonic(), deadline)
        self.assertEqual("", Path(process, "task", str(worker.pid), "children").read_text())
        worker.send(worker.orders, {"signal": "begin"})
        worker.until(lambda event: event[0] == "hello")

    def test_cells_that_come_at_once_are_not_kept_waiting_by_any(self):
        """Each paid for the pages that it was the first to write to after the snapshot before it."""
        worker = self.worker()
        last = [worker.start(f"x = {number}") for number in range(20)][-1]
        cell = worker.finish(last)
        # In the pause that follows there is one, of all of them.
        self.assertTrue(worker.kept(last))
        made = [event for event in (*cell.events, *worker.events) if event[0] == "snapshot"]
        self.assertLess(len(made), 5)

    def test_cells_do_not_wait_for_them_most_of_the_time(self):
        """Each of a notebook's cells waited for a copy that took ten times as long as the cell, once pandas was loaded."""
        worker = self.worker()
        first = self.run_kept(worker, "from capsule_worker import snapshots\ndef f(n): return n\nimport os")
        # From here on there is no time for any in some minutes.
        worker.run("snapshots._SECONDS_AT_ONCE, snapshots._SHARE = 0, 1e-5")
        cells = [worker.start(f"x = f({number})") for number in range(20)]
        worker.finish(cells[-1])
        made = {event[1]["after"] for event in worker.events if event[0] == "snapshot"}
        self.assertFalse(made.intersection(cells))
        # But what hardly anybody survives has one before it.
        self.crash(worker, "f(1); os._exit(3)")
        snapshot = worker.kept(cells[-1])
        self.assertNotEqual(first, snapshot)
        self.revive(worker, snapshot)
        self.assertEqual("19", worker.run("x").result())

    def test_they_are_made_up_for_in_a_pause(self):
        worker = self.worker()
        self.run_kept(worker, "from capsule_worker import snapshots\ndef f(n): return n")
        worker.run("snapshots._SECONDS_AT_ONCE, snapshots._SHARE = 0, 0.05")
        cells = [worker.start(f"x = f({number})") for number in range(20)]
        worker.finish(cells[-1])
        self.assertTrue(worker.kept(cells[-1]))

    def test_the_state_before_a_death(self):
        worker = self.worker()
        snapshot = self.run_kept(worker, SETUP)
        for code, status in (
            ("os._exit(3)", 3),
            ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV),
            ("os.abort()", -signal.SIGABRT),
            ("os.kill(os.getpid(), 9)", -signal.SIGKILL),
            ("os.closerange(0, 4096); input()", 1),
            ("next(half); file.read(); random.random(); point.x = 0; del double; os._exit(5)", 5),
        ):
            with self.subTest(code=code):
                self.assertEqual(status, self.crash(worker, code))
                self.revive(worker, snapshot)
                self.assertEqual(SEEN, worker.run(LOOK).result())

    def test_a_snapshot_after_a_revival(self):
        worker = self.worker()
        first = self.run_kept(worker, "import os; values = [1]")
        self.crash(worker)
        self.revive(worker, first)
        second = self.run_kept(worker, "values.append(2)")
        self.crash(worker)
        self.revive(worker, second)
        self.assertEqual("[1, 2]", worker.run("values").result())
        self.crash(worker)
        self.revive(worker, first)
        self.assertEqual("[1]", worker.run("values").result())

    def test_revivals_leave_nothing_behind(self):
        """What the threads of each process before had been started with was kept, and with it the cell that ran then; and
        each fork looked at all of these threads.
        """
        worker = self.worker()
        snapshot = self.run_kept(worker, "import gc, os, threading")
        counts = []
        for number in range(6):
            self.crash(worker)
            self.revive(worker, snapshot)
            things = "[type(thing).__name__ for thing in gc.get_objects()]"
            count = f"gc.collect()\nnames = {things}\n[names.count('Execution'), len(threading._dangling)]"
            counts.append(worker.run(count).result())
            snapshot = self.run_kept(worker, f"del names; os.getpid, {number}")
        self.assertEqual(counts[1:3], counts[-2:], counts)

    def test_revivals_leave_no_mappings_behind(self):
        """Each copy kept what the control thread's frames had been in, 16 KiB that nothing would free; and after 400 deaths
        it took the next copy twice the time to come to life.
        """
        worker = self.worker()
        snapshot = self.run_kept(worker, "import os")
        counts = []
        for number in range(24):
            self.crash(worker)
            self.revive(worker, snapshot)
            counts.append(len(Path(f"/proc/{self.live}/maps").read_text().splitlines()))
            snapshot = self.run_kept(worker, f"os, {number}")
        self.assertLess(counts[-1] - counts[3], 8, counts)

    def test_there_is_none_where_no_thread_can_be_started(self):
        """The control thread ends for a copy: another must be there before, or nobody would hear of an interrupt."""
        worker = self.worker()
        code = (
            "import ctypes, resource, threading; C = ctypes.CDLL(None); attributes = ctypes.create_string_buffer(256)\n"
            "C.pthread_attr_init(attributes); C.pthread_attr_setstacksize(attributes, ctypes.c_size_t(1 << 30))\n"
            "C.pthread_setattr_default_np(attributes)\n"
            "pages = int(open('/proc/self/statm').read().split()[0])\n"
            "limits = resource.getrlimit(resource.RLIMIT_AS)\n"
            "resource.setrlimit(resource.RLIMIT_AS, (4096 * pages + (64 << 20), limits[1]))"
        )
        begun = worker.start(code)
        self.assertTrue(worker.finish(begun).ok)
        self.assertEqual("no process can be started: can't start new thread", worker.refused(begun))
        looping = worker.start("while True: pass")
        worker.signal("cancel", id=looping)
        self.assertEqual("KeyboardInterrupt", worker.finish(looping).ename)
        ended = worker.start("resource.setrlimit(resource.RLIMIT_AS, limits)")
        self.assertTrue(worker.finish(ended).ok)
        worker.kept(ended)

    def test_there_is_none_where_a_thread_would_find_no_memory(self):
        """The control thread's successor had the stack of a former one, and failed without memory of its own, when the first
        had ended: the worker heard of nothing any more, and the next cell hung.
        """
        worker = self.worker()
        code = (
            "import resource, re\n"
            "size = int(re.search(r'VmSize:\\s*(\\d+)', open('/proc/self/status').read())[1]) << 10\n"
            "limits = resource.getrlimit(resource.RLIMIT_AS)\n"
        )
        self.run_kept(worker, code)
        begun = worker.start("resource.setrlimit(resource.RLIMIT_AS, (size + (24 << 20), limits[1]))")
        self.assertTrue(worker.finish(begun).ok)
        reason = "too little memory may be mapped for another thread (resource.RLIMIT_AS)"
        self.assertEqual(reason, worker.refused(begun))
        self.assertEqual("MemoryError", worker.run("bytearray(1 << 30)").ename)
        looping = worker.start("while True: pass")
        worker.signal("cancel", id=looping)
        self.assertEqual("KeyboardInterrupt", worker.finish(looping).ename)
        self.run_kept(worker, "resource.setrlimit(resource.RLIMIT_AS, limits)")

    def test_the_size_of_a_cells_stacks_is_not_that_of_the_workers(self):
        """The control thread begins anew after each snapshot."""
        worker = self.worker()
        begun = worker.start("import threading; threading.stack_size(32 << 10)")
        self.assertTrue(worker.finish(begun).ok)
        worker.kept(begun)
        self.assertEqual(str(32 << 10), worker.run("threading.stack_size()").result())
        looping = worker.start("while True: pass")
        worker.signal("cancel", id=looping)
        self.assertEqual("KeyboardInterrupt", worker.finish(looping).ename)

    def test_the_state_at_the_start(self):
        worker = self.worker()
        start = worker.kept("")
        self.crash(worker, "import os; os._exit(0)")
        self.revive(worker, start)
        self.assertEqual("NameError", worker.run("os").ename)

    def test_interrupts_work_after_a_revival(self):
        worker = self.worker()
        snapshot = self.run_kept(worker, "import os, time")
        self.crash(worker)
        self.revive(worker, snapshot)
        running = worker.start("print('now', flush=True)\ntime.sleep(60)")
        worker.until_text("now")
        worker.signal("cancel", id=running)
        self.assertEqual("KeyboardInterrupt", worker.finish(running).ename)

    def test_interrupts_reach_programs_and_no_snapshot(self):
        """Also where a sandbox has no /proc, or one of other numbers, and also after a revival."""
        worker = self.worker()
        for hide in ("pass", "def readlink(*_): raise FileNotFoundError\nos.readlink = readlink"):
            with self.subTest(hide):
                snapshot = self.run_kept(worker, "import os, subprocess\n" + hide)
                for _ in range(2):
                    # Not before there is a `p`.
                    running = worker.start(f"p = subprocess.Popen({SLEEP!r}, shell=True, stdout=subprocess.PIPE)\n"
                                           "print(p.stdout.readline().decode(), end='')\np.wait()")
                    worker.until_text("now\n")
                    worker.signal("cancel", id=running)
                    self.assertEqual("KeyboardInterrupt", worker.finish(running).ename)
                    # The interrupt may have cost Python the status, which is 0 then.
                    self.assertIn(worker.run("p.wait()").result(), ("-2", "0"))
                    running = worker.start(f"os.system({SLEEP!r})")
                    worker.until_text("now\n")
                    worker.signal("cancel", id=running)
                    self.assertEqual("KeyboardInterrupt", worker.finish(running).ename)
                    self.assertEqual(self.live, os.getpgid(self.live))
                    # All that comes to a snapshot stays there to be seen.
                    status = dict(line.split(":") for line in Path(f"/proc/{snapshot}/status").read_text().splitlines())
                    self.assertFalse(int(status["ShdPnd"], 16) & 1 << signal.SIGINT - 1)
                    self.crash(worker)
                    self.revive(worker, snapshot)

    def test_asynchronous_cells_work_after_a_revival(self):
        worker = self.worker()
        snapshot = self.run_kept(worker, "import asyncio, os\nloop = asyncio.get_event_loop()\nawait asyncio.sleep(0)")
        for _ in range(2):
            self.crash(worker)
            self.revive(worker, snapshot)
            self.assertEqual("5", worker.run("await asyncio.sleep(0.001, 5)").result())
            code = "await loop.run_in_executor(None, lambda: 6)"
            self.assertEqual("6", worker.run(code).result())
            self.assertTrue(worker.run("asyncio.get_running_loop() is loop or await asyncio.sleep(0)").ok)

    def test_hooks_of_libraries_run(self):
        worker = self.worker()
        snapshot = self.run_kept(worker, "import os; forks = 0\ndef count():\n    global forks; forks += 1\n"
                                         "os.register_at_fork(after_in_child=count)")
        snapshot = self.run_kept(worker, "1")
        self.crash(worker)
        self.revive(worker, snapshot)
        self.assertEqual("True", worker.run("forks >= 1").result())

    def test_cells_do_not_meet_snapshots(self):
        worker = self.worker()
        snapshot = self.run_kept(worker, "import os, signal")
        self.assertEqual("ChildProcessError", worker.run("os.wait()").ename)
        worker.start("os.killpg(0, signal.SIGKILL)")
        self.assertEqual(-signal.SIGKILL, worker.died(self.live))
        self.revive(worker, snapshot)
        self.assertTrue(worker.run("1").ok)

    def test_a_pipe_ends_though_a_snapshot_had_a_copy(self):
        """The copies kept it open, and a cell that waited for its end waited for ever."""
        worker = self.worker()
        self.run_kept(worker, "import os; out, into = os.pipe(); os.write(into, b'x')")
        self.assertEqual("(b'x', b'')", worker.run("os.close(into); (os.read(out, 1), os.read(out, 1))").result())

    def test_it_is_told_how_many_sockets_and_pipes_are_cut(self):
        """Nobody was told, and a cell met "Socket operation on non-socket"."""
        worker = self.worker()
        snapshot = self.run_kept(worker, "import os, socket; ends = os.pipe(); two = socket.socketpair(); own = two[0].dup()")
        self.crash(worker)
        self.revive(worker, snapshot)
        self.assertEqual(3, self.cut(worker))
        # And once only.
        snapshot = self.run_kept(worker, "one = socket.socket()")
        self.crash(worker)
        self.revive(worker, snapshot)
        self.assertEqual(1, self.cut(worker))

    def test_what_the_worker_has_made_for_itself_is_not_cut(self):
        for engine in ("plain", "auto"):
            with self.subTest(engine):
                worker = self.worker(environment={"CAPSULE_ENGINE": engine})
                self.run_kept(worker, "import asyncio, os; asyncio.run(asyncio.sleep(0)); await asyncio.sleep(0)")
                self.run_kept(worker, "from multiprocessing import resource_tracker; resource_tracker.ensure_running()")
                for shell in ("s1", "s2"):
                    beside = worker.run("await asyncio.sleep(0)", subshell=shell, store_history=False)
                    self.assertTrue(beside.ok, beside.header)
                worker.signal("end_subshell", subshell="s2")
                snapshot = self.run_kept_soon(worker, "1")
                self.crash(worker)
                self.revive(worker, snapshot)
                self.assertEqual(0, self.cut(worker))
                snapshot = self.run_kept(worker, "await asyncio.sleep(0)")
                self.crash(worker)
                self.revive(worker, snapshot)
                self.assertEqual(0, self.cut(worker))

    def cut(self, worker):
        return [event[1]["cut"] for event in worker.events if event[0] == "revived"][-1]

    def test_a_lock_ends_with_the_file_though_a_snapshot_had_a_copy(self):
        """The lock is the open file's, which the copies kept open: a cell that locked the file anew waited for ever."""
        worker = self.worker()
        with tempfile.TemporaryDirectory() as folder:
            begun = worker.start(f"import fcntl; name = {folder!r} + '/lock'; f = open(name, 'w'); fcntl.flock(f, fcntl.LOCK_EX)")
            self.assertTrue(worker.finish(begun).ok)
            self.assertRegex(worker.refused(begun), "a file is locked")
            again = "g = open(name, 'w'); fcntl.flock(g, fcntl.LOCK_EX | fcntl.LOCK_NB)"
            self.assertTrue(worker.run("f.close(); " + again).ok)
            self.run_kept(worker, "g.close()")

    def test_there_is_none_in_a_transaction_of_a_database(self):
        """SQLite in a process that was woken took the lock for its own: it wrote pages over those that others had written
        meanwhile, and the file was malformed.
        """
        self.check_transaction("")

    def test_there_is_none_in_a_transaction_where_proc_cannot_be_read(self):
        self.check_transaction(
            "from capsule_worker import snapshots\n"
            "def _read(path): raise PermissionError\n"
            "snapshots._read = _read\n"
        )

    def check_transaction(self, before):
        worker = self.worker()
        with tempfile.TemporaryDirectory() as folder:
            begin = f"import sqlite3; base = sqlite3.connect('{folder}/base'); base.execute('create table t (a)'); base.commit()"
            self.run_kept(worker, before + begin)
            begun = worker.start("base.execute('insert into t values (1)')")
            self.assertTrue(worker.finish(begun).ok)
            self.assertRegex(worker.refused(begun), "a file is locked .* SQLite in a transaction")
            snapshot = self.run_kept(worker, "base.commit()")
            self.crash(worker, "import os; os._exit(3)")
            self.revive(worker, snapshot)
            self.assertEqual("[(1,)]", worker.run("list(base.execute('select a from t'))").result())

    def test_one_that_is_left_half_made_is_none_that_cannot_wake(self):
        """Its end was taken for that of the process that came of another, which %undo then gave up."""
        worker = self.worker()
        worker.start(
            "import os, signal\n"
            "live = os.getpid()\n"
            "os.register_at_fork(after_in_parent=lambda: os.getpid() == live and os.kill(live, signal.SIGKILL))"
        )
        self.assertEqual(-9, worker.died(self.live))
        self.assertEqual(1, worker.next_died()[1])

    def test_a_file_that_a_library_closes_when_a_process_is_copied(self):
        """The copy could not find its place in it, and ended instead of waking: matplotlib closes its fonts so, and after a
        figure every crash and %undo cost all variables.
        """
        worker = self.worker()
        with tempfile.TemporaryFile() as file:
            file.write(b"abcdef")
            file.flush()
            code = (
                "import os\n"
                f"closed, file = (open('/proc/{os.getpid()}/fd/{file.fileno()}', 'rb', 0) for _ in range(2))\n"
                "os.register_at_fork(after_in_child=closed.close)\n"
                "(closed.read(2), file.read(3))"
            )
            snapshot = self.run_kept(worker, code)
            self.crash(worker, "file.read(); os._exit(3)")
            self.revive(worker, snapshot)
            self.assertEqual("(True, b'def')", worker.run("(closed.closed, file.read())").result())

    def test_a_pipe_that_a_library_replaces_when_a_process_is_copied(self):
        """What had the pipe's number by then was cut in its stead: joblib, for instance, closes its own so."""
        worker = self.worker()
        code = (
            "import os\n"
            "end, other = os.pipe(); file = None\n"
            "def replace():\n"
            "    global file\n"
            "    if file is None: os.close(end); file = open('/dev/zero', 'rb', 0)\n"
            "os.register_at_fork(after_in_child=replace)"
        )
        snapshot = self.run_kept(worker, code)
        self.crash(worker)
        self.revive(worker, snapshot)
        self.assertEqual("(True, b'\\x00')", worker.run("(file.fileno() == end, file.read(1))").result())

    def test_why_there_is_none(self):
        worker = self.worker()
        for begin, end, reason in (
            ("import threading; stop = threading.Event(); t = threading.Thread(target=stop.wait, name='T'); t.start()",
             "stop.set(); t.join()", "a thread is running (T)"),
            ("import asyncio; task = asyncio.create_task(asyncio.sleep(60)); await asyncio.sleep(0)",
             "task.cancel(); await asyncio.sleep(0)", "an asyncio task, timer or server is alive"),
            ("import subprocess; p = subprocess.Popen(['sleep', '60'])", "p.kill(); p.wait()",
             "a child process is open (sleep)"),
            ("import signal; signal.alarm(60)", "signal.alarm(0)", "a timer is running (signal.alarm or setitimer)"),
        ):  # fmt: skip
            with self.subTest(reason=reason):
                begun = worker.start(begin)
                self.assertTrue(worker.finish(begun).ok)
                self.assertEqual(reason, worker.refused(begun))
                ended = worker.start(end)
                self.assertTrue(worker.finish(ended).ok)
                worker.kept(ended)

    def test_multiprocessings_tracker_is_no_child(self):
        """Shared memory and pools that spawn leave it behind: from then on there was no snapshot, whatever was closed."""
        worker = self.worker()
        code = (
            "import os, warnings; warnings.simplefilter('error')\n"
            "from multiprocessing import resource_tracker; resource_tracker.ensure_running()"
        )
        snapshot = self.run_kept(worker, code)
        self.crash(worker)
        self.revive(worker, snapshot)
        self.run_kept(worker, "resource_tracker.ensure_running(); os.kill(resource_tracker._resource_tracker._pid, 0)")

    def test_joblibs_tracker_is_no_child(self):
        """joblib has its own copy of multiprocessing's, and leaves it behind likewise. In a copied process it forgets the
        tracker's pid, but not that it has one.
        """
        worker = self.worker()
        code = (
            "import multiprocessing.resource_tracker as copied, os, sys, types, warnings; warnings.simplefilter('error')\n"
            "joblibs = sys.modules['joblib.externals.loky.backend.resource_tracker'] = types.ModuleType('copy')\n"
            "tracker = joblibs._resource_tracker = copied.ResourceTracker()\n"
            "tracker.ensure_running(); copied.ensure_running()\n"
            "def forget(): tracker._pid = None\n"
            "os.register_at_fork(after_in_child=forget)"
        )
        snapshot = self.run_kept(worker, code)
        self.crash(worker)
        self.revive(worker, snapshot)
        self.run_kept(worker, "tracker.ensure_running(); os.kill(tracker._pid, 0)")

    def test_the_server_of_forks_is_no_child(self):
        """It stays when its children have ended; and a process that was woken waited for it, which was not its child."""
        worker = self.worker()
        self.run_kept(worker, "import multiprocessing as m, time; context = m.get_context('forkserver'); children = []")
        begin = "children.append(context.Process(target=time.sleep, args=(60,))); children[-1].start()"
        end = "children[-1].kill(); children[-1].join()"
        for _ in range(2):
            begun = worker.start(begin)
            self.assertTrue(worker.finish(begun).ok)
            self.assertRegex(worker.refused(begun), "a child process is open")
            snapshot = self.run_kept_soon(worker, end)
            self.crash(worker, "import os; os._exit(3)")
            self.revive(worker, snapshot)

    def test_threads_of_a_library(self):
        """A copy has none of them, and code that waits for one waited for ever."""
        worker = self.worker()
        code = (
            "import ctypes; C = ctypes.CDLL(None); thread = ctypes.c_ulong()\n"
            "C.pthread_create(ctypes.byref(thread), None, C.pause, None)"
        )
        begun = worker.start(code)
        self.assertTrue(worker.finish(begun).ok)
        self.assertRegex(worker.refused(begun), "a library has threads of its own running")
        begun = worker.start("1")
        self.assertTrue(worker.finish(begun).ok)
        self.assertEqual(3, len(os.listdir(f"/proc/{self.live}/task")))
        # It ends.
        ended = worker.start("C.pthread_cancel(thread); C.pthread_join(thread, None)")
        self.assertTrue(worker.finish(ended).ok)
        worker.kept(ended)

    @unittest.skipUnless(ctypes.util.find_library("gomp"), "GNU's OpenMP is not installed")
    def test_threads_of_openmp_are_ended(self):
        """PyTorch and scikit-learn keep them after the first large computation: from then on there was no snapshot."""
        worker = self.worker()
        self.run_kept(
            worker,
            "import ctypes, os; C = ctypes.CDLL(None); openmp = ctypes.CDLL('libgomp.so.1')\n"
            "def compute(): openmp.GOMP_parallel(C.getpid, None, 3, 0); return len(os.listdir('/proc/self/task'))",
        )
        for _ in range(2):
            snapshot = self.run_kept(worker, "before = compute()")
            self.crash(worker)
            self.revive(worker, snapshot)
            # The main thread, the control thread and two of OpenMP.
            self.assertEqual("(4, 4)", worker.run("(before, compute())").result())

    def test_what_ends_a_copied_process_is_not_copied(self):
        """numba's loops on OpenMP end a process that was woken, and with it the session's state."""
        worker = self.worker()
        begun = worker.start("import sys; sys.modules['numba.np.ufunc.omppool'] = sys")
        self.assertTrue(worker.finish(begun).ok)
        self.assertRegex(worker.refused(begun), "numba works with OpenMP")

    def test_the_thread_of_an_allocator_is_not_missed(self):
        """pyarrow's has one, and so has pandas', where that is installed: there was no snapshot from `import pandas` on."""
        worker = self.worker()
        code = (
            "import ctypes, os; C = ctypes.CDLL(None); thread = ctypes.c_ulong()\n"
            "C.pthread_create(ctypes.byref(thread), None, C.pause, None)\n"
            "C.pthread_setname_np(thread, b'jemalloc_bg_thd')"
        )
        snapshot = self.run_kept(worker, code)
        self.crash(worker)
        self.revive(worker, snapshot)
        self.run_kept(worker, "1")

    def worker_with_tqdm(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        os.mkdir(os.path.join(folder.name, "tqdm"))
        for name, text in TQDM.items():
            Path(folder.name, "tqdm", name + ".py").write_text(text)
        return self.worker(folder=folder.name)

    def test_idle_threads_of_libraries_are_ended(self):
        """After one bar of tqdm, or one `await asyncio.to_thread()`, there was none for the rest of the session."""
        worker = self.worker_with_tqdm()
        self.run_kept(worker, "import asyncio, os, threading, time\nfrom tqdm.std import tqdm")
        for number in range(3):
            snapshot = self.run_kept_soon(worker, f"for _ in tqdm(range({number})): pass\ntqdm.monitor.is_alive()")
            snapshot = self.run_kept_soon(worker, f"await asyncio.to_thread(pow, 2, {number})")
        self.crash(worker)
        self.revive(worker, snapshot)
        self.run_kept_soon(worker, "for _ in tqdm(range(3)): pass")
        self.assertEqual("8", worker.run("await asyncio.to_thread(pow, 2, 3)").result())
        self.run_kept_soon(worker, "len(threading.enumerate())")

    def test_idle_threads_of_dask_are_ended(self):
        """After one computation there was no snapshot for the rest of the session."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "dask").mkdir()
            Path(folder, "dask", "__init__.py").touch()
            Path(folder, "dask", "threaded.py").write_text(DASK)
            worker = self.worker(folder=folder)
            snapshot = self.run_kept(worker, "import os, threading\nfrom dask.threaded import compute")
            for _ in range(2):
                code = "[compute(lambda: 3, number).result() for number in (None, 2)]"
                snapshot = self.run_kept_soon(worker, code)
                self.crash(worker)
                self.revive(worker, snapshot)
            begun = worker.start("stop = threading.Event(); work = compute(stop.wait)")
            self.assertTrue(worker.finish(begun).ok)
            self.assertRegex(worker.refused(begun), "a thread is running")
            self.run_kept_soon(worker, "stop.set(); work.result()")

    def test_busy_threads_of_libraries_are_left_alone(self):
        worker = self.worker_with_tqdm()
        self.run_kept(worker, "import asyncio, threading\nfrom tqdm.std import tqdm\nstop = threading.Event()")
        for begin, end in (
            ("bar = iter(tqdm(range(3))); next(bar)", "list(bar)"),
            # One that waits for a lock, and one that a cell has broken.
            ("tqdm.get_lock().acquire(); m = tqdm.Monitor(tqdm, 0)", "tqdm.get_lock().release(); m.join()"),
            ("m = tqdm.Monitor(tqdm, 9); e = m.was_killed; m.was_killed = None", "e.set(); m.join()"),
            ("task = asyncio.ensure_future(asyncio.to_thread(stop.wait)); await asyncio.sleep(0)",
             "stop.set(); await task; stop.clear()"),
            ("work = asyncio.get_event_loop().run_in_executor(None, stop.wait)", "stop.set(); await work"),
        ):  # fmt: skip
            with self.subTest(begin):
                begun = worker.start(begin)
                self.assertTrue(worker.finish(begun).ok)
                self.assertRegex(worker.refused(begun), "a thread is running|an asyncio task")
                self.run_kept_soon(worker, end)

    def test_the_next_quiet_moment(self):
        """At the latest before the next cell, which may crash."""
        worker = self.worker()
        code = "import os, threading, time; t = threading.Timer(0.05, int); t.start()"
        begun = worker.start(code)
        worker.finish(begun)
        worker.refused(begun)
        # The thread ends while no cell runs.
        while worker.ask("complete", "t.is_aliv", cursor=9) and len(os.listdir(f"/proc/{self.live}/task")) > 2:
            pass
        worker.start("os._exit(1)")
        snapshot = worker.kept(begun)
        worker.died(self.live)
        self.revive(worker, snapshot)
        self.assertEqual("False", worker.run("t.is_alive()").result())

    def test_one_is_made_when_it_is_asked_for(self):
        worker = self.worker()
        worker.send(worker.requests, {"open": "snapshot", "id": "s1"})
        settle = worker.until(lambda event: event[0] == "settle")
        self.assertEqual({"resolve": "s1"}, settle[1])
        worker.run("import threading; stop = threading.Event(); threading.Thread(target=stop.wait).start()")
        worker.send(worker.requests, {"open": "snapshot", "id": "s2"})
        settle = worker.until(lambda event: event[0] == "settle")
        self.assertEqual(("s2", "SnapshotRefused"), (settle[1]["reject"], settle[1]["ename"]))
        worker.run("stop.set()")

    def test_inputs_that_were_run_elsewhere(self):
        worker = self.worker()
        worker.run("a = 1")
        worker.send(worker.requests, {"signal": "inputs", "counts": [2, 3]}, b"b = 2", b"%undo")
        worker.count = 3
        self.assertEqual("(['', 'a = 1', 'b = 2', '%undo', '(In, _i, _i2)'], '%undo', 'b = 2')",
                         worker.run("(In, _i, _i2)").result())

    def test_a_half_written_frame_of_the_dead_is_not_gone_on_with(self):
        worker = self.worker()
        snapshot = self.run_kept(worker, "import fcntl, os")
        find = (
            "high = sorted(int(name) for name in os.listdir('/proc/self/fd') if len(name) == 3)\n"
            "frames = next(each for each in high if fcntl.fcntl(each, fcntl.F_GETFL) & os.O_WRONLY)\n"
        )
        self.crash(worker, find + "os.write(frames, b'\\x00\\x30' + bytes(5) + b'\\x04{'); os._exit(1)")
        self.revive(worker, snapshot)
        self.assertEqual("42", worker.run("6 * 7").result())

    def test_nothing_outlives_the_kernel(self):
        worker = self.worker()
        snapshot = self.run_kept(worker, "1")
        watched = [os.pidfd_open(pid) for pid in (self.live, snapshot)]
        worker.close()
        import select

        for each in watched:
            self.assertTrue(select.select([each], [], [], 20)[0])
            os.close(each)


if __name__ == "__main__":
    unittest.main()
