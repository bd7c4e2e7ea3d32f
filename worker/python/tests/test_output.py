"""Text: its order, its owner, and that none is lost."""

import os
import select
import tempfile
import threading
import time
import unittest
from contextlib import nullcontext
from types import SimpleNamespace
from unittest.mock import patch

from capsule_worker import frames
from capsule_worker.connection import Connection
from capsule_worker.executions import Execution, OutputLimit
from capsule_worker.late import LateText

from .client import DEADLINE_SECONDS, Worker


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


def tick(worker, buffering):
    """Returns when the worker has acted on it."""
    worker.signal("flush", buffering=buffering)
    # It is acted on before more is read, but after all that was read with it: the first question may have been.
    for _ in range(2):
        worker.ask("is_complete", "1", subshell="s0")


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

    def test_a_stream_that_a_cell_has_broken_costs_no_more_than_its_own_output(self):
        """The control thread failed when it was to buffer in blocks, and with it the worker ended."""
        for broken in (
            "sys.stdout = io.TextIOWrapper(sys.stdout.detach(), 'utf-8')",
            "sys.stdout.buffer.close()",
            "sys.stdout.flush = None",
        ):
            with self.subTest(broken), Worker() as worker:
                cell = worker.start(
                    f"import io, sys, threading\n{broken}\nprint('broken', file=sys.stderr)\nthreading.Event().wait()"
                )
                worker.until_text("broken", "stderr")
                tick(worker, "block")
                tick(worker, "line")
                worker.signal("cancel", id=cell)
                self.assertEqual(worker.finish(cell).ename, "KeyboardInterrupt")
                worker.run("sys.stdout = sys.__stdout__; vars(sys.stdout).pop('flush', None);")
                self.assertEqual(worker.run("print('whole')").text(), "whole\n")

    def test_a_pipe_that_a_cell_does_not_want_to_wait_for_is_waited_for(self):
        """The same where it was full: what the stream held did not go into it at once."""
        with Worker() as worker:
            cell = worker.start(
                "import os, sys, threading\n"
                "print('x' * 6_000, end='')\n"
                "os.set_blocking(1, False)\n"
                "try:\n"
                "    while True: os.write(1, b'y' * 4_096)\n"
                "except BlockingIOError: print('full', file=sys.stderr)\n"
                "threading.Event().wait()"
            )
            # Nobody else reads it now, so that one page is free, and no more.
            del worker._open[worker.out]
            worker.until_text("full", "stderr")
            written = os.read(worker.out, 4_096)
            worker.signal("flush", buffering="block")
            deadline = time.monotonic() + DEADLINE_SECONDS
            flags = os.O_NONBLOCK
            while flags & os.O_NONBLOCK:
                self.assertLess(time.monotonic(), deadline)
                with open(f"/proc/{worker.pid}/fdinfo/1") as file:
                    flags = next(int(line.split()[1], 8) for line in file if line.startswith("flags"))
            worker._open[worker.out] = "stdout"
            worker.signal("cancel", id=cell)
            done = worker.finish(cell)
            self.assertEqual(done.ename, "KeyboardInterrupt")
            self.assertEqual((written + done.text().encode()).count(b"y") % 4_096, 0)

    def test_descriptors_that_a_cell_closes_do_not_become_a_file_for_prints(self):
        """The next file that was opened got the number, and all that was printed."""
        with tempfile.TemporaryDirectory() as folder, Worker(folder=folder) as worker:
            cell = worker.run(
                "import io, os, subprocess, sys\n"
                "with io.open(sys.stdout.fileno(), 'w') as out: out.write('through it\\n')\n"
                "file = io.open('data', 'w')\n"
                "print('printed', file.fileno())\n"
                "os.close(2)\n"
                "print('told', file=sys.stderr)\n"
                "print(sys.stdout.fileno(), sys.stdout.buffer.fileno(), sys.stderr.fileno())\n"
            )
            self.assertEqual((cell.text(), cell.text("stderr")), ("through it\nprinted 1\n1 1 2\n", "told\n"))
            cell = worker.run("print('more'); file.close()")
            self.assertEqual(cell.text(), "more\n")
            # And what is closed when a cell ends is there again for programs.
            cell = worker.run("print('still'); os.system('echo program; echo error >&2');")
            self.assertEqual((cell.text(), cell.text("stderr")), ("still\nprogram\n", "error\n"))
            with open(os.path.join(folder, "data")) as file:
                self.assertEqual(file.read(), "")

    def test_what_a_cell_does_with_a_descriptor_is_for_programs(self):
        """As in ipykernel: only a forked child has nothing else to write to."""
        with tempfile.TemporaryDirectory() as folder, Worker(folder=folder) as worker:
            cell = worker.run(
                "import os, sys\n"
                "kept = os.dup(1)\n"
                "file = os.open('log', os.O_WRONLY | os.O_CREAT)\n"
                "os.dup2(file, 1)\n"
                "print('printed'); os.system('echo program')\n"
                "child = os.fork()\n"
                "if not child: print('child'); sys.exit()\n"
                "os.waitpid(child, 0); os.dup2(kept, 1); os.system('echo back');"
            )
            self.assertEqual(cell.text(), "printed\nback\n")
            with open(os.path.join(folder, "log")) as file:
                self.assertEqual(file.read(), "program\nchild\n")


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

    def begin_late(self, *lines):
        """Starts a thread with these lines in a cell, which ends; then has it go on. Returns the id of the cell."""
        first = self.worker.start(
            "import os, sys, threading\n"
            "def work():\n"
            "    os.read(gate, 1)\n" + "".join(f"    {line}\n" for line in lines) + "gate, opener = os.pipe()\n"
            "thread = threading.Thread(target=work)\n"
            "thread.start()\n"
            "os.dup2(opener, 99);"
        )
        self.worker.finish(first)
        self.worker.send(self.worker.requests, {"open": "complete", "id": "q", "cursor": 0}, b"")
        self.worker.until(lambda event: event[0] == "settle")
        # Opens the gate without a cell.
        with open(f"/proc/{self.worker.pid}/fd/99", "wb", buffering=0) as opener:
            opener.write(b"x")
        return first

    def test_of_threads_while_no_cell_runs(self):
        first = self.begin_late("print('late')", "print('part', end='', flush=True)")
        self.worker.until(lambda event: event[0] == "stream" and event[2] == [b"part"])
        self.assertEqual(self.streams(self.worker.events), {(first, "stdout"): "late\npart"})

    def test_a_flood_of_lines_is_whole_and_few_frames(self):
        """Each line was a frame: 100 times dearer than a print, and there may be only a million of them."""
        first = self.begin_late("for n in range(100_000): print(n)", "print('end', file=sys.stderr)")
        self.worker.until(lambda event: event[0] == "stream" and b"end" in event[2][0])
        text = "".join(f"{n}\n" for n in range(100_000))
        late = self.streams(self.worker.events)
        self.assertEqual(late, {(first, "stdout"): text, (first, "stderr"): "end\n"})
        self.assertLess(len(self.worker.events), 2_000)

    def test_lines_are_never_more_frames_than_the_kernel_allows_for_ever(self):
        """They came in up to 2,000 frames a second, and the kernel ended a worker after a million."""
        code = "end = time.monotonic() + 0.5\nwhile time.monotonic() < end: print('line')\nprint('end', file=sys.stderr)"
        self.begin_late("import time", *code.split("\n"))
        self.worker.until(lambda event: event[0] == "stream" and b"end" in event[2][0])
        self.assertLess(sum(event[0] == "stream" for event in self.worker.events), 500)

    def test_no_line_is_one_too_many(self):
        """print() raised when it had been called a million times, and what the thread would have printed was lost."""
        self.worker.run("from capsule_worker import executions; executions._MAX_FRAMES = 10;")
        first = self.begin_late("for n in range(200): print(n, flush=True); threading.Event().wait(0.0001)")
        second = self.worker.run("thread.join()")
        text = "".join(f"{n}\n" for n in range(200))
        self.assertEqual(self.streams([*self.worker.events, *second.events]), {(first, "stdout"): text})

    def test_lines_come_without_another_that_pushes_them(self):
        first = self.begin_late("for n in range(5): print(n)", "threading.Event().wait()")
        self.worker.until(lambda event: event[0] == "stream" and b"4\n" in event[2][0])
        self.assertEqual(self.streams(self.worker.events), {(first, "stdout"): "0\n1\n2\n3\n4\n"})

    def test_keeps_its_order_with_what_is_shown(self):
        """The beginning of a line came after what was shown after it."""
        first = self.begin_late("for n in range(5): print(n); print(n, end=''); display(n)", "display('end')")
        self.worker.until(lambda event: event[0] == "display" and event[2][0] == b"'end'")
        told = [event[2][0].decode() for event in self.worker.events if event[1]["id"] == first]
        self.assertEqual("".join(told), "".join(f"{n}\n{n}{n}" for n in range(5)) + "'end'")

    def test_what_is_held_is_sent_by_one_process_only(self):
        with Worker(supervised=True) as worker:
            first = worker.start(
                "import asyncio, os\n"
                "from capsule_worker import late\n"
                "late._PAUSE_SECONDS = 1_000\n"
                "asyncio.get_event_loop().call_later(0, lambda: [print(n) for n in range(5)])\n"
                "None"
            )
            worker.until(lambda event: event[0] == "stream")
            worker.send(worker.requests, {"open": "snapshot", "id": "s"})
            snapshot = worker.kept(first)
            worker.start("os._exit(3)")
            self.assertEqual(3, worker.died(worker.hello["pid"]))
            worker.wake(snapshot)
            last = worker.run("print('next')")
            self.assertEqual(last.text(), "next\n")
            self.assertEqual(self.streams(last.events), {(first, "stdout"): "0\n1\n2\n3\n4\n"})

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

    def lost(self, task):
        """What is told of a task that nobody waits for and whose reference this drops."""
        code = (
            "import asyncio, gc\n"
            "class Broken(Exception):\n"
            "    def __repr__(self):\n"
            "        raise SystemExit\n"
            "async def fail(error):\n"
            "    raise error\n"
            f"{task}\n"
            "await asyncio.wait([task])\n"
            "del task\n"
            "gc.collect();"
        )
        return self.worker.run(code).text("stderr")

    # The line that names the task and its coroutine was left out: of ten tasks nobody knew which had failed.
    def test_of_tasks_that_fail_names_them(self):
        text = self.lost("task = asyncio.create_task(fail(ValueError('lost')), name='mine')")
        self.assertRegex(
            text,
            r"^Task exception was never retrieved\nfuture: <Task finished name='mine' coro=<fail\(\) done, defined at "
            r"Cell In\[1\]:5> exception=ValueError\('lost'\)>\n",
        )

    def test_of_tasks_that_cannot_be_named_is_there_all_the_same(self):
        text = self.lost("task = asyncio.create_task(fail(Broken('lost')))")
        self.assertIn("\nfuture: <repr() of this Task failed>\n", text)
        self.assertRegex(text, r"Broken\S*: lost\n")
        text = self.lost("task = asyncio.create_task(fail(ValueError('lost' * 1_000_000)))")
        self.assertLess(len(text.split("\n")[1]), 5_000)
        self.assertRegex(text, r"^Task exception was never retrieved\nfuture: <Task finished .* bytes left out .*>\n")

    def test_of_tasks_that_fail_says_where_they_come_from_if_the_loop_keeps_that(self):
        loop = "asyncio.get_running_loop().set_debug"
        text = self.lost(f"{loop}(True)\ntask = asyncio.create_task(fail(ValueError('lost')))\n{loop}(False)")
        frames = text.partition("\nsource_traceback: Object created at (most recent call last):\n")[2]
        self.assertIn("Cell In[1], line 8\n    task = asyncio.create_task(", frames)
        self.assertNotIn("capsule_worker", frames)

    def test_of_callbacks_that_fail_names_them(self):
        text = self.worker.run(
            "import asyncio\n"
            "def fail():\n"
            "    raise ValueError('lost')\n"
            "handle = asyncio.get_running_loop().call_soon(fail)\n"
            "await asyncio.sleep(0.001)\n"
            "context = {'message': 'mine', 1: 2, 'source_traceback': 3}\n"
            "asyncio.get_running_loop().call_exception_handler(context)\n"
            "await asyncio.sleep(0.001)"
        ).text("stderr")
        place = r"fail\(\) at Cell In\[1\]:2"
        self.assertRegex(text, rf"^Exception in callback {place}\nhandle: <Handle {place}>\n")
        self.assertIn("\nmine\n1: 2\nsource_traceback: <stack() of this int failed>\n", text)


