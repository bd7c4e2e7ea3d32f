"""What people use works in the sandbox: packages, processes, threads, files, and interpreters wherever they are. What L3
cannot offer fails with an error that says so."""

import os
import shutil
import sys
import unittest
from pathlib import Path

from confined import Place, missing, run, users
from wire import Client

# Of the standard library, so that tests of interpreters need nothing else.
PLAIN = "import sys, json, ssl, sqlite3, ctypes, hashlib, decimal; print(sys.prefix)"

CELLS = {
    "numpy": "import numpy; int((numpy.ones((300, 300)) @ numpy.ones((300, 300))).sum())",
    "pandas": """
import pandas
pandas.DataFrame({'a': [1, 2, 3]}).to_csv('room/a.csv', index=False)
int(pandas.read_csv('room/a.csv').a.sum())""",
    "matplotlib": """
import matplotlib.pyplot
matplotlib.pyplot.plot([1, 2])
matplotlib.pyplot.savefig('room/plot.png')
open('room/plot.png', 'rb').read(4)""",
    "a_database_in_the_workspace": """
import sqlite3
base = sqlite3.connect('room/base.sqlite')
base.execute('pragma journal_mode=wal')
base.execute('create table t (a)')
base.executemany('insert into t values (?)', [(n,) for n in range(10)])
base.commit()
base.execute('select sum(a) from t').fetchone()""",
    "processes_by_fork": """
import multiprocessing
with multiprocessing.get_context('fork').Pool(2) as pool:
    result = pool.map(abs, [-1, -2])
result""",
    "processes_by_spawn": """
import multiprocessing
with multiprocessing.get_context('spawn').Pool(2) as pool:
    result = pool.map(abs, [-1, -2])
result""",
    "processes_by_a_server_of_forks": """
import multiprocessing
with multiprocessing.get_context('forkserver').Pool(2) as pool:
    result = pool.map(abs, [-1, -2])
result""",
    "queues_and_locks_of_processes": """
import multiprocessing
context = multiprocessing.get_context('fork')
queue, lock = context.Queue(), context.Lock()
child = context.Process(target=lambda: queue.put(lock.acquire()))
child.start()
result = queue.get()
child.join()
result""",
    "threads": """
import threading
seen = []
threads = [threading.Thread(target=seen.append, args=(n,)) for n in range(20)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
sorted(seen) == list(range(20))""",
    "executors": """
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
with ThreadPoolExecutor(4) as threads, ProcessPoolExecutor(2) as processes:
    result = list(threads.map(abs, [-1])), list(processes.map(abs, [-2]))
result""",
    "subprocesses": """
import subprocess
subprocess.run('echo to a shell | tr a-z A-Z', shell=True, capture_output=True, text=True).stdout""",
    "subprocesses_of_an_event_loop": """
import asyncio
child = await asyncio.create_subprocess_exec('echo', 'said', stdout=asyncio.subprocess.PIPE)
await child.communicate()""",
    "temporary_files": """
import os, tempfile
with tempfile.TemporaryDirectory() as directory, tempfile.NamedTemporaryFile(dir=directory) as file:
    file.write(b'x')
    result = os.path.exists(file.name)
result""",
    "shared_memory": """
from multiprocessing import shared_memory
made = shared_memory.SharedMemory(create=True, size=1000)
other = shared_memory.SharedMemory(made.name)
other.buf[0] = 7
result = made.buf[0]
other.close(), made.close(), made.unlink()
result""",
    "contexts_of_tls": "import ssl; ssl.create_default_context().verify_mode.name",
    "a_home_of_its_own": """
import os, pathlib
kept = pathlib.Path.home() / '.cache' / 'some'
kept.mkdir(parents=True)
(kept / 'file').touch()
(kept / 'file').exists()""",
    "copies_of_files": """
import shutil
open('room/one', 'w').write('x')
shutil.copy2('room/one', 'room/two')
shutil.copytree('room', 'room/tree', ignore=shutil.ignore_patterns('tree'))
open('room/tree/two').read()""",
    "touched_files": "import pathlib; pathlib.Path('room/touched').touch(); pathlib.Path('room/touched').exists()",
    "a_server_of_its_own": """
import threading, http.server, urllib.request
server = http.server.HTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)
server.RequestHandlerClass.log_message = lambda *_: None
threading.Thread(target=server.handle_request).start()
urllib.request.urlopen(f'http://127.0.0.1:{server.server_port}/').status""",
}

RESULTS = {
    "numpy": "27000000",
    "pandas": "6",
    "matplotlib": "b'\\x89PNG'",
    "a_database_in_the_workspace": "(45,)",
    "processes_by_fork": "[1, 2]",
    "processes_by_spawn": "[1, 2]",
    "processes_by_a_server_of_forks": "[1, 2]",
    "queues_and_locks_of_processes": "True",
    "threads": "True",
    "executors": "([1], [2])",
    "subprocesses": "'TO A SHELL\\n'",
    "subprocesses_of_an_event_loop": "(b'said\\n', None)",
    "temporary_files": "True",
    "shared_memory": "7",
    "contexts_of_tls": "'CERT_REQUIRED'",
    "a_home_of_its_own": "True",
    "copies_of_files": "'x'",
    "touched_files": "True",
    "a_server_of_its_own": "200",
}

