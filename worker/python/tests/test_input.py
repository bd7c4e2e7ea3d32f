"""input(), getpass() and sys.stdin."""

import unittest

from .client import Worker


class Input(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.worker = Worker()
        cls.addClassCleanup(cls.worker.close)

    def start(self, code):
        return self.worker.start(code, allow_stdin=True)

    def request(self):
        """The next input that the cell asks for."""
        header = self.worker.until(lambda event: event[0] == "input")[1]
        self.worker.events = [event for event in self.worker.events if event[1] is not header]
        return header

    def answer(self, value):
        request = self.request()
        self.worker.send(self.worker.control, {"resolve": request["id"], "value": value})
        return request

    def test_is_asked_for_and_answered(self):
        cell = self.start("print('before')\nname = input('Name? ')\nprint('after')\nname")
        request = self.answer("J\u00fcrgen \U0001f600")
        self.assertEqual(
            {key: request[key] for key in ("execution", "prompt", "password")},
            {"execution": cell, "prompt": "Name? ", "password": False},
        )
        done = self.worker.finish(cell)
        self.assertEqual(done.result(), "'J\u00fcrgen \U0001f600'")
        self.assertEqual(done.text(), "before\nafter\n")

    def test_output_is_there_before_the_question(self):
        cell = self.start("print('before', end='')\ninput()\nprint('after')")
        self.worker.until(lambda event: event[0] == "input")
        self.assertEqual(self.worker.events[0], ("stdout", "before"))
        self.answer("x")
        self.worker.finish(cell)

    def test_of_passwords(self):
        cell = self.start("import getpass\ngetpass.getpass(), getpass.getpass('PIN ')")
        request = self.answer("a")
        self.assertEqual((request["prompt"], request["password"]), ("Password: ", True))
        self.assertEqual(self.answer("b")["prompt"], "PIN ")
        self.assertEqual(self.worker.finish(cell).result(), "('a', 'b')")

    def test_of_stdin(self):
        cell = self.start(
            "from sys import stdin\n[stdin.readline(), stdin.readline(2), stdin.readline(), stdin.read(), list(stdin)]"
        )
        for line in ("one", "two", "three", "four", "\x04", "five", "\x04"):
            self.answer(line)
        self.assertEqual(self.worker.finish(cell).result(), "['one\\n', 'tw', 'o\\n', 'three\\nfour\\n', ['five\\n']]")
        self.assertEqual(
            self.worker.run("import sys\nsys.stdin.fileno(), sys.stdin.isatty(), sys.stdin.readable()").result(),
            "(0, False, True)",
        )

    def test_end_of_file(self):
        cell = self.start("input()")
        self.answer("\x04")
        self.assertEqual(self.worker.finish(cell).ename, "EOFError")

    def test_that_is_not_allowed_fails_at_once_and_clearly(self):
        # Whatever was called, the error spoke of input().
        for code, caller in (
            ("input('x')", "input()"),
            ("import getpass\ngetpass.getpass()", "getpass.getpass()"),
            ("import sys\nsys.stdin.readline()", "sys.stdin"),
            ("import sys\nsys.stdin.read()", "sys.stdin"),
            ("for line in sys.stdin: pass", "sys.stdin"),
        ):
            with self.subTest(code):
                cell = self.worker.run(code)
                self.assertEqual(cell.ename, "StdinNotImplementedError")
                self.assertIn(f"does not offer input, so {caller} cannot ask", cell.header["evalue"])
                self.assertNotIn("capsule_worker/", cell.traceback)
        self.assertEqual(self.worker.run("try: input()\nexcept RuntimeError: print('caught')").text(), "caught\n")

    def test_refusals(self):
        for ename, expected in (("KeyboardInterrupt",) * 2, ("TimeoutError", "StdinNotImplementedError")):
            cell = self.start("input()")
            self.worker.send(self.worker.control, {"reject": self.request()["id"], "ename": ename, "evalue": "why"})
            done = self.worker.finish(cell)
            self.assertEqual(done.ename, expected)
        self.assertIn("TimeoutError: why", done.header["evalue"])

    def test_interrupts_end_the_wait(self):
        for code in ("input()", "import asyncio\nawait asyncio.sleep(0)\ninput()", "import getpass\ngetpass.getpass()"):
            for _ in range(5):
                with self.subTest(code):
                    cell = self.start(code)
                    request = self.request()
                    # As the kernel does: both at once.
                    self.worker.signal("cancel", id=cell)
                    self.worker.send(
                        self.worker.control, {"reject": request["id"], "ename": "KeyboardInterrupt", "evalue": ""}
                    )
                    self.assertEqual(self.worker.finish(cell).ename, "KeyboardInterrupt")
                    self.assertEqual(self.worker.run("1 + 1").result(), "2")

    def test_answers_to_nothing_are_ignored(self):
        self.worker.send(self.worker.control, {"resolve": "i999", "value": "x"})
        self.worker.send(self.worker.control, {"reject": "i999", "ename": "x", "evalue": "x"})
        self.assertEqual(self.worker.run("1").result(), "1")

    def test_of_threads(self):
        cell = self.start(
            "import threading\n"
            "answers = []\n"
            "thread = threading.Thread(target=lambda: answers.append(input('?')))\n"
            "thread.start()\n"
            "thread.join()\n"
            "answers"
        )
        self.answer("yes")
        self.assertEqual(self.worker.finish(cell).result(), "['yes']")

    def test_of_threads_ends_with_their_cell(self):
        code = (
            "import threading\n"
            "def ask():\n"
            "    try: input('?')\n"
            "    except EOFError as e: answers.append(str(e))\n"
            "    try: input('?')\n"
            "    except RuntimeError as e: answers.append(str(e))\n"
            "answers = []\n"
            "thread = threading.Thread(target=ask)\n"
            "thread.start()\n"
        )
        # The cell goes on until the thread has asked.
        cell = self.start(code + "import sys\nwhile 'wait' not in str(sys._current_frames()[thread.ident]): pass")
        self.request()
        self.worker.finish(cell)
        said = self.worker.run("thread.join()\nanswers").result()
        self.assertIn("has ended", said)
        self.assertIn("cannot ask", said)
