"""A kernel that is killed leaves nothing running, nothing mounted and nothing lying about, whenever it happens."""

import os
import subprocess
import time
import unittest

from confined import TIERS, Place, missing, mounts, survivors, users
from kernels import PATIENCE, Watch, descendants
from wire import Client

OFFSETS = 20

BOMB = """
import os, time
print('now', flush=True)
for _ in range(60):
    if not os.fork():
        os.setsid()
        while True:
            try:
                if not os.fork():
                    os.setsid()
            except OSError:
                time.sleep(1000)
"""

CELL = """
import subprocess, sys
children = [subprocess.Popen(['sleep', '1000'], start_new_session=True) for _ in range(3)]
print('now', flush=True)
import itertools
sum(itertools.repeat(0))
"""


class Killed(unittest.TestCase):
    tier = None
    uid = None
    why = None

    @classmethod
    def setUpClass(cls):
        cls.place = Place(cls.uid)
        cls.place.file("work/notebooks/data.txt", "data")
        cls.mounts = mounts()
        begun = time.monotonic()
        with cls.place.kernel(cls.tier) as kernel, Client(kernel.info) as client:
            client.execute("1")
            cls.boot = time.monotonic() - begun
        cls.gone(kernel)

    @classmethod
    def tearDownClass(cls):
        cls.place.remove()

    @classmethod
    def gone(cls, kernel, watch=None):
        """Whether all that a killed kernel had is gone: in less than two seconds, where nothing else keeps the machine
        busy.
        """
        left = survivors(kernel, cls.uid, 15) + (watch.survivors(15) if watch else [])
        assert not left, f"still running: {left}"
        # A keeper may be busy with the files that are left, after all else has ended; it is among the survivors above.
        files = [name for name in os.listdir(cls.place.temporary) if name.startswith("capsule-")]
        assert not files, f"left in the temporary directory: {files}"
        assert cls.mounts == mounts()

    def kill(self, kernel):
        watch = Watch(descendants(kernel.pid))
        self.addCleanup(watch.kill)
        kernel.process.kill()
        kernel.process.wait(PATIENCE)
        kernel.kill()
        self.gone(kernel, watch)

    def while_it_boots(self, part):
        kernel = self.place.kernel(self.tier)
        try:
            kernel.process.wait(self.boot * part / OFFSETS)
        except subprocess.TimeoutExpired:
            pass  # As it should be: it is booting.
        self.kill(kernel)

    def in_a_cell(self, code):
        kernel = self.place.kernel(self.tier)
        self.addCleanup(kernel.kill)
        with Client(kernel.info) as client:
            client.wait_text(client.start(code), "now")
            self.kill(kernel)


def load_tests(_loader, _tests, _pattern):
    suite = unittest.TestSuite()
    for user, uid in users().items():
        for tier in TIERS:
            if tier == "L2":
                continue  # It ends as L1 does.
            place = Place(uid)
            with place.kernel(tier) as kernel:
                why = missing(kernel, tier)
            place.remove()
            if why is not None:
                # hostile_test says so, and whether it may be.
                continue
            made = type(f"{tier}_{user}", (Killed,), {"tier": tier, "uid": uid})
            tests = {f"while_it_boots_{part}": lambda self, part=part: self.while_it_boots(part) for part in range(OFFSETS)}
            tests["during_a_cell"] = lambda self: self.in_a_cell(CELL)
            tests["during_a_fork_bomb"] = lambda self: self.in_a_cell(BOMB)
            for name, test in tests.items():
                setattr(made, name, test)
                suite.addTest(made(name))
    return suite
