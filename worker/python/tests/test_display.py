"""What cells show: displays, updates, payloads, figures."""

import os
import select
import signal
import tempfile
import unittest

from .client import DEADLINE_SECONDS, Worker, data, plain


class Displays(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.worker = Worker()
        cls.addClassCleanup(cls.worker.close)

    def shown(self, code, kind="display"):
        cell = self.worker.run(code)
        self.assertTrue(cell.ok, cell.header)
        return cell.emitted(kind)

    def test_need_no_import(self):
        frames = self.shown("display(1, 'two')")
        self.assertEqual([plain(*frame) for frame in frames], ["1", "'two'"])
        self.assertTrue(all(header["ack"] and "display_id" not in header for header, _ in frames))

    def test_wait_until_the_kernel_has_them(self):
        self.worker.answers = False
        self.addCleanup(setattr, self.worker, "answers", True)
        cell = self.worker.start("display(1)\nprint('after')")
        self.worker.until(lambda event: event[0] == "display")
        # Control is served meanwhile; this one is for another cell.
        self.worker.signal("delivered", id="another")
        self.worker.signal("delivered", id=cell)
        self.assertEqual([event[0] for event in self.worker.finish(cell).events], ["display", "stdout"])
        # An interrupt ends the wait, and the answer that comes later is not taken for that of another display.
        cell = self.worker.start("try: display(1)\nexcept KeyboardInterrupt: print('caught')\ndisplay(2)\nprint('end')")
        self.worker.until(lambda event: event[0] == "display")
        self.worker.signal("cancel", id=cell)
        self.worker.until_text("caught\n")
        self.worker.signal("delivered", id=cell)
        self.worker.until(lambda event: event[0] == "display" and event[2][0] == b"2")
        self.assertFalse(any("end" in event[1] for event in self.worker.events if event[0] == "stdout"))
        self.worker.signal("delivered", id=cell)
        self.assertTrue(self.worker.finish(cell).ok)

    def test_from_a_signals_handler_in_the_midst_of_another_come_after_it(self):
        """The handler waited for ever until the kernel had its frame, which could only be written when it had returned."""
        worker = Worker()
        self.addCleanup(worker.close)
        worker.run("import signal\nsignal.signal(signal.SIGUSR1, lambda *_: display('handled'))")
        cell = worker.start("display({'image/png': b'x' * 1_000_000}, raw=True)\nprint('after')")
        # A part of it is there, and what the pipe does not hold is not: the worker is in the midst of writing it.
        self.assertTrue(select.select([worker.frames], [], [], DEADLINE_SECONDS)[0])
        os.kill(worker.pid, signal.SIGUSR1)
        events = worker.finish(cell).events
        self.assertEqual([event[0] for event in events], ["display", "display", "stdout"])
        self.assertEqual(events[1][2][0], b"'handled'")

    def test_from_a_signals_handler_leave_the_wait_for_another_as_it_was(self):
        """The handler's wait took the answer to the cell's display, for which that waited for ever."""
        worker = Worker()
        self.addCleanup(worker.close)
        worker.run("import signal\nsignal.signal(signal.SIGUSR1, lambda *_: display('handled'))")
        worker.answers = False
        cell = worker.start("display(1)\nprint('after')")
        worker.until(lambda event: event[0] == "display")
        os.kill(worker.pid, signal.SIGUSR1)
        worker.until(lambda event: event[0] == "display" and event[2][0] == b"'handled'")
        for _ in range(2):
            worker.signal("delivered", id=cell)
        self.assertEqual(worker.finish(cell).text(), "after\n")

    def test_of_data_and_metadata(self):
        code = (
            "display({'text/html': '<b>\u00fc', 'image/png': b'\\x89', 'application/json': {'a': [1, float('nan')]}},"
            " raw=True, metadata={'image/png': {'width': 5}})"
        )
        [(header, buffers)] = self.shown(code)
        self.assertEqual(
            data(header, buffers),
            {"text/html": "<b>\u00fc", "image/png": b"\x89", "application/json": {"a": [1, None]}},
        )
        self.assertEqual(header["forms"], ["text", "base64", "json"])
        self.assertEqual(buffers[-1], b'{"image/png":{"width":5}}')

    def test_can_be_updated(self):
        cell = self.worker.run("handle = display(1, display_id=True)\nhandle.update(2)\nhandle.display(3)\nhandle")
        frames = [event for event in cell.events if event[0] in ("display", "update_display")]
        self.assertEqual([frame[0] for frame in frames], ["display", "update_display", "display"])
        self.assertEqual([plain(*frame[1:]) for frame in frames], ["1", "2", "3"])
        ids = {frame[1]["display_id"] for frame in frames}
        self.assertEqual(len(ids), 1)
        self.assertIn(ids.pop(), cell.result())
        [(header, _)] = self.shown("display(1, display_id='mine')")
        self.assertEqual(header["display_id"], "mine")
        [(header, buffers)] = self.shown(
            "from capsule_worker import update_display\nupdate_display(5, display_id='mine')", "update_display"
        )
        self.assertEqual((header["display_id"], plain(header, buffers)), ("mine", "5"))
        # An update from a later cell is that cell's.
        self.worker.run("handle = display(display_id=True)")
        self.assertEqual(len(self.shown("handle.update(6)", "update_display")), 1)

    def test_of_objects_that_display_themselves(self):
        code = "class A:\n    def _ipython_display_(self): display('inner')\ndisplay(A())\nA()"
        self.assertEqual([plain(*frame) for frame in self.shown(code)], ["'inner'", "'inner'"])

    def test_clear(self):
        [(header, _)] = self.shown("from capsule_worker import clear_output\nclear_output()", "clear_output")
        self.assertEqual((header["wait"], header["ack"]), (False, True))
        cell = self.worker.run("clear_output(wait=True)\ndisplay(1, clear=True)")
        self.assertEqual([event[0] for event in cell.events], ["clear_output", "clear_output", "display"])

    def test_payloads(self):
        cell = self.worker.run(
            "from capsule_worker import page, set_next_input\n"
            "page('text')\n"
            "page({'text/html': 'x'}, start=2)\n"
            "set_next_input('y')"
        )
        self.assertEqual(
            cell.payload,
            [
                {"source": "page", "data": {"text/plain": "text"}, "start": 0},
                {"source": "page", "data": {"text/html": "x"}, "start": 2},
                {"source": "set_next_input", "text": "y", "replace": False},
            ],
        )
        self.assertEqual(self.worker.run("1").payload, [])

    def test_that_cannot_be_sent_fail_the_cell_and_the_next_works(self):
        for code, expected in (
            ("display({1: 'x'}, raw=True)", "TypeError"),
            ("display({'application/json': {1, 2}, 'a/json': object()}, raw=True)", "ValueError"),
            ("display({str(i): 'x' for i in range(2000)}, raw=True)", "FrameTooLarge"),
            ("display({'x' * 5_000_000: 'x'}, raw=True)", "FrameTooLarge"),
            ("display(1, display_id=5)", "TypeError"),
        ):
            with self.subTest(code):
                self.assertEqual(self.worker.run(code).ename, expected)
                self.assertEqual(len(self.shown("display(1)")), 1)

    def test_everything_for_cells_is_in_the_package(self):
        code = "import capsule_worker as c\nfrom capsule_worker import *\n[n for n in c.__all__ if not globals()[n]]"
        self.assertEqual(self.worker.run(code).result(), "[]")
        self.assertEqual(self.worker.run("from capsule_worker import nothing").ename, "ImportError")


class Figures(unittest.TestCase):
    PYPLOT = (
        "class Figure:\n"
        "    def __init__(self, number): self.number = number\n"
        "    def savefig(self, file, format, bbox_inches):\n"
        "        if self.number == 13: raise ValueError('cannot draw')\n"
        "        file.write(b'\\x89PNG %d' % self.number)\n"
        "figures = {}\n"
        "def figure(number): return figures.setdefault(number, Figure(number))\n"
        "def get_fignums(): return list(figures)\n"
        "def close(which): figures.clear()\n"
    )

    def test_left_open_are_shown_after_the_result_and_closed(self):
        with tempfile.TemporaryDirectory() as folder:
            os.mkdir(os.path.join(folder, "matplotlib"))
            for name, text in (("__init__", ""), ("pyplot", self.PYPLOT)):
                with open(os.path.join(folder, "matplotlib", name + ".py"), "w") as file:
                    file.write(text)
            with Worker(folder=folder) as worker:
                cell = worker.run(
                    "import os, matplotlib.pyplot as plt\nplt.figure(1)\nplt.figure(2)\nos.environ['MPLBACKEND']"
                )
                self.assertEqual([event[0] for event in cell.events], ["result", "display", "display"])
                images = [data(*frame)["image/png"] for frame in cell.emitted("display")]
                self.assertEqual((cell.result(), images), ("'agg'", [b"\x89PNG 1", b"\x89PNG 2"]))
                self.assertEqual(worker.run("pass").events, [])
                cell = worker.run("plt.figure(3)\n1 / 0")
                self.assertEqual((cell.ename, len(cell.emitted("display"))), ("ZeroDivisionError", 1))
                self.assertEqual(worker.run("plt.figure(13);").ename, "ValueError")
                cell = worker.run("plt.figure(13)\n1 / 0")
                self.assertEqual(cell.ename, "ZeroDivisionError")
                self.assertIn("cannot draw", cell.text("stderr"))
                self.assertEqual(worker.run("plt.figures").result(), "{}")
