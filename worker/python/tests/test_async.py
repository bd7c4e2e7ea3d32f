"""Asynchronous cells, background tasks, asyncio.run(), and the mode of a cell."""

import unittest

from capsule_worker.execution import ASYNC_DEFINITIONS, PLAIN, TOP_LEVEL_AWAIT, Compiler

from .client import Worker


class Modes(unittest.TestCase):
    def test_are_what_the_code_needs(self):
        cases = {
            PLAIN: [
                "x = 1",
                "",
                "def f():\n    return 1",
                "'await x'",
                "def f(await_): pass",
                "lambda: [x for x in y]",
            ],
            ASYNC_DEFINITIONS: [
                "async def f():\n    await g()",
                "if True:\n    async def f(): pass",
                "class A:\n    async def f(self): return [x async for x in self]",
                "try: pass\nexcept E:\n    async def f(): pass",
            ],
            TOP_LEVEL_AWAIT: [
                "await x",
                "x = 1\ny = await x",
                "async for x in y: pass",
                "async with a as b: pass",
                "[x async for x in y]",
                "[await x for x in y]",
                "def f(x=await y): pass",
                "async def f(): pass\nawait f()",
                "if a:\n    await b",
                "f(await x)",
            ],
        }
        for mode, texts in cases.items():
            for text in texts:
                with self.subTest(text):
                    code = Compiler().compile(text, 1)
                    self.assertEqual(code.mode, mode)
                    flags = [part.co_flags & 0x80 for part in (code.body, code.last) if part is not None]
                    self.assertEqual(any(flags), mode == TOP_LEVEL_AWAIT)

    def test_code_is_compiled_once_for_each_text(self):
        compiler = Compiler()
        first = compiler.compile("x = 1", 1)
        self.assertIs(compiler.compile("x = 1", 2), first)
        for number in range(256):
            compiler.compile(f"x = {number + 2}", 3)
        self.assertIsNot(compiler.compile("x = 1", 4), first)
        long = "x = 1 #" + "y" * (64 << 10)
        self.assertIsNot(compiler.compile(long, 5), compiler.compile(long, 6))


