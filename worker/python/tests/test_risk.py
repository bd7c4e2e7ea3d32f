"""Which cells are thought to be able to end their process."""

import asyncio
import builtins
import sys
import time
import unittest

from capsule_worker.risk import Risk

NAMES = {"asyncio": asyncio, "n": 3, "s": "text", "sys": sys, "time": time, "f": len, "items": [1], "mine": object()}


class Cells(unittest.TestCase):
    def setUp(self):
        self.risk = Risk()

    def judge(self, expected, *texts, names=NAMES):
        for text in texts:
            with self.subTest(text):
                self.assertEqual(expected, self.risk.of(text, names))

    def test_that_run_nobodys_code_may_not(self):
        self.judge(
            False,
            "1 + 1",
            "x = n",
            "await asyncio.sleep(0)",
            "v = input('who? ')",
            "for i in range(100000): print(i)",
            "x = 1\nprint(x)\nx * 2",
            "print('f(x) in a string', \"and [n]\", n, sep='')",
            "sys.stdout.write(s)",
            "while time.monotonic() < 3:\n    time.sleep(0.1)\n    print(str(n) + s, end='')",
            "print((n + 1) * len(s), 1.5)",
            "import os",
            "import os.path",
            "import time\nprint('begun', flush=True)\nwhile True: pass",
        )

    def test_that_import_what_is_there_may_not(self):
        self.judge(False, "import time\ntime.sleep(1)", "import sys\nimport time\nx = 1", names={})
        self.judge(True, "import time as os\nos._exit(1)", "import os\nos._exit(1)", "import os, sys", "import os.none")
        original = builtins.__import__
        builtins.__import__ = print
        try:
            self.judge(True, "import os")
        finally:
            builtins.__import__ = original

    def test_that_run_somebodys_may(self):
        self.judge(
            True,
            "f(1)",
            "print(mine)",
            "print(items)",
            "print(unknown)",
            "s.upper()",
            "n.real",
            "f'{mine}'",
            "print(f'{n}')",
            "asyncio.run(main())",
            "time.localtime()",
            "sys.exit()",
            "import none_of_that_name",
            "from os import *",
            "x = print\nx(1)",
            "(print)(1)(2)",
            "[mine for i in range(3)]",
            "lambda: 1 (2)",
            "def g(): pass\ng()",
            "@f\nclass C: pass",
            "del items[0]",
            "with mine: pass",
            "/f 1",
            "!ls n",
            "%timeit n",
            "print?",
            "print(n) # by f",
        )

    def test_that_take_much_memory_or_time_in_one_call_may(self):
        self.judge(True, "list(range(10**9))", "sum(range(n))", "print(*range(n))", "[0] * n", "bytes(n)", "sorted(s)")

    def test_that_are_long_may(self):
        self.judge(True, "print(1)\n" * 100)

    def test_of_a_session_that_has_changed_what_is_known_may(self):
        self.judge(True, "print(n)", names={**NAMES, "print": len})
        self.judge(True, "await asyncio.sleep(0)", names={})
        stdout = sys.stdout
        sys.stdout = sys.stderr
        try:
            self.judge(True, "print(n)")
        finally:
            sys.stdout = stdout

        async def sleep(_):
            pass

        original, asyncio.sleep = asyncio.sleep, sleep
        try:
            self.judge(True, "await asyncio.sleep(0)")
        finally:
            asyncio.sleep = original


if __name__ == "__main__":
    unittest.main()