# There are no sockets at L3: the errors of what needs one.
NOT_AT_L3 = {
    "processes_by_a_server_of_forks": "(?i)address family not supported",
    "a_server_of_its_own": "(?i)address family not supported",
}


class Libraries(unittest.TestCase):
    """Cells share a kernel, as in a notebook."""

    tier = None
    uid = None

    @classmethod
    def setUpClass(cls):
        cls.place = Place(cls.uid)
        cls.place.directory("work/notebooks/room")
        cls.kernel = cls.place.kernel(cls.tier)
        cls.client = Client(cls.kernel.info)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.kernel.kill()
        cls.place.remove()

    def library(self, name):
        exchange = self.client.execute(CELLS[name], timeout=90)
        if self.tier == "L3" and name in NOT_AT_L3:
            self.assertEqual("error", exchange.status)
            self.assertRegex(exchange.told(), NOT_AT_L3[name])
        else:
            self.assertEqual(RESULTS[name], exchange.result(), exchange.told())

    def runs_in(self, python, workspace=None, says=None):
        with self.place.kernel(self.tier, python=python, workspace=workspace) as kernel, Client(kernel.info) as client:
            exchange = client.execute(PLAIN)
            self.assertEqual("ok", exchange.status, exchange.told())
            if says is not None:
                self.assertEqual(str(says), exchange.text().strip())
            return client.execute("open('kept', 'w').write('x'), open('kept').read()")

    def environment_beside_the_workspace(self):
        venv = self.place.directory("environments") / "one"
        run(["/usr/bin/python3", "-m", "venv", "--without-pip", venv], self.uid, cwd=self.place.home)
        self.runs_in(venv / "bin/python", says=venv)

    def environment_in_the_workspace(self):
        workspace = self.place.directory("work/project")
        venv = workspace / ".venv"
        run(["/usr/bin/python3", "-m", "venv", "--without-pip", venv], self.uid, cwd=workspace)
        before = (venv / "pyvenv.cfg").read_bytes()
        kept = self.runs_in(venv / "bin/python", workspace, venv)
        if self.tier == "L3":
            # Nothing new can be made beside what must not be written.
            self.assertIn("PermissionError", kept.told())
        else:
            self.assertEqual("(1, 'x')", kept.result())
        self.assertEqual(before, (venv / "pyvenv.cfg").read_bytes())

    def environment_in_a_closed_home(self):
        venv = self.place.home / "envs/one"
        venv.parent.mkdir()
        self.place.give(venv.parent)
        run(["/usr/bin/python3", "-m", "venv", "--without-pip", venv], self.uid, cwd=self.place.home)
        self.runs_in(venv / "bin/python", says=venv)

    def interpreter_in_a_closed_home(self):
        """As pyenv has it, for instance: a whole Python below a home that nobody else may enter."""
        prefix = self.place.home / ".pyenv/versions/one"
        copy_python(prefix)
        run(["chown", "-R", f"{self.uid}:{self.uid}", self.place.home / ".pyenv"]) if os.getuid() != self.uid else None
        self.runs_in(prefix / "bin/python3", says=prefix)

    def workspace_behind_a_link(self):
        real = self.place.directory("elsewhere/notebooks")
        link = self.place.base / "link"
        link.symlink_to(real.parent)
        self.assertEqual("(1, 'x')", self.runs_in("/usr/bin/python3", link / "notebooks").result())
        self.assertEqual("x", (real / "kept").read_text())


def copy_python(prefix):
    """Makes a Python of its own of the one that runs this."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    (prefix / "bin").mkdir(parents=True)
    shutil.copy(os.path.realpath(sys.executable), prefix / "bin" / version)
    (prefix / "bin/python3").symlink_to(version)
    library = Path(os.__file__).parent
    shutil.copytree(
        library,
        prefix / "lib" / version,
        ignore=shutil.ignore_patterns("__pycache__", "test", "dist-packages", "site-packages", "config-*", "idlelib"),
        ignore_dangling_symlinks=True,
    )


INTERPRETERS = [
    "environment_beside_the_workspace",
    "environment_in_the_workspace",
    "environment_in_a_closed_home",
    "interpreter_in_a_closed_home",
    "workspace_behind_a_link",
]


def load_tests(_loader, _tests, _pattern):
    suite = unittest.TestSuite()
    assert CELLS.keys() == RESULTS.keys()
    for user, uid in users().items():
        for tier in ("L1", "L3"):
            place = Place(uid)
            with place.kernel(tier) as kernel:
                why = missing(kernel, tier)
            place.remove()
            if why is not None:
                # hostile_test says so, and whether it may be.
                continue
            made = type(f"{tier}_{user}", (Libraries,), {"tier": tier, "uid": uid})
            for name in CELLS:
                setattr(made, name, lambda self, name=name: self.library(name))
            suite.addTests(made(name) for name in [*CELLS, *INTERPRETERS])
    return suite
