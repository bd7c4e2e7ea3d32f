"""The IPython engine: how it is chosen, and what is its own. That it does what ipykernel does, the kernel's tests show."""

import os
import re
import sys
import tempfile
import unittest
from pathlib import Path

from .client import Ended, Worker, data, plain
from .shortcut_cells import CELLS


def ipython(**environment):
    return Worker(environment={"CAPSULE_ENGINE": "ipython", **environment})


def uncoloured(text):
    return re.sub(r"\x1b\[[\d;]*m", "", text)


class Packages(unittest.TestCase):
    def test_cannot_be_fetched_without_a_network(self):
        with ipython(CAPSULE_OFFLINE="1") as worker:
            for line, program in (
                ("%pip install 'a b'", f"{sys.executable} -m pip install 'a b'"),
                ("%pip -q download x", f"{sys.executable} -m pip -q download x"),
                ("%conda install y", "conda install y"),
            ):
                with self.subTest(line):
                    cell = worker.run(line)
                    self.assertEqual("UsageError", cell.ename)
                    self.assertIn("have no network", cell.header["evalue"])
                    self.assertTrue(cell.header["evalue"].endswith("restart the kernel:\n  " + program), cell.header["evalue"])
            self.assertIn("pip", worker.run("%pip --version").text())
            self.assertIn("pip", worker.run("%pip install --no-index --dry-run pip").text())

    def test_are_fetched_by_pip_itself_where_there_is_one(self):
        with ipython() as worker:
            self.assertIn("Usage:", worker.run("%pip install --help").text())