class InOneProcess(unittest.TestCase):
    """What becomes of frames and late text on their way into a pipe, without a worker."""

    def setUp(self):
        self.out, descriptor = os.pipe()
        for end in (self.out, descriptor):
            self.addCleanup(os.close, end)
        self.descriptor = descriptor
        self.connection = Connection(descriptor, SimpleNamespace(shield=nullcontext()))
        self.late = LateText(self.connection)
        self.late.wake = lambda: None
        self.execution = Execution.without_code({"id": "e1"})

    def read(self):
        """The texts of the frames that are in the pipe."""
        parser = frames.Parser()
        while select.select([self.out], [], [], 0)[0]:
            parser.feed(os.read(self.out, 1 << 16))
        texts = []
        while frame := parser.take():
            texts.append(bytes(frame[1][0]).decode())
        return texts

    def offer(self):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self.late.seconds_left():
            self.assertLess(time.monotonic(), deadline)
        self.late.offer()

    def test_waits_for_nobody_and_loses_nothing(self):
        """It has to hear of interrupts, also when nobody reads what is said or another thread is saying something."""
        text = "x" + "\u20ac" * 2_000
        self.late.add("stdout", self.execution, text)
        os.set_blocking(self.descriptor, False)
        with self.assertRaises(BlockingIOError):
            while True:
                os.write(self.descriptor, bytes(4_096))
        os.set_blocking(self.descriptor, True)
        self.offer()
        self.assertIsNotNone(self.late.seconds_left())
        while select.select([self.out], [], [], 0)[0]:
            os.read(self.out, 1 << 16)
        held, over = threading.Event(), threading.Event()

        def hold():
            with self.connection._lock:
                held.set()
                over.wait()

        other = threading.Thread(target=hold)
        other.start()
        held.wait()
        self.offer()
        self.assertEqual(self.read(), [])
        over.set()
        other.join()
        self.late.add("stdout", self.execution, "end")
        self.offer()
        told = self.read()
        self.assertEqual((len(told), "".join(told)), (2, text + "end"))
        self.assertIsNone(self.late.seconds_left())

    def test_a_signals_handler_may_send_before_and_after_another_frame(self):
        """It waited for the lock that its own thread had: on Python 3.9 one came there in some thousand."""
        test, connection, lock = self, self.connection, self.connection._lock
        handled = []

        class Lock:
            def handle(self):
                if len(handled) < 2:
                    handled.append(True)
                    connection.send({"emit": "stream"}, [b"handled"])

            def __enter__(self):
                test.assertTrue(lock.acquire(timeout=DEADLINE_SECONDS))
                self.handle()

            def __exit__(self, *_):
                self.handle()
                lock.release()

        connection._lock = Lock()
        connection.send({"emit": "stream"}, [b"cell"])
        self.assertEqual(self.read().count("cell"), 1)
        self.assertEqual(len(handled), 2)

    def test_what_is_longer_than_a_frame_becomes_several(self):
        self.connection.buffers_limit = 1_000
        self.late.add("stdout", self.execution, "\u20ac" * 1_000 + "\n")
        self.assertEqual([len(text.encode()) for text in self.read()], [999, 999, 999, 4])

    def test_comes_at_once_or_with_what_comes_soon_after(self):
        lines = [f"{number}\n" for number in range(100)]
        with patch("capsule_worker.late.monotonic", return_value=7.0) as now:
            for line in lines:
                self.late.add("stdout", self.execution, line)
            self.late.add("stderr", self.execution, "other\n")
            # Nothing of a few lines may be lost when the process ends by them.
            self.assertEqual(self.read(), lines[:20])
            self.assertLess(self.late.seconds_left(), 0.026)
            now.return_value = 7.03
            self.late.offer()
        self.assertEqual(self.read(), ["".join(lines[20:]), "other\n"])

    def test_of_many_cells_comes_the_more_rarely(self):
        """Each of them has frames of its own, and the kernel counts those of all."""
        cells = [Execution.without_code({"id": f"e{number}"}) for number in range(200)]
        with patch("capsule_worker.late.monotonic", return_value=7.0) as now:
            for _ in range(20):
                self.late.add("stdout", self.execution, "\n")
            for cell in cells:
                self.late.add("stdout", cell, "line\n")
            self.assertEqual(len(self.read()), 20)
            now.return_value = 8
            self.late.offer()
            self.assertEqual(len(self.read()), 200)
            self.late.add("stdout", cells[0], "line\n")
            self.assertAlmostEqual(self.late.seconds_left(), 0.25)
            # Even when there is much of it.
            self.late.add("stdout", cells[0], "x" * 40_000 + "\n")
            self.assertEqual(self.read(), [])

    def test_what_is_shown_for_days_is_no_flood(self):
        """A bar that shows how far a cell is, 30 times a second, was an error in it after nine hours."""
        with patch("capsule_worker.executions.monotonic", return_value=7.0) as now:
            execution = Execution.without_code({"id": "e1"})
            for _ in range(850_000):
                execution.account([b""])
            with self.assertRaisesRegex(OutputLimit, "850,000"):
                execution.account([b""])
            now.return_value += 30
            for _ in range(30_000):
                execution.account([b""])
            with self.assertRaises(OutputLimit):
                execution.account([b""])
            now.return_value += 86_400
            execution.account([b""])
