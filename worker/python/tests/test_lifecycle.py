"""Beginning and end of the process, and its children."""

import importlib.util
import os
import unittest

from .client import PACKAGE, Ended, Worker


class Lifecycle(unittest.TestCase):
    def worker(self, **options):
        worker = Worker(**options)
        self.addCleanup(worker.close)
        return worker

    def ended(self, worker):
        """The exit status, after a check that the worker has really ended."""
        with self.assertRaises(Ended):
            worker.until(lambda event: False)
        return worker.wait()

    def stderr(self, worker):
        return "".join(event[1] for event in worker.events if event[0] == "stderr")

    # Beginning

    def test_hello_says_who_it_is(self):
        worker = self.worker()
        self.assertEqual(worker.hello["pid"], worker.pid)
        self.assertEqual((worker.hello["protocol"], worker.hello["language"]["name"]), (1, "python"))
        debug = ["debug"] * bool(importlib.util.find_spec("debugpy"))
        offers = ["execute", "complete", "inspect", "is_complete", "comm", "checkpoint", "restore", "subshells", *debug]
        self.assertEqual(worker.hello["offers"], offers)

    def test_runs_as_a_module_too(self):
        worker = self.worker(arguments=["-m", "capsule_worker"], folder=os.path.dirname(PACKAGE))
        self.assertEqual(worker.run("import capsule_worker, sys\nsys.path[0]").result(), "''")

    def test_another_protocol_is_refused_with_both_versions(self):
        hello = {"signal": "hello", "protocol": 7, "encodings": ["json"], "limits": {}}
        worker = self.worker(hello=hello, wait=False)
        self.assertEqual(self.ended(worker), 1)
        self.assertIn("the kernel speaks frame protocol 7, this worker speaks 1", self.stderr(worker))

    def test_its_descriptors_are_out_of_reach(self):
        worker = self.worker()
        self.assertEqual(
            worker.run("import os\n[os.get_inheritable(n) for n in (200, 201, 202)]").result(), repr([False] * 3)
        )
        code = "import subprocess as s\ns.run(['ls', '/proc/self/fd'], close_fds=False, stdout=s.PIPE).stdout.split()"
        children = eval(worker.run(code).result())
        self.assertFalse({b"200", b"201", b"202"} & set(children))
        self.assertEqual(
            worker.run("[n for n in (3, 4, 5) if os.path.exists(f'/proc/self/fd/{n}')][1:]").result(), "[]"
        )
        self.assertEqual(worker.run("os.readlink('/proc/self/fd/0')").result(), "'/dev/null'")
        self.assertEqual(worker.run("os.getpgrp() == os.getpid()").result(), "True")

    # The end

    def test_shutdown_runs_exit_handlers_and_flushes_files(self):
        for busy in ("", "import asyncio\ntask = asyncio.create_task(asyncio.sleep(1000))\nawait asyncio.sleep(0)"):
            worker = self.worker()
            worker.run(
                "import atexit, threading\n"
                "atexit.register(print, 'exit handler')\n"
                "read, write = __import__('os').pipe()\n"
                "file = open(1, 'w', closefd=False)\n"
                "file.write('buffered')\n"
                # A thread that never ends does not keep the process.
                "threading.Thread(target=threading.Event().wait).start()\n" + busy
            )
            worker.events.clear()
            worker.signal("shutdown")
            self.assertEqual(self.ended(worker), 0)
            text = "".join(event[1] for event in worker.events if event[0] == "stdout")
            text += "".join(event[2][0].decode() for event in worker.events if event[0] == "stream")
            self.assertIn("exit handler\n", text)
            self.assertIn("buffered", text)

    def test_shutdown_ends_a_cell(self):
        worker = self.worker()
        worker.start("import time\ntry:\n    print('now')\n    time.sleep(1000)\nfinally:\n    print('cleaned up')")
        worker.until_text("now\n")
        worker.signal("shutdown")
        self.assertEqual(self.ended(worker), 0)
        self.assertIn(("stdout", "now\ncleaned up\n"), worker.events)

    def test_end_of_control_ends_the_whole_group_at_once(self):
        for code in ("while True: pass", "import time\ntime.sleep(1000)", "pass"):
            worker = self.worker()
            worker.start("import subprocess\nchild = subprocess.Popen(['sleep', '1000'])\nprint('now')\n" + code)
            worker.until_text("now\n")
            os.close(worker.control)
            self.assertEqual(worker.wait(), -9)
            # The child holds the other ends of these.
            self.assertEqual(self.ended(worker), -9)
            self.read_to_end(worker)

    def read_to_end(self, worker):
        while len(worker._open) > 1:
            for descriptor in [one for one in worker._open if one != worker.frames]:
                worker._read(descriptor)

    def test_end_of_requests_ends_the_whole_group(self):
        worker = self.worker()
        worker.run("import subprocess\nchild = subprocess.Popen(['sleep', '1000'])")
        os.close(worker.requests)
        self.ended(worker)
        self.read_to_end(worker)

    def test_nobody_who_reads_ends_it(self):
        worker = self.worker()
        # Before the cell: a cell that was done first left nothing to be written, and the test waited for ever.
        os.close(worker.frames)
        worker.start("1")
        self.assertEqual(worker.wait(), -9)

    def test_closed_descriptors_end_it_without_noise(self):
        for code in ("os.closerange(3, 1000)", "os.closerange(0, 1000)", "os.close(201)"):
            worker = self.worker()
            worker.start("import os\n" + code)
            with self.subTest(code):
                self.assertEqual(self.ended(worker), 1)
                self.assertEqual(worker.events, [])

    def test_garbage_on_requests_or_control_ends_it_with_a_message(self):
        for channel in ("requests", "control"):
            for garbage in (
                b"GET / HTTP/1.1\r\n\r\n",
                b"\0\0\0\6\0\0\0\2{}",
                b'\0\0\0\6\0\0\0\2{"',
                b"\0\0\0\x25\0\0\0\x21" + b'{"open":"execute","id":"missing"}',
            ):
                with self.subTest(garbage, channel=channel):
                    worker = self.worker()
                    worker.write(getattr(worker, channel), garbage)
                    self.assertEqual(self.ended(worker), 1)
                    self.assertRegex(self.stderr(worker), "^capsule_worker: the kernel broke the frame protocol: .+\n$")

    def test_frames_on_the_wrong_channel_end_it(self):
        for channel, header in (("requests", {"signal": "shutdown"}), ("control", {"open": "is_complete", "id": "a"})):
            worker = self.worker()
            worker.send(getattr(worker, channel), header, *([b""] if "open" in header else []))
            self.assertEqual(self.ended(worker), 1)

    def test_large_requests_and_results_are_whole(self):
        worker = self.worker()
        cell = worker.run("x = '" + "\u00fc" * 15_000_000 + "'\nlen(x)")
        self.assertEqual(cell.result(), "15000000")
        self.assertEqual(
            len(worker.run("display({'a/b': b'x' * 50_000_000}, raw=True)").emitted("display")[0][1][0]), 50_000_000
        )

    def test_many_cells_may_be_sent_at_once(self):
        worker = self.worker()
        cells = [worker.start(f"{number}") for number in range(500)]
        self.assertEqual([worker.finish(cell).result() for cell in cells], [str(number) for number in range(500)])

    # Children

    def test_a_forked_child_has_only_the_descriptors(self):
        worker = self.worker()
        cell = worker.run(
            "import os, sys\n"
            "print('before', end=' ')\n"
            "pid = os.fork()\n"
            "if pid == 0:\n"
            "    for function in (lambda: display(1), lambda: input()):\n"
            "        try: function()\n"
            "        except RuntimeError as error: print(type(error).__name__)\n"
            "else:\n"
            "    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
            "pid",
            allow_stdin=True,
        )
        self.assertEqual(cell.text(), "before Forked\nForked\n0\n")
        self.assertEqual([event[0] for event in cell.events], ["stdout", "result"])
        self.assertEqual(worker.run("1 + 1").result(), "2")

    def test_a_forked_child_ends_with_its_cell(self):
        worker = self.worker()
        code = "import os, sys\npid = os.fork()\nif pid == 0:\n    {}\nos.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])"
        self.assertEqual(worker.run(code.format("sys.exit(3)")).result(), "3")
        self.assertEqual(worker.run(code.format("sys.exit()")).result(), "0")
        cell = worker.run(code.format("1 / 0"))
        self.assertEqual(cell.result(), "1")
        self.assertIn("ZeroDivisionError", cell.text("stderr"))
        asynchronous = "import asyncio\nawait asyncio.sleep(0)\n" + code.format("1 / 0")
        self.assertEqual(worker.run(asynchronous).result(), "1")
        self.assertEqual(worker.run("await asyncio.sleep(0, 5)").result(), "5")

    def test_a_forked_child_leaves_as_a_script_does(self):
        """IPython explained in it how to leave IPython, and the text that sys.exit() was given was lost."""
        worker = self.worker()
        code = "import os, sys\npid = os.fork()\nif pid == 0:\n    {}\nos.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])"
        for leave, status, told in (
            ("sys.exit(3)", "3", ""),
            ("sys.exit(-1)", "255", ""),
            ("sys.exit('no')", "1", "no\n"),
            ("os.close(1); os.close(2); print('lost'); sys.exit(0)", "1", ""),
        ):
            with self.subTest(leave):
                cell = worker.run(code.format(leave))
                self.assertEqual((cell.result(), cell.text(), cell.text("stderr")), (status, "", told))

    def test_a_forked_child_ends_also_where_no_cells_code_is_run(self):
        """It went on as a worker without a kernel, said so, or waited for ever, and who waited for it did, too."""
        worker = self.worker()
        fork = "pid = os.fork()\n    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if pid else None"
        cell = worker.run(f"import os\ndef fork():\n    {fork}", user_expressions={"status": "fork()"})
        self.assertEqual(cell.user_expressions["status"]["data"]["text/plain"], "0")
        self.assertTrue(worker.run("class Named:\n    def __dir__(self): return [f'left_with_{fork()}']\nn = Named()").ok)
        self.assertRegex(worker.complete("n.left")["matches"][0], "left_with_0$")
        self.assertEqual([event for event in worker.events if event[0] in ("stdout", "stderr")], [])
        for step, status in (("pass", 0), ("raise SystemExit(3)", 3), ("1 / 0", 1)):
            with self.subTest(step):
                code = (
                    "import asyncio\n"
                    "async def task():\n"
                    "    await asyncio.sleep(0)\n"
                    "    pid = os.fork()\n"
                    "    if pid: print('left with', os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
                    f"    else: {step}\n"
                    "asyncio.get_event_loop().call_later(0.01, lambda: asyncio.ensure_future(task()))\n"
                    "None"
                )
                self.assertTrue(worker.run(code).ok)
                event = worker.until(lambda event: event[0] == "stream")
                self.assertEqual(event[2], [f"left with {status}\n".encode()])
                worker.events.remove(event)

    def test_multiprocessing_by_fork(self):
        worker = self.worker()
        code = (
            "import multiprocessing\n"
            "def work(x):\n"
            "    print('working')\n"
            "    return x * x\n"
            "with multiprocessing.get_context('fork').Pool(2) as pool:\n"
            "    squares = pool.map(work, range(4), chunksize=2)\n"
            "squares"
        )
        cell = worker.run(code)
        self.assertEqual((cell.result(), cell.text()), ("[0, 1, 4, 9]", "working\n" * 4))
        start = "p = multiprocessing.get_context('fork').Process(target=print, args=('child',))\np.start()"
        cell = worker.run(start + "\np.join()\np.exitcode")
        self.assertEqual((cell.result(), cell.text()), ("0", "child\n"))