class Choice(unittest.TestCase):
    def worker(self, engine, *files, **environment):
        """A worker with modules of its own: pairs of a path and a text."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for path, text in files:
            os.makedirs(os.path.dirname(os.path.join(folder.name, path)), exist_ok=True)
            with open(os.path.join(folder.name, path), "w") as file:
                file.write(text)
        worker = Worker(
            environment={"CAPSULE_ENGINE": engine, "PYTHONPATH": folder.name, "HOME": folder.name, **environment},
            wait=False,
        )
        self.addCleanup(worker.close)
        return worker

    def is_ipython(self, worker):
        return worker.run("'IPython' in __import__('sys').modules").result() == "True"

    def test_is_ipython_when_there_is_one(self):
        for engine in ("auto", "", "ipython"):
            with self.subTest(engine):
                self.assertTrue(self.is_ipython(self.worker(engine)))

    def test_is_plain_when_wanted(self):
        self.assertFalse(self.is_ipython(self.worker("plain")))

    def test_falls_back_to_plain_and_says_so_once_when_ipython_is_broken(self):
        worker = self.worker("auto", ("IPython/__init__.py", "import there_is_no_such_thing"))
        cell = worker.run("print('runs')")
        self.assertEqual(cell.text(), "runs\n")
        self.assertIn("plain Python", cell.text("stderr"))
        self.assertIn("there_is_no_such_thing", cell.text("stderr"))
        self.assertEqual(worker.run("1").text("stderr"), "")

    def test_that_cannot_be_had_ends_the_worker_with_the_reason(self):
        broken = ("IPython/__init__.py", "import there_is_no_such_thing")
        for worker, said in (
            (self.worker("ipython", broken), "there_is_no_such_thing"),
            (self.worker("ipython", ("IPython/__init__.py", ""), ("IPython/core/interactiveshell.py", "")), "IPython"),
            (self.worker("other"), "there is no engine 'other'; choose one of auto, ipython, plain"),
        ):
            with self.assertRaises(Ended):
                worker.until(lambda event: event[0] == "ready")
            self.assertIn(said, "".join(event[1] for event in worker.events if event[0] == "stderr"))
            self.assertEqual(worker.wait(), 1)

    def test_needs_nothing_of_ipykernel_and_loads_nothing_before_its_time(self):
        worker = self.worker("ipython")
        names = ("ipykernel", "zmq", "tornado", "jedi", "prompt_toolkit", "matplotlib", "IPython.terminal.embed")
        names += ("asyncio", "urllib.request", "http.client", "logging.config", "stack_data", "pexpect")
        code = f"import sys; [name for name in {names} if name in sys.modules]"
        self.assertEqual(worker.run(code).result(), "[]")

    def test_has_what_ipython_imports_when_it_is_used(self):
        # IPython imports these at once, so that cells have them with the package alone.
        worker = self.worker("ipython")
        code = "import email, http, logging, urllib\nurllib.request.Request('file:///'), email.utils, http.client, logging.handlers"
        self.assertIn("urllib.request.Request", worker.run(code).result())
        cell = worker.run("urllib.nothing")
        self.assertIn("module 'urllib' has no attribute 'nothing'", cell.header["evalue"])
        code = "import IPython.core.magics.code as m\ngetattr(m, 'urlopen', urllib.request.urlopen)('data:,a%20b').read()"
        self.assertEqual("b'a b'", worker.run(code).result())
        code = "import asyncio\nasyncio.get_running_loop() is asyncio.get_event_loop()"
        self.assertEqual("True", worker.run(code).result())
        self.assertEqual("'a\\n'", worker.run("%%bash --out said\necho a") and worker.run("said").result())
        code = "m = get_ipython().magics_manager.magics\n[name for kind in m for name in m[kind] if not m[kind][name].__doc__]"
        self.assertEqual("[]", worker.run(code).result())

    # IPython's terminal imports itself in a circle, which has to begin with `embed`. Elsewhere IPython has begun it so,
    # but here a cell could begin with another: that failed, and so sympy's init_printing() was without LaTeX.
    def test_has_the_terminal_from_whatever_side(self):
        for code in (
            "from IPython.terminal.interactiveshell import TerminalInteractiveShell as found",
            "from IPython.terminal.debugger import TerminalPdb as found",
            "from IPython.terminal.ipapp import TerminalIPythonApp as found",
            "from IPython.terminal.embed import InteractiveShellEmbed as found",
            "from IPython.terminal import embed; found = embed.InteractiveShellEmbed",
            "import IPython; found = IPython.terminal.interactiveshell.TerminalInteractiveShell",
        ):
            with self.subTest(code), ipython() as worker:
                self.assertEqual("True", worker.run(f"{code}\nisinstance(found, type)").result())
                code = "import IPython, IPython.terminal.embed as real\nimport IPython.terminal.debugger"
                self.assertEqual("True", worker.run(f"{code}\nIPython.terminal.embed is real").result())

    def test_does_not_import_files_of_the_notebook(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("IPython", "traitlets", "pygments", "random"):
                with open(f"{folder}/{name}.py", "w") as file:
                    file.write("raise Exception('of the notebook')")
            with Worker(folder=folder, environment={"CAPSULE_ENGINE": "ipython"}) as worker:
                self.assertEqual(worker.run("%precision 2\n1/3").result(), "0.33")

    def test_writes_nothing_at_home(self):
        with tempfile.TemporaryDirectory() as home:
            with ipython(HOME=home) as worker:
                worker.run("1")
                self.assertEqual(os.listdir(home), [])
            os.chmod(home, 0o500)
            with ipython(HOME=home) as worker:
                self.assertTrue(worker.run("%cd /tmp").ok)

    def test_has_the_profile_of_the_person(self):
        folder = ".ipython/profile_default/"
        worker = self.worker(
            "ipython",
            (folder + "startup/10-second.py", "second = first + 1; file = __file__"),
            (folder + "startup/00-first.ipy", "first = 1\nhere = %pwd"),
            (folder + "ipython_config.py", "c.InteractiveShellApp.exec_lines = ['line = second + 1']"),
            (folder + "ipython_kernel_config.py", "c.InteractiveShell.ast_node_interactivity = 'all'"),
        )
        cell = worker.run("first, second, line\n'__file__' in globals(), file[-12:]")
        self.assertEqual(
            [plain(*result) for result in cell.emitted("result")], ["(1, 2, 3)", "(False, '10-second.py')"]
        )
        self.assertEqual(worker.run("%who").text(), "Interactive namespace is empty.\n")

    def test_tells_what_of_the_profile_fails(self):
        folder = ".ipython/profile_default/"
        worker = self.worker(
            "ipython", (folder + "ipython_config.py", "1 / 0"), (folder + "startup/a.py", "print('begins')\n{}['fails']")
        )
        said = uncoloured(worker.run("1").text("stderr"))
        self.assertIn("ipython_config.py was not read: ZeroDivisionError", said)
        self.assertIn("begins\n", said)
        self.assertIn("KeyError: 'fails'", said)
        self.assertEqual(worker.run("1").text("stderr"), "")


class Cells(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.worker = ipython()
        cls.addClassCleanup(cls.worker.close)

    def run_cell(self, code, **options):
        cell = self.worker.run(code, **options)
        self.assertTrue(cell.ok, cell.header)
        return cell

    def kinds(self, cell):
        return [event[0] for event in cell.events]


class Results(Cells):
    def test_come_with_the_end_and_need_no_answer(self):
        self.assertNotIn("ack", self.run_cell("6 * 7").emitted("result")[0][0])

    def test_in_the_midst_of_a_cell_keep_their_order(self):
        cell = self.run_cell("get_ipython().run_cell('1')\nprint('after')\n2")
        self.assertEqual(self.kinds(cell), ["result", "stdout", "result"])
        self.assertTrue(cell.emitted("result")[0][0]["ack"])
        self.assertEqual(
            self.kinds(self.run_cell("import sys\nsys.displayhook(1); sys.displayhook(2); print('after')")),
            ["result", "result", "stdout"],
        )
        self.run_cell("get_ipython().ast_node_interactivity = 'all'")
        self.assertEqual(self.kinds(self.run_cell("1\nprint(2)\n3")), ["result", "stdout", "result"])
        self.run_cell("get_ipython().ast_node_interactivity = 'last_expr'")

    def test_come_before_what_callbacks_show(self):
        self.run_cell("def late(): print('late')\nget_ipython().events.register('post_execute', late)")
        self.assertEqual(self.kinds(self.run_cell("1")), ["result", "stdout"])
        self.run_cell("get_ipython().events.unregister('post_execute', late)")

    def test_of_threads_that_outlive_their_cell_are_displays(self):
        cell = self.worker.start(
            "import threading\n"
            "gate = threading.Event()\n"
            "thread = threading.Thread(target=lambda: (gate.wait(), get_ipython().displayhook(5)))\n"
            "thread.start()"
        )
        self.worker.finish(cell)
        ((header, _),) = self.run_cell("gate.set(); thread.join()").emitted("display")
        self.assertEqual(header["id"], cell)

    def test_know_what_was_told_of_a_builtin_type(self):
        self.run_cell("_f = get_ipython().display_formatter.formatters['text/html']")
        self.run_cell("_f.for_type(int, '<b>{}</b>'.format);")
        self.assertEqual(data(*self.run_cell("3").emitted("result")[0]), {"text/plain": "3", "text/html": "<b>3</b>"})
        self.run_cell("_f.pop(int);")
        self.assertEqual(data(*self.run_cell("3").emitted("result")[0]), {"text/plain": "3"})


class Errors(Cells):
    def fail_cell(self, code):
        cell = self.worker.run(code)
        self.assertFalse(cell.ok)
        return cell

    def test_are_shown_once_and_then_end_the_cell(self):
        cell = self.fail_cell("print('before')\n1 / 0")
        self.assertEqual(self.kinds(cell), ["stdout", "error"])
        self.assertTrue(cell.header["shown"])
        shown = cell.events[1][1]
        self.assertEqual(
            [shown[name] for name in ("ename", "evalue", "traceback")],
            [cell.header[name] for name in ("ename", "evalue", "traceback")],
        )
        self.assertIn("----> 2 1 / 0", uncoloured(cell.traceback))

    def test_that_end_no_cell_are_shown_where_they_come(self):
        cell = self.run_cell("get_ipython().run_cell('1 / 0')\nprint('after')")
        self.assertEqual(self.kinds(cell), ["error", "stdout"])

    def test_of_usage_are_one_line(self):
        cell = self.fail_cell("%nosuch")
        self.assertEqual(cell.text("stderr"), "UsageError: Line magic function `%nosuch` not found.\n")
        self.assertTrue(cell.header["shown"])

    def test_in_the_worker_end_where_the_cell_called_it(self):
        self.assertNotIn("capsule_worker", self.fail_cell("input()").traceback)

    def test_in_groups_show_all(self):
        # IPython shows only the outermost, and from version 9 on nothing but text on the standard error.
        if sys.version_info >= (3, 11):
            text = uncoloured(self.fail_cell("raise ExceptionGroup('some', [ValueError(1), KeyError(2)])").traceback)
            self.assertIn("ValueError: 1", text)
            self.assertIn("KeyError: 2", text)
            self.assertNotIn("interactiveshell.py", text)

    def test_that_are_very_long_are_cut(self):
        cell = self.fail_cell("raise ValueError('x' * 10_000_000)")
        self.assertLess(len(cell.traceback), 500_000)

    def test_are_forgotten_after_a_while(self):
        # The library that finds out where in a line an error is kept the syntax tree of every cell that had failed.
        count = "import ast, gc\ngc.collect()\nsum(isinstance(thing, ast.AST) for thing in gc.get_objects())"
        counts = []
        for rest in (0, 1, 2):
            for number in range(150):
                self.assertEqual(self.worker.run(f"1/0  # {rest}, {number}").ename, "ZeroDivisionError")
            counts.append(int(self.run_cell(count).result()))
        self.assertLess(counts[2] - counts[0], 300, counts)

    def test_of_tasks_name_the_cell(self):
        self.run_cell("import asyncio\nasync def fail():\n    raise ValueError('lost')\n\nt = asyncio.create_task(fail())")
        cell = self.worker.start("await asyncio.sleep(0); del t; __import__('gc').collect();")
        _, _, (text,) = self.worker.until(lambda event: event[0] == "stream")
        self.assertRegex(text.decode(), r"Cell In\[\d+\], line 3, in fail\n")
        self.worker.finish(cell)


class Recursion(unittest.TestCase):
    # It ended at a depth of 1000, where ipykernel goes on to 3000: there jedi, which is loaded at its start, says so.
    def test_goes_as_deep_as_in_other_kernels(self):
        with ipython() as worker:
            worker.run("def deep(n):\n    return n and 1 + deep(n - 1)")
            self.assertEqual("2500", worker.run("deep(2500)").result())
            self.assertEqual("RecursionError", worker.run("deep(3000)").ename)
            self.assertEqual("2500", worker.run("deep(2500)").result())

    # The first completion loads jedi, which set the limit anew.
    def test_goes_as_deep_as_a_cell_has_said(self):
        for limit in ("1500", "5000"):
            with self.subTest(limit), ipython() as worker:
                worker.run(
                    "from capsule_worker.ipython import completion\ncompletion._DEADLINE_SECONDS = 20.0\n"
                    f"import sys; sys.setrecursionlimit({limit})"
                )
                self.assertEqual(limit, worker.run("sys.getrecursionlimit()").result())
                self.assertIn("path", worker.complete("import os\nos.pa")["matches"])
                self.assertEqual(
                    f"(True, {limit})", worker.run("'jedi' in sys.modules, sys.getrecursionlimit()").result()
                )
                worker.run("sys.setrecursionlimit(2000)")
                self.assertEqual("2000", worker.run("sys.getrecursionlimit()").result())


class Unstored(unittest.TestCase):
    # The engine set the shell's count to that of the last stored cell, under which the result was then kept: what a
    # front end ran to look at the variables replaced the person's own `Out[1]`, `_1` and `_`.
    def test_change_neither_outputs_nor_counts(self):
        with ipython() as worker:
            worker.run("5")
            self.assertEqual("6", worker.run("6", store_history=False).result())
            count = "get_ipython().execution_count"
            self.assertEqual("2", worker.run(count, store_history=False).result())
            self.assertEqual("(5, {1: 5}, 5, '', '')", worker.run("_1, Out, _, __, ___").result())
            self.assertEqual("['', '5', '_1, Out, _, __, ___', 'In']", worker.run("In").result())

    def test_leave_no_text_to_the_history_of_outputs(self):
        with ipython() as worker:
            worker.run("5")
            worker.run("6", store_history=False)
            worker.run("x = 7")
            self.assertEqual("5\n5\nx = 7\n", worker.run("%history -o 1-2").text())

    # Whether a result is shown was read off the last input that was stored.
    def test_are_shown_whatever_the_last_stored_one_ended_with(self):
        with ipython() as worker:
            worker.run("5;")
            self.assertEqual("6", worker.run("6", store_history=False).result())
            self.assertIsNone(worker.run("6;", store_history=False).result())


class Shortcuts(unittest.TestCase):
    """A cell that is Python is not put through all that IPython does to a cell, and nobody can tell."""

    def test_change_nothing(self):
        with ipython() as quick, ipython() as slow:
            off = (
                "r.Reader.read = lambda self, text: None; f.Formatter.format = f.DisplayFormatter.format; "
                "t.prepare = lambda: None; get_ipython().InteractiveTB.__dict__.pop('get_records', None)"
            )
            for worker, patch in ((quick, "pass"), (slow, off)):
                imports = "from capsule_worker.ipython import formatters as f, reading as r, rendering as t"
                # In the first cell: after it, the engine gets ready for tracebacks.
                worker.run(f"def patch():\n {imports}\n {patch}\n\npatch()", silent=True)
            for code in CELLS:
                self.assertEqual(*[self.told(worker.run(code)) for worker in (quick, slow)], repr(code))
            self.assertEqual("2", quick.run("1 + 1").result())

    @staticmethod
    def told(cell):
        # Between what is printed and what is warned of there is no order.
        shown = [event for event in cell.events if event[0] not in ("stdout", "stderr")]
        told = repr([cell.text(), cell.text("stderr"), shown, cell.header, cell.buffers])
        return re.sub(r"\b[eq][0-9a-f]{8}\b|(?:0x|\bat )[0-9a-f]+", "…", told)


class Programs(Cells):
    def test_write_in_order_with_what_is_printed(self):
        cell = self.run_cell("print('a')\n!echo b; echo c >&2; echo d\nprint('e')")
        self.assertEqual(cell.events, [("stdout", "a\nb\nc\nd\ne\n")])

    def test_say_how_they_ended(self):
        for command, status in (("exit 3", "3"), ("kill -9 $$", "-9"), ("sh -c 'kill -15 $$'", "-15"), ("true", "0")):
            self.assertEqual(self.run_cell(f"!{command}\n_exit_code").result(), status)

    def test_are_captured_with_what_is_printed(self):
        self.run_cell("%%capture out\nprint('a')\n!printf '\\303\\274'; echo b >&2")
        self.assertEqual(self.run_cell("out.stdout").result(), repr("a\n\u00fcb\n"))

    def test_end_by_an_interrupt_with_all_they_started(self):
        # Not only those that hear of it.
        sleep = f"sleep {10_000_000 + os.getpid()}"
        for command in (f"{sleep}; {sleep}", f"trap '' INT; {sleep} & wait; {sleep}"):
            cell = self.worker.start(f"print('now')\n!{command}\nprint('not reached')")
            self.worker.until_text("now\n")
            self.worker.signal("cancel", id=cell)
            done = self.worker.finish(cell)
            self.assertEqual(done.ename, "KeyboardInterrupt")
            self.assertNotIn("not reached", done.text())
        self.assertEqual(self.run_cell(f"!pgrep -cf '^{sleep}'").text(), "0\n")


class Guis(Cells):
    def test_that_are_drawn_by_the_front_end_need_no_loop(self):
        # With IPython before 8.24, or matplotlib before 3.9, `%matplotlib widget` asks for a loop of this name, and failed.
        for name in ("widget", "ipympl", "notebook", "nbagg", "webagg", "inline", "agg", "asyncio", None):
            with self.subTest(name):
                self.run_cell(f"get_ipython().enable_gui({name!r})")
        self.assertEqual(self.worker.run("get_ipython().enable_gui('qt')").ename, "UsageError")


class Loop(Cells):
    def test_takes_tasks_of_cells_that_are_not_asynchronous(self):
        # In other kernels all cells run in the loop.
        self.run_cell("import asyncio\ntask = asyncio.create_task(asyncio.sleep(0, 'done'))")
        self.assertEqual(self.run_cell("await task").result(), "'done'")
        self.assertEqual(self.run_cell("asyncio.get_running_loop() is asyncio.get_event_loop()").result(), "True")

    def test_can_be_run_by_cells(self):
        for call in ("asyncio.run({})", "asyncio.get_event_loop().run_until_complete({})"):
            code = f"import asyncio\nprint({call.format('asyncio.sleep(0, 1)')})\nasyncio.get_running_loop();"
            self.assertEqual(self.run_cell(code).text(), "1\n")


class Questions(Cells):
    def complete(self, code):
        return self.worker.complete(code)

    def test_about_names_magics_and_files(self):
        self.run_cell("some_name = 1")
        answer = self.complete("some_n")
        self.assertEqual([answer[name] for name in ("matches", "start", "end")], [["some_name"], 0, 6])
        self.assertIn("%timeit", self.complete("%timei")["matches"])
        self.assertEqual(self.complete("x = some_n")["start"], 4)
        self.assertEqual(self.complete("'\U0001f600'; some_n")["start"], 5)

    def test_are_answered_in_time_when_jedi_is_late(self):
        self.run_cell("from capsule_worker.ipython import completion\ncompletion._DEADLINE_SECONDS = 0")
        self.run_cell("other_name = 1")
        self.assertEqual(self.complete("other_n")["matches"], ["other_name"])
        self.run_cell("completion._DEADLINE_SECONDS = 2.0")

    def test_are_answered_by_jedi_when_what_it_has_on_disk_is_torn_or_cannot_be_there(self):
        # It found nothing at all, in every kernel until somebody removed the file, once a process had been ended as it
        # wrote; or for the moment in which another one was writing.
        with tempfile.TemporaryDirectory() as folder:
            cache, no_place = Path(folder, "cache"), Path(folder, "file")
            no_place.touch()
            for place in (cache, cache, no_place):
                with self.subTest(place), ipython(XDG_CACHE_HOME=str(place)) as worker:
                    worker.run("import os")
                    answer = worker.complete("os.pardi")
                    self.assertEqual([answer["matches"], answer["start"]], [["pardir"], 3])
                files = list(cache.rglob("*.pkl"))
                self.assertTrue(files)
                for file in files:
                    os.truncate(file, file.stat().st_size // 2)

    def test_have_the_answer_that_jedi_gives_without_shortcuts(self):
        self.run_cell(
            "import os, enum, dataclasses\n"
            "@dataclasses.dataclass\n"
            "class Data:\n    field_one: int = 1\n    def method(self): pass\n"
            "class Kind(enum.Enum):\n    FIRST = 1\n"
            "from capsule_worker.ipython import narrowing\n"
            "beginning = narrowing._beginning\n"
            "get_ipython().Completer.jedi_compute_type_timeout = 20_000\n"
            "from capsule_worker.ipython import completion\n"
            "completion._DEADLINE_SECONDS = 20.0"
        )
        codes = (
            *("import os\nos.pa", "os.pa", "from os.path import jo", "import o", "os.path.", "x = 'a'; x.up"),
            *("'a'.up", "{}.ke", "[1].", "prin", "exce", "Data.fie", "Data(fie", "Data().m", "Data._"),
            *("Kind.FI", "Kind.FIRST.na", "Kind.F", "class A(Data):\n    def me"),
            *("import math as m\nm.c", "with open('f') as g:\n    g.re", "def f():\n    import os\n    os.pa"),
            *("try:\n    import json\nexcept ImportError:\n    json = None\njson.lo", "a = [i for i in 'a']\na.po"),
            *("import typing\ntyping.Opt", "def g():\n    yield 1\ng().se", "__na", "nothing.x"),
        )
        quick = [self.complete(code) for code in codes]
        self.run_cell("narrowing._beginning = lambda completion: ''")
        slow = [self.complete(code) for code in codes]
        self.run_cell("narrowing._beginning = beginning; completion._DEADLINE_SECONDS = 2.0")
        for code, *answers in zip(codes, quick, slow):
            # Of what a module has from another, jedi 0.20 does not always say the same.
            names = ("matches", "start", "end", *["types"] * ("os" not in code))
            with self.subTest(code):
                self.assertEqual(*[[answer[name] for name in names] for answer in answers])
                self.assertTrue(answers[0]["matches"] or "nothing" in code)

    def test_about_objects(self):
        header, buffers = self.worker.ask("inspect", "len(", cursor=3, detail=0)
        self.assertIn("number of items", data(header, buffers)["text/plain"])
        header, _ = self.worker.ask("inspect", "no_such_name", cursor=3, detail=0)
        self.assertFalse(header["found"])

    def test_whether_code_is_complete(self):
        cases = (("for i in x:", "incomplete"), ("%time 1", "complete"), ("!ls", "complete"), ("x =", "invalid"))
        for code, status in cases:
            self.assertEqual(self.worker.ask("is_complete", code)[0]["status"], status, code)
        self.assertEqual(self.worker.ask("is_complete", "if x:")[0]["indent"], "    ")


class History(Cells):
    def test_is_of_the_session_alone(self):
        self.run_cell("first_line = 1")
        self.run_cell("%history -g first_line*")
        self.assertIn("first_line = 1", self.run_cell("%history -g first_l*").text())
        self.assertEqual(self.run_cell("2\n").result(), "2")
        self.assertEqual(self.run_cell("%history -l 1").text(), "2\n")

    def test_holds_no_outputs(self):
        # IPython 9 keeps all that is printed and shown, and hides the streams' own write() to get it.
        self.assertEqual(self.run_cell("print('x' * 10)\n'write' in vars(__import__('sys').stdout)").result(), "False")
        self.run_cell("display(1)\n2")
        self.assertEqual(self.run_cell("dict(getattr(get_ipython().history_manager, 'outputs', {}))").result(), "{}")

    def test_begins_with_the_count_of_the_session(self):
        with ipython() as worker:
            worker.count = 7
            worker.run("'eight'")
            self.assertEqual(worker.run("In[8], Out[8], In[3], len(In)").result(), "(\"'eight'\", 'eight', '', 10)")


class LateCompletion(unittest.TestCase):
    def test_is_given_up_for_a_snapshot(self):
        """While jedi was looking through a large library for an answer that came too late, no snapshot was made, nor one
        for `%undo` and transactions, which refused to run because of `capsule-completion`."""
        with Worker(environment={"CAPSULE_ENGINE": "ipython"}, supervised=True) as worker:
            worker.run(
                "import threading, time\n"
                "from capsule_worker.ipython import completion\n"
                "def ask_jedi(*_):\n"
                "    while True: time.sleep(0.01)\n"
                "get_ipython().Completer.completions = ask_jedi\n"
                "completion._DEADLINE_SECONDS = 0.5"
            )
            self.assertEqual(["ask_jedi"], worker.complete("ask_j")["matches"])
            cell = worker.run("[thread.name for thread in threading.enumerate()]")
            self.assertIn("capsule-completion", cell.result())
            worker.kept_soon(cell.header["resolve"])


class ScriptMagics(unittest.TestCase):
    def setUp(self):
        self.worker = Worker(environment={"CAPSULE_ENGINE": "ipython"}, supervised=True)
        self.addCleanup(self.worker.close)

    def run_kept(self, code):
        cell = self.worker.start(code)
        self.assertTrue(self.worker.finish(cell).ok)
        return self.worker.kept_soon(cell)

    def said(self):
        return self.worker.run("said").result()

    def test_leave_no_thread_that_prevents_snapshots(self):
        """After the first `%%bash` there was none for the rest of the session: IPython has a thread wait for the next."""
        for word in ("one", "two"):
            self.run_kept(f"%%bash --out said\necho {word}")
            self.assertEqual(repr(word + "\n"), self.said())
        snapshot = self.run_kept("import os")
        self.worker.start("os._exit(3)")
        self.worker.died(self.worker.hello["pid"])
        self.worker.wake(snapshot)
        self.run_kept("%%bash --out said\necho three")
        self.assertEqual(repr("three\n"), self.said())

    def test_in_the_background_are_left_alone_until_nobody_reads_of_them(self):
        worker = self.worker
        for code in ("%%bash --bg --out said --proc program\necho heard", "await program.wait();"):
            cell = worker.start(code)
            self.assertTrue(worker.finish(cell).ok)
        worker.send(worker.requests, {"open": "snapshot", "id": "s"})
        settle = worker.until(lambda event: event[0] == "settle")
        self.assertEqual("s", settle[1].get("reject"))
        self.assertRegex(settle[1]["evalue"], "a thread is running")
        read = worker.run("(await said.read()).decode()")
        self.assertEqual(repr("heard\n"), read.result(), read.header)
        self.run_kept("del said, program")


class Payloads(Cells):
    def test_of_one_kind_replace_each_other(self):
        cell = self.run_cell("get_ipython().set_next_input('a')\nget_ipython().set_next_input('b', replace=True)")
        self.assertEqual(cell.payload, [{"source": "set_next_input", "text": "b", "replace": True}])

    def test_ask_for_the_end(self):
        self.assertEqual(self.run_cell("exit").payload, [{"source": "ask_exit", "keepkernel": False}])
