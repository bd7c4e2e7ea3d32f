"""Text: its order, its owner, and that none is lost."""

import unittest

from .client import Worker


class Order(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.worker = Worker()
        cls.addClassCleanup(cls.worker.close)

    def kinds(self, code):
        cell = self.worker.run(code)
        self.assertTrue(cell.ok, cell.header)
        return [event[0] if len(event) > 2 else event for event in cell.events]

    def test_of_text_and_displays_is_kept(self):
        self.assertEqual(
            self.kinds("print('a', end='')\ndisplay(1)\nprint('b', end='')\ndisplay(2)\nprint('c')\n3"),
            [("stdout", "a"), "display", ("stdout", "b"), "display", ("stdout", "c\n"), "result"],
        )

    def test_of_text_from_outside_of_python_is_kept(self):
        code = "import os, subprocess\nprint('a')\nos.write(1, b'b\\n')\nprint('c')\nsubprocess.run(['echo', 'd'])"
        self.assertEqual(self.kinds(code + "\nprint('e')"), [("stdout", "a\nb\nc\nd\ne\n")])
        # While a cell prints much, lines are held back; other processes still come in their turn.
        cell = self.worker.start(
            "input()\nprint('a')\nsubprocess.run(['echo', 'b'])\nprint('c')\nos.system('echo d')\nprint('e')",
            allow_stdin=True,
        )
        request = self.worker.until(lambda event: event[0] == "input")[1]
        self.worker.signal("flush", buffering="block")
        self.worker.send(self.worker.control, {"resolve": request["id"], "value": ""})
        self.assertEqual(self.worker.finish(cell).text(), "a\nb\nc\nd\ne\n")

    def test_of_text_that_c_code_buffers_is_kept_by_the_end(self):
        code = "import ctypes\nctypes.CDLL(None).puts(b'from C')\nNone"
        self.assertEqual(self.kinds(code), [("stdout", "from C\n")])

    def test_stderr_is_apart(self):
        cell = self.worker.run("import sys\nprint('a', file=sys.stderr)\nprint('b')")
        self.assertEqual((cell.text("stderr"), cell.text()), ("a\n", "b\n"))

    def test_surrogates_bytes_and_lines(self):
        code = "import sys\nprint('\\ud800')\nsys.stdout.buffer.write(b'raw\\n')\nsys.stdout.writelines(['x', 'y\\n'])"
        self.assertEqual(self.worker.run(code).text(), "\\ud800\nraw\nxy\n")

    def test_streams_are_files(self):
        code = "from sys import stderr, stdout\nstdout.fileno(), stdout.isatty(), stdout.encoding, stdout.name"
        self.assertEqual(self.worker.run(code).result(), "(1, False, 'utf-8', '<stdout>')")
        self.assertEqual(self.worker.run("stderr.fileno()").result(), "2")


class Buffering(unittest.TestCase):
    def test_lines_leave_at_once_and_parts_of_lines_when_told(self):
        with Worker() as worker:
            worker.start("print('line')\nprint('part', end='')\ninput()", allow_stdin=True)
            # input() flushes itself, so a thread has to wait instead.
            worker.until(lambda event: event[0] == "input")
            request = [event for event in worker.events if event[0] == "input"][0][1]
            worker.send(worker.control, {"resolve": request["id"], "value": ""})
            worker.finish(worker.start("import threading\ngo = threading.Event()"))
            cell = worker.start(
                "print('line')\nprint('part', end='')\ngo.wait()\nprint('block')\ngo.clear(); go.wait()"
            )
            worker.until_text("line\n")
            worker.signal("flush", buffering="block")
            worker.until_text("part")
            self.assertTrue(cell)
            worker.signal("cancel", id=cell)
            self.assertEqual(worker.finish(cell).ename, "KeyboardInterrupt")

    def test_a_new_cell_has_lines_again(self):
        with Worker() as worker:
            cell = worker.start("print('a')\nimport threading\nthreading.Event().wait()")
            worker.until_text("a\n")
            worker.signal("flush", buffering="block")
            worker.signal("cancel", id=cell)
            worker.finish(cell)
            cell = worker.start("print('b')\nimport threading\nthreading.Event().wait()")
            worker.until_text("b\n")
            worker.signal("cancel", id=cell)
            worker.finish(cell)

    def test_much_text_is_whole(self):
        with Worker() as worker:
            cell = worker.start("for i in range(200_000): print(i)")
            worker.until_text("1000\n")
            worker.signal("flush", buffering="block")
            text = worker.finish(cell).text()
            self.assertEqual(text, "".join(f"{number}\n" for number in range(200_000)))

    def test_streams_that_a_cell_has_closed_or_wrapped_work_again(self):
        with Worker() as worker:
            worker.run("import sys, io\nsys.stdout.close()")
            self.assertEqual(worker.run("print('closed')").text(), "closed\n")
            worker.run("sys.stdout = io.TextIOWrapper(sys.stdout.buffer)")
            self.assertEqual(worker.run("print('wrapped')").text(), "wrapped\n")
            worker.run("sys.stdout = sys.__stdout__")
            self.assertEqual(worker.run("print('back')").text(), "back\n")
            worker.run("sys.stdout = io.TextIOWrapper(sys.stdout.detach())")
            self.assertEqual(worker.run("print('detached')").text(), "detached\n")
            worker.run("sys.stdout = sys.__stdout__")
            self.assertEqual(worker.run("print('back')").text(), "back\n")
            self.assertEqual(worker.run("with __import__('contextlib').redirect_stdout(None): print(1)").events, [])


class LateOutput(unittest.TestCase):
    """Output of code that outlives its cell is that cell's."""

    def setUp(self):
        self.worker = Worker()
        self.addCleanup(self.worker.close)

    def streams(self, events):
        """Late text by execution and stream."""
        texts = {}
        for event in events:
            if event[0] == "stream":
                key = event[1]["id"], event[1]["name"]
                texts[key] = texts.get(key, "") + event[2][0].decode()
        return texts

    def test_of_threads(self):
        first = self.worker.start(
            "import logging, sys, threading\n"
            "go, done = threading.Event(), threading.Event()\n"
            "def work():\n"
            "    print('early')\n"
            "    go.wait()\n"
            "    print('late', 1)\n"
            "    print('late', file=sys.stderr)\n"
            "    display('shown late')\n"
            "    logging.warning('logged')\n"
            "    threading.Thread(target=print, args=('of its own thread',)).start()\n"
            "    done.set()\n"
            "logging.warning('by the cell')\n"
            "thread = threading.Thread(target=work)\n"
            "thread.start()\n"
        )
        cell = self.worker.finish(first)
        self.assertEqual(cell.text("stderr"), "WARNING:root:by the cell\n")
        second = self.worker.run(
            "print('mine')\ngo.set()\ndone.wait()\nthread.join()\nprint('mine too')\nlogging.warning('x')"
        )
        self.assertEqual(second.text(), "mine\nmine too\n")
        self.assertEqual(second.text("stderr"), "WARNING:root:x\n")
        late = self.streams(second.events)
        self.assertIn(late[first, "stdout"], ("late 1\nof its own thread\n", "late 1\n"))
        self.assertEqual(late[first, "stderr"], "late\nWARNING:root:logged\n")
        shown = [header for header, _ in second.emitted("display")]
        self.assertEqual([(header["id"], "ack" in header) for header in shown], [(first, False)])

    def test_of_threads_while_no_cell_runs(self):
        first = self.worker.start(
            "import os, threading\n"
            "def work():\n"
            "    os.read(gate, 1)\n"
            "    print('late')\n"
            "    print('part', end='', flush=True)\n"
            "gate, opener = os.pipe()\n"
            "threading.Thread(target=work).start()\n"
            "os.dup2(opener, 99)"
        )
        self.worker.finish(first)
        self.worker.send(self.worker.requests, {"open": "complete", "id": "q", "cursor": 0}, b"")
        self.worker.until(lambda event: event[0] == "settle")
        # Opens the gate without a cell.
        with open(f"/proc/{self.worker.pid}/fd/99", "wb", buffering=0) as opener:
            opener.write(b"x")
        self.worker.until(lambda event: event[0] == "stream" and event[2] == [b"part"])
        self.assertEqual(self.streams(self.worker.events), {(first, "stdout"): "late\npart"})

    def test_of_pools_is_of_the_cell_that_submitted(self):
        first = self.worker.start(
            "import threading\n"
            "from concurrent.futures import ThreadPoolExecutor\n"
            "pool = ThreadPoolExecutor(1)\n"
            "def work(text, *waits):\n"
            "    for event in waits: event.wait()\n"
            "    print(text)\n"
            "go = threading.Event()\n"
            "late = pool.submit(work, 'first', go)"
        )
        self.worker.finish(first)
        second = self.worker.run("go.set()\nlate.result()\npool.submit(work, 'second').result()")
        self.assertEqual((second.text(), self.streams(second.events)), ("second\n", {(first, "stdout"): "first\n"}))

    def test_of_tasks_and_timers(self):
        first = self.worker.start(
            "import asyncio\n"
            "async def work():\n"
            "    print('early')\n"
            "    await go.wait()\n"
            "    print('late')\n"
            "    await asyncio.to_thread(print, 'in a thread')\n"
            "    display('shown')\n"
            "go = asyncio.Event()\n"
            "task = asyncio.create_task(work())\n"
            "await asyncio.sleep(0)\n"
        )
        self.assertEqual(self.worker.finish(first).text(), "early\n")
        second = self.worker.run("print('mine')\ngo.set()\nawait task\nprint('mine')")
        self.assertEqual(second.text(), "mine\nmine\n")
        self.assertEqual(self.streams(second.events), {(first, "stdout"): "late\nin a thread\n"})
        self.assertEqual([header["id"] for header, _ in second.emitted("display")], [first])
        third = self.worker.start("asyncio.get_event_loop().call_later(0, print, 'timer')\nNone")
        self.worker.finish(third)
        self.worker.until(lambda event: event[0] == "stream")
        self.assertEqual(self.streams(self.worker.events), {(third, "stdout"): "timer\n"})

    def test_is_followed_no_longer_than_needed(self):
        fast = "import sys\n'write' in vars(sys.stdout)"
        self.assertEqual(self.worker.run(fast).result(), "False")
        self.worker.run(
            "import threading\ngo = threading.Event()\nthread = threading.Thread(target=go.wait)\nthread.start()"
        )
        self.assertEqual(self.worker.run(fast).result(), "True")
        self.assertEqual(self.worker.run("go.set()\nthread.join()\nprint('still in order')").text(), "still in order\n")
        self.assertEqual(self.worker.run(fast).result(), "False")
        self.assertEqual(self.worker.run("sys.stdout is sys.__stdout__").result(), "True")

    def test_of_tasks_that_fail_is_of_their_cell(self):
        first = self.worker.start(
            "import asyncio\n"
            "async def fail():\n"
            "    raise ValueError('lost')\n"
            "task = asyncio.create_task(fail())\n"
            "await asyncio.wait([task]);"
        )
        self.assertEqual(self.worker.finish(first).events, [])
        second = self.worker.run("import gc\ndel task\ngc.collect();")
        text = self.streams(second.events)[first, "stderr"]
        self.assertTrue(text.startswith("Task exception was never retrieved\n"), text)
        self.assertIn("Cell In[1], line 3, in fail\n", text)
        self.assertEqual(second.text("stderr"), "")