class AsyncCells(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.worker = Worker()
        cls.addClassCleanup(cls.worker.close)

    def result(self, code):
        cell = self.worker.run(code)
        self.assertTrue(cell.ok, cell.header)
        return cell.result()

    def test_have_results_and_names_like_others(self):
        self.assertEqual(self.result("import asyncio\nawait asyncio.sleep(0, 5)"), "5")
        self.assertEqual(self.result("x = await asyncio.sleep(0, 6)\nx + 1"), "7")
        self.assertEqual(self.result("[await asyncio.sleep(0, i) for i in range(2)]"), "[0, 1]")
        self.assertIsNone(self.result("await asyncio.sleep(0, 5);"))
        self.assertIsNone(self.result("y = await asyncio.sleep(0)"))
        self.assertEqual(self.result("x"), "6")

    def test_fail_with_their_own_lines(self):
        cell = self.worker.run("import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    1 / 0\nawait f()")
        self.assertEqual(cell.ename, "ZeroDivisionError")
        frames = [line.strip() for line in cell.traceback.split("\n") if "line" in line]
        count = self.worker.count
        self.assertEqual(frames, [f"Cell In[{count}], line 5", f"Cell In[{count}], line 4, in f"])
        cell = self.worker.run("t = asyncio.create_task(asyncio.sleep(9))\nt.cancel()\nawait t")
        self.assertEqual(cell.ename, "CancelledError")

    def test_share_one_loop_with_each_other_and_with_plain_cells(self):
        self.result("import asyncio\nloop = asyncio.get_running_loop() if await asyncio.sleep(0, True) else 0")
        self.assertEqual(self.result("asyncio.get_event_loop() is loop, loop.is_running()"), "(True, False)")
        self.assertEqual(self.result("asyncio.get_running_loop() is loop and await asyncio.sleep(0, 1)"), "1")
        self.assertEqual(self.result("loop.run_until_complete(asyncio.sleep(0, 2))"), "2")

    def test_a_plain_cell_gets_the_loop_that_later_cells_run_on(self):
        with Worker() as worker:
            worker.run("import asyncio\nloop = asyncio.get_event_loop()\nfuture = loop.create_future()")
            worker.run("loop.call_soon(future.set_result, 3)")
            self.assertEqual(worker.run("await future").result(), "3")

    def test_asyncio_run_works_in_plain_cells(self):
        self.assertEqual(self.result("import asyncio\nasyncio.run(asyncio.sleep(0, 1))"), "1")
        self.assertEqual(self.result("asyncio.run(asyncio.sleep(0, 1))\nasyncio.get_event_loop().is_closed()"), "False")

    def test_asyncio_run_works_in_async_cells(self):
        code = (
            "import asyncio\n"
            "async def inner():\n"
            "    return asyncio.get_running_loop(), asyncio.current_task()\n"
            "outer = asyncio.get_running_loop(), asyncio.current_task()\n"
            "await asyncio.sleep(0)\n"
            "nested = asyncio.run(inner())\n"
            "await asyncio.sleep(0)\n"
            "again = asyncio.get_running_loop(), asyncio.current_task()\n"
            "again == outer, nested[0] is outer[0], nested[1] is outer[1]"
        )
        self.assertEqual(self.result(code), "(True, False, False)")
        cell = self.worker.run("await asyncio.sleep(0)\nasync def fail(): 1 / 0\nasyncio.run(fail())")
        self.assertEqual(cell.ename, "ZeroDivisionError")
        self.assertEqual(self.result("await asyncio.sleep(0, 1)"), "1")

    def test_loops_that_cells_stop_close_or_replace_do_no_harm(self):
        for code in (
            "import asyncio\nasyncio.get_running_loop().stop()\nawait asyncio.sleep(0.001, 1)",
            "asyncio.get_event_loop().close()\nawait_ = 1\n1",
            "asyncio.set_event_loop(None)\n1",
            "asyncio.set_event_loop(asyncio.new_event_loop())\n1",
        ):
            with self.subTest(code):
                self.assertEqual(self.result(code), "1")
                self.assertEqual(self.result("await asyncio.sleep(0, 2)"), "2")
                self.assertEqual(self.result("asyncio.get_event_loop().is_closed()"), "False")


class BackgroundTasks(unittest.TestCase):
    def setUp(self):
        self.worker = Worker()
        self.addCleanup(self.worker.close)

    def test_go_on_between_cells(self):
        cell = self.worker.start(
            "import asyncio\n"
            "ticks = 0\n"
            "async def tick():\n"
            "    global ticks\n"
            "    while ticks < 5:\n"
            "        ticks += 1\n"
            "        await asyncio.sleep(0.001)\n"
            "    print('ticked')\n"
            "task = asyncio.create_task(tick())\n"
            "await asyncio.sleep(0)"
        )
        self.worker.finish(cell)
        late = self.worker.until(lambda event: event[0] == "stream")
        self.assertEqual((late[1]["id"], late[2]), (cell, [b"ticked\n"]))
        self.assertEqual(self.worker.run("ticks, task.done()").result(), "(5, True)")

    def test_go_on_while_cells_follow_each_other(self):
        self.worker.run(
            "import asyncio\n"
            "turns = 0\n"
            "async def turn():\n"
            "    global turns\n"
            "    while True:\n"
            "        turns += 1\n"
            "        await asyncio.sleep(0)"
        )
        self.worker.run("task = asyncio.get_event_loop().create_task(turn())")
        cells = [self.worker.start("pass") for _ in range(20)]
        self.worker.finish(cells[-1])
        self.assertGreater(int(self.worker.run("turns").result()), 10)
        self.worker.run("task.cancel()")

    def test_servers_answer_between_cells(self):
        code = (
            "import asyncio, os\n"
            "async def answer(reader, writer):\n"
            "    writer.write((await reader.readline()).upper())\n"
            "    writer.close()\n"
            "server = await asyncio.start_server(answer, '127.0.0.1', 0)\n"
            "server.sockets[0].getsockname()[1]"
        )
        import socket

        with socket.create_connection(("127.0.0.1", int(self.worker.run(code).result())), timeout=10) as client:
            client.sendall(b"hello\n")
            self.assertEqual(client.recv(100), b"HELLO\n")

    def test_that_end_programs_end_only_themselves(self):
        self.worker.run("import asyncio, sys\nasync def end(kind):\n    raise kind()\nloop = asyncio.get_event_loop()")
        for kind in ("SystemExit", "KeyboardInterrupt"):
            self.worker.run(f"task = loop.create_task(end({kind})); None")
            self.assertEqual(self.worker.run("1").result(), "1")
            self.assertEqual(
                self.worker.run(f"task = loop.create_task(end({kind}))\nawait asyncio.sleep(0.001, 2)").result(), "2"
            )
            self.assertEqual(
                self.worker.run("task.done(), type(task.exception()).__name__").result(), f"(True, '{kind}')"
            )

    def test_are_cancelled_at_the_end(self):
        self.worker.run(
            "import asyncio\n"
            "async def work():\n"
            "    try:\n"
            "        await asyncio.sleep(1000)\n"
            "    finally:\n"
            "        print('cleaned up')\n"
            "task = asyncio.create_task(work())\n"
            "await asyncio.sleep(0)"
        )
        self.worker.signal("shutdown")
        self.worker.until(lambda event: event[0] == "stream" and event[2] == [b"cleaned up\n"])
        self.assertEqual(self.worker.wait(), 0)

    def test_asyncio_is_imported_after_the_cell_when_async_code_is_to_be_expected(self):
        watch = (
            "import sys\n"
            "class Watch:\n"
            "    def find_spec(self, name, *_):\n"
            "        if name == 'asyncio': print('imported')\n"
            "sys.meta_path.insert(0, Watch())\n"
        )
        self.assertEqual(self.worker.run(watch + "def f(): pass").text(), "")
        # That is after the settle, so it may be read with it or by itself.
        if not self.worker.run("async def f(): pass").text():
            self.worker.until_text("imported\n")
