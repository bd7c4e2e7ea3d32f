"""Comms: messages of a front end to code of cells, and back."""

import json
import os
import signal
import tempfile
import unittest

from .client import PACKAGE, Worker

# A target that sends back what it gets.
_ECHO = """
from capsule_worker import comms
def opened(comm, message):
    print('opened', message['content']['data'], message['metadata'])
    comm.on_msg(lambda message: comm.send(message['content']['data'], message['metadata'], message['buffers']))
    comm.on_close(lambda message: print('closed'))
comms.kernel().comm_manager.register_target('echo', opened)
"""


class Comms(unittest.TestCase):
    def setUp(self):
        self.worker = Worker()
        self.addCleanup(self.worker.close)

    def run_cell(self, code, **options):
        cell = self.worker.run(code, **options)
        self.assertTrue(cell.ok, cell.header)
        return cell

    def start(self, kind, content, metadata=None, buffers=(), request="r1"):
        self.worker.count += 1
        promise = f"c{self.worker.count}"
        header = {"open": "comm", "id": promise, "kind": kind, "request": request}
        parts = [json.dumps(part).encode() for part in (content, metadata or {})]
        self.worker.send(self.worker.requests, header, *parts, *buffers)
        return promise

    def handle(self, *args, **options):
        return self.worker.finish(self.start(*args, **options))

    def open(self, target, comm_id="c", **data):
        return self.handle("open", {"comm_id": comm_id, "target_name": target, "data": data})

    def said(self, cell):
        """Each message of a comm as (kind, id, data, metadata, buffers)."""
        return [
            (header["kind"], header["comm_id"], json.loads(data), json.loads(metadata), buffers)
            for header, (data, metadata, *buffers) in cell.emitted("comm")
        ]

    def test_there_and_back(self):
        self.run_cell(_ECHO)
        opened = self.handle("open", {"comm_id": "c", "target_name": "echo", "data": {"a": 1}}, {"version": "2.1.0"})
        self.assertTrue(opened.ok, opened.header)
        self.assertEqual("opened {'a': 1} {'version': '2.1.0'}\n", opened.text())
        buffers = [bytes(range(256)) * 40_000, b"", b"\xff"]
        back = self.handle("msg", {"comm_id": "c", "data": {"\u00fc": [1.5, None]}}, {"m": 2}, buffers)
        self.assertEqual([("msg", "c", {"\u00fc": [1.5, None]}, {"m": 2}, buffers)], self.said(back))
        [(header, _)] = back.emitted("comm")
        # It waits until the kernel has it, so that nothing printed later overtakes it.
        self.assertTrue(header["ack"])
        closed = self.handle("close", {"comm_id": "c", "data": {}})
        self.assertEqual("closed\n", closed.text())
        self.assertEqual([], self.said(self.handle("msg", {"comm_id": "c", "data": {}})))

    def test_opened_by_a_cell(self):
        code = "c = comms.Comm('mine', data={'x': float('nan')}, metadata={'version': '1'}, buffers=[b'ab'])"
        cell = self.run_cell(f"from capsule_worker import comms\n{code}\nc.close()\nc.close()\nc.comm_id")
        comm_id = cell.result().strip("'")
        self.assertEqual(
            [("open", comm_id, {"x": None}, {"version": "1"}, [b"ab"]), ("close", comm_id, {}, {}, [])], self.said(cell)
        )
        opened, closed = [header for header, _ in cell.emitted("comm")]
        self.assertEqual("mine", opened["target_name"])
        # A finalizer may close one in the midst of anything, where it must not wait.
        self.assertNotIn("ack", closed)

    def test_buffers_of_every_kind(self):
        code = (
            "import array\nfrom capsule_worker import comms\nc = comms.Comm('t')\n"
            "view = memoryview(bytes(range(8)))\n"
            "c.send({}, buffers=[bytearray(b'a'), view[::2], array.array('h', [1]), view.cast('B', (2, 4)), view[:0]])"
        )
        [_, (_, _, _, _, buffers)] = self.said(self.run_cell(code))
        self.assertEqual([b"a", b"\x00\x02\x04\x06", b"\x01\x00", bytes(range(8)), b""], buffers)

    def test_unknown_target_is_closed(self):
        cell = self.open("nobody's")
        self.assertTrue(cell.ok, cell.header)
        self.assertEqual([("close", "c", {}, {}, [])], self.said(cell))

    def test_a_target_that_fails_is_closed(self):
        self.run_cell(_ECHO + "comms.kernel().comm_manager.register_target('fails', lambda comm, message: 1 / 0)")
        cell = self.open("fails")
        self.assertEqual("ZeroDivisionError", cell.ename)
        self.assertEqual([("close", "c", {}, {}, [])], self.said(cell))
        self.assertEqual([], self.said(self.handle("msg", {"comm_id": "c", "data": {}})))

    def test_content_that_is_no_json_is_an_error_and_no_end(self):
        header = {"open": "comm", "id": "bad", "kind": "msg", "request": "r"}
        self.worker.send(self.worker.requests, header, b"{\xff", b"{}")
        self.assertFalse(self.worker.finish("bad").ok)
        self.run_cell("1")

    def test_output_and_request_are_those_of_the_message(self):
        self.run_cell(
            _ECHO + "def opened(comm, message):\n"
            "    comm.on_msg(lambda _: (print('said'), display(2), print(comms.parent()['header'])))\n"
            "    print(message['header'])\n"
            "comms.kernel().comm_manager.register_target('shows', opened)",
            request="cell-1",
        )
        self.assertEqual("{'msg_id': 'r1', 'msg_type': 'comm_open'}\n", self.open("shows").text())
        promise = self.start("msg", {"comm_id": "c", "data": {}}, request="r2")
        cell = self.worker.finish(promise)
        self.assertEqual(["stdout", "display", "stdout"], [event[0] for event in cell.events])
        self.assertEqual(promise, cell.emitted("display")[0][0]["id"])
        self.assertIn("{'msg_id': 'r2', 'msg_type': 'comm_msg'}", cell.text())
        shown = self.run_cell("print(comms.parent()['header'])", request="cell-2")
        self.assertEqual("{'msg_id': 'cell-2', 'msg_type': 'execute_request'}\n", shown.text())

    def test_a_thread_belongs_to_the_message_that_started_it(self):
        self.run_cell(
            _ECHO + "import threading\ngo = threading.Event()\n"
            "def late():\n    go.wait()\n    comms.Comm('late')\n    print(comms.parent()['header']['msg_id'])\n"
            "def opened(comm, message):\n    global thread\n    thread = threading.Thread(target=late)\n"
            "    thread.start()\n"
            "comms.kernel().comm_manager.register_target('starts', opened)"
        )
        promise = self.start("open", {"comm_id": "c", "target_name": "starts", "data": {}})
        self.worker.finish(promise)
        cell = self.run_cell("go.set()\nthread.join()")
        self.assertEqual([promise], [header["id"] for header, _ in cell.emitted("comm")])
        late = [(header["id"], buffers) for header, buffers in cell.emitted("stream")]
        self.assertEqual([(promise, [b"r1\n"])], late)

    def test_interrupt(self):
        self.run_cell(_ECHO + "def hang(comm, message):\n    print('begun')\n    while True: pass\nx = 5")
        self.run_cell("comms.kernel().comm_manager.register_target('hangs', hang)")
        promise = self.start("open", {"comm_id": "c", "target_name": "hangs", "data": {}})
        self.worker.until_text("begun\n")
        self.worker.signal("cancel", id=promise)
        cell = self.worker.finish(promise)
        self.assertEqual("KeyboardInterrupt", cell.ename)
        self.assertEqual("5", self.run_cell("x").result())

    def test_handlers_may_make_tasks(self):
        self.run_cell(
            _ECHO + "import asyncio\nasync def task():\n    print('task')\ntasks = []\n"
            "comms.kernel().comm_manager.register_target('t', lambda *_: tasks.append(asyncio.create_task(task())))"
        )
        self.assertTrue(self.open("t").ok)
        self.assertEqual("True", self.run_cell("await tasks[0]\ntasks[0].done()").result())

    def test_packages_that_others_look_into(self):
        """A package `comm` gets our functions; a file of somebody's with that name is left alone."""
        self.run_cell(
            "import sys, types, importlib.abc, importlib.machinery\n"
            "class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            "        if name == 'comm': return importlib.machinery.ModuleSpec(name, self)\n"
            "    def exec_module(self, module):\n"
            "        if theirs: module.get_comm_manager = module.create_comm = None\n"
            "theirs = False\nsys.meta_path.append(Finder())"
        )
        self.assertEqual("False", self.run_cell("import comm\nhasattr(comm, 'create_comm')").result())
        worker, self.worker = self.worker, Worker()
        self.addCleanup(self.worker.close)
        del worker
        self.run_cell(
            "import sys, importlib.abc, importlib.machinery\n"
            "class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            "        if name == 'comm': return importlib.machinery.ModuleSpec(name, self)\n"
            "    def exec_module(self, module): module.get_comm_manager = module.create_comm = None\n"
            "sys.meta_path.insert(sys.meta_path.index(next(f for f in sys.meta_path if hasattr(f, 'when_loaded'))) + 1,"
            " Finder())"
        )
        cell = self.run_cell("import comm\nc = comm.create_comm(target_name='t')")
        self.assertEqual("True", self.run_cell("c.comm_id in comm.get_comm_manager().comms").result())
        self.assertEqual(["open"], [kind for kind, *_ in self.said(cell)])

    def test_a_folder_of_the_notebook_may_have_the_name_of_a_package_that_is_not_there(self):
        """A folder without __init__.py has no loader, which its import failed for: 'NoneType' object has no attribute
        'exec_module'.
        """
        with tempfile.TemporaryDirectory() as folder:
            os.mkdir(os.path.join(folder, "comm"))
            with open(os.path.join(folder, "comm", "utils.py"), "w") as file:
                file.write("answer = 42")
            # Without the packages of the site, among which there may be one of that name.
            with Worker(folder=folder, arguments=["-S", PACKAGE + "/__main__.py"], environment={"CAPSULE_ENGINE": "plain"}) as worker:
                cell = worker.run("from comm import utils\nutils.answer")
                self.assertEqual("42", cell.result(), cell.header)


class Revival(unittest.TestCase):
    def test_a_process_that_was_woken_says_which_comms_it_has(self):
        with Worker(supervised=True) as worker:
            first = worker.start("from capsule_worker import comms\nkept = comms.Comm('t', comm_id='kept')")
            worker.finish(first)
            pid = worker.kept(first)
            worker.run("lost = comms.Comm('t', comm_id='lost')")
            worker.order(worker.hello["pid"], signal.SIGKILL)
            worker.died(worker.hello["pid"])
            worker.wake(pid)
            revived = [event[1] for event in worker.events if event[0] == "revived"]
            self.assertEqual([{"kept": "t"}], [header["comms"] for header in revived])


if __name__ == "__main__":
    unittest.main()
