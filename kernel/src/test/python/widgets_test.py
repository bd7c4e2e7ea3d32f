"""Comms and ipywidgets: what a front end sends and gets, the same steps on this kernel and on ipykernel."""

import json
import os
import re
import unittest
from collections import defaultdict, deque

import nbclient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager
from kernels import KERNEL_NAME, PATIENCE
from nbformat import v4

# With ipywidgets and tqdm; made by WidgetsIT.
PYTHON = os.path.join(os.path.dirname(os.environ["CAPSULE_JAR"]), "widgets", "venv", "bin", "python")
WIDGETS = ["--python", PYTHON, "--engine", "ipython", "--profile", "open"]


class FrontEnd:
    """A kernel, and a client that knows the models which the kernel's widgets have opened, as JupyterLab does."""

    def __init__(self, *options, ipykernel=False):
        self._manager = KernelManager(kernel_name=KERNEL_NAME)
        if ipykernel:
            argv = [PYTHON, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            self._manager._kernel_spec = KernelSpec(argv=argv, interrupt_mode="message")
            options = []
        self._manager.start_kernel(extra_arguments=list(options))
        self.client = self._manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)
        # The state of each open model by its comm's id, and the requests in the order in which they were made.
        self.models = {}
        self.requests = []
        # What is published and not asked for yet, by its request.
        self._published = defaultdict(deque)

    def close(self):
        self.client.stop_channels()
        self._manager.shutdown_kernel(now=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # Requests

    def run(self, code):
        """What was published for a cell, without statuses."""
        return self.finish(self.client.execute(code))

    def send(self, msg_type, comm_id, data=None, buffers=None, metadata=None, subshell=None, **content):
        """Sends a message of a comm and returns its id."""
        content = {"comm_id": comm_id, "data": data or {}, **content}
        message = self.client.session.msg(msg_type, content, metadata=metadata)
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        self.client.session.send(self.client.shell_channel.socket, message, buffers=buffers)
        return message["header"]["msg_id"]

    def update(self, comm_id, subshell=None, **state):
        data = {"method": "update", "state": state, "buffer_paths": []}
        return self.finish(self.send("comm_msg", comm_id, data, subshell=subshell))

    def custom(self, comm_id, **content):
        return self.finish(self.send("comm_msg", comm_id, {"method": "custom", "content": content}))

    def click(self, comm_id):
        return self.custom(comm_id, event="click")

    def ask(self, msg_type, content, channel="shell", subshell=None):
        message = self.client.session.msg(msg_type, content)
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        self.client.session.send(getattr(self.client, channel + "_channel").socket, message)
        msg_id = message["header"]["msg_id"]
        reply = self._reply(msg_id, channel)
        self.finish(msg_id)
        return reply

    def comm_info(self, **content):
        return self.ask("comm_info_request", content)["content"]["comms"]

    def _reply(self, msg_id, channel):
        while True:
            reply = getattr(self.client, f"get_{channel}_msg")(timeout=PATIENCE)
            if reply["parent_header"].get("msg_id") == msg_id:
                return reply

    # What is published

    def until(self, msg_id, wanted):
        """What is published for a request, up to and including the first message that is wanted."""
        published = []
        while True:
            while self._published[msg_id]:
                published.append(self._published[msg_id].popleft())
                if wanted(published[-1]):
                    return published
            message = self.client.get_iopub_msg(timeout=PATIENCE)
            self._follow(message)
            self._published[message["parent_header"].get("msg_id")].append(message)

    def finish(self, msg_id):
        self.requests.append(msg_id)
        published = self.until(msg_id, lambda message: message["content"].get("execution_state") == "idle")
        assert published[0]["content"] == {"execution_state": "busy"}, published[0]
        return [message for message in published if message["msg_type"] not in ("status", "execute_input")]

    def _follow(self, message):
        content = message["content"]
        if message["msg_type"].startswith("comm_"):
            assert "data" in content, message
        if message["msg_type"] == "comm_open":
            assert message["metadata"] == {"version": "2.1.0"}, message
            self.models[content["comm_id"]] = content["data"]["state"]
        elif message["msg_type"] == "comm_msg" and content["data"].get("method") == "update":
            self.models[content["comm_id"]].update(content["data"]["state"])

    def model(self, name, number=-1):
        """The comm of the model of this name that was opened last."""
        return [comm_id for comm_id, state in self.models.items() if state.get("_model_name") == name][number]


def text(published, name="stdout"):
    return "".join(
        message["content"]["text"]
        for message in published
        if message["msg_type"] == "stream" and message["content"]["name"] == name
    )


def types(published):
    return [message["msg_type"] for message in published]


def updates(published, key):
    """The values that models were given for a key."""
    states = [message["content"]["data"].get("state", {}) for message in published if message["msg_type"] == "comm_msg"]
    return [state[key] for state in states if key in state]


class Steps:
    """What a person does with widgets. Each returns what was published for each request."""

    @staticmethod
    def slider(front):
        yield front.run(
            "import ipywidgets as w\ns = w.IntSlider(value=5, description='x')\n"
            "s.observe(lambda change: print('now', change['new']), 'value')\ndisplay(s)"
        )
        yield front.update(front.model("IntSliderModel"), value=7)
        yield front.run("s.value")
        yield front.run("s.value = 9")
        # Out of bounds: the front end is told what has become of it.
        yield front.update(front.model("IntSliderModel"), value=1000)

    @staticmethod
    def button(front):
        yield front.run(
            "b = w.Button(description='go')\nb.on_click(lambda _: (print('clicked'), display({'a': 1})))\nb"
        )
        yield front.click(front.model("ButtonModel"))
        yield front.click(front.model("ButtonModel"))
        yield front.run("b.close()")

    @staticmethod
    def output(front):
        yield front.run("out = w.Output()\nout")
        yield front.run("print('before')\nwith out:\n    print('inside')\n    display(1)\nprint('after')")
        yield front.run("with out:\n    1 / 0\nprint('goes on')")
        yield front.run("out.clear_output()")
        yield front.run("@out.capture()\ndef clicked(_):\n    print('captured')\nb = w.Button()\nb.on_click(clicked)")
        yield front.click(front.model("ButtonModel"))

    @staticmethod
    def interact(front):
        yield front.run("i = w.interact(lambda x: print(x * 2), x=(0, 10))")
        yield front.update(front.model("IntSliderModel"), value=4)
        yield front.run("@w.interact_manual(y='text')\ndef f(y):\n    return y.upper()")
        yield front.update(front.model("TextModel"), value="more")
        yield front.click(front.model("ButtonModel"))

    @staticmethod
    def links(front):
        yield front.run("a, b, c = w.IntText(1), w.IntText(2), w.IntText(3)\nl = w.link((a, 'value'), (b, 'value'))")
        yield front.run(
            "j = w.jslink((b, 'value'), (c, 'value'))\nd = w.dlink((c, 'value'), (a, 'value'), lambda v: -v)"
        )
        yield front.update(front.model("IntTextModel", -2), value=8)
        yield front.update(front.model("IntTextModel", -1), value=11)
        yield front.run("l.unlink(); a.value, b.value, c.value")

    @staticmethod
    def failure(front):
        yield front.run("b = w.Button()\nb.on_click(lambda _: [][0])\nb.on_click(lambda _: print('second'))")
        yield front.click(front.model("ButtonModel"))
        yield front.run("s = w.IntSlider()\ns.observe(lambda _: nowhere, 'value')")
        yield front.update(front.model("IntSliderModel"), value=1)

    @staticmethod
    def figures(front):
        yield front.run("%matplotlib inline\nimport matplotlib.pyplot as plt")
        yield front.run("b = w.Button()\nb.on_click(lambda _: plt.plot([1, 2]))")
        published = front.click(front.model("ButtonModel"))
        for message in published:
            # The same picture, but its bytes are of the moment.
            message["content"].get("data", {}).pop("image/png", None)
        yield published

    @staticmethod
    def tasks(front):
        yield front.run(
            "import asyncio\nasync def later():\n    await asyncio.sleep(0)\n    print('later')\n"
            "b = w.Button()\nb.on_click(lambda _: tasks.append(asyncio.create_task(later())))\ntasks = []"
        )
        front.click(front.model("ButtonModel"))
        # When it prints is the loop's matter; that it has run is not.
        front.run("await tasks[0]")
        yield front.run("tasks[0].done()")


class WithIpykernel(unittest.TestCase):
    """The same steps on both kernels: the same messages, in the same order, under the same parents."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.ours = FrontEnd(*WIDGETS)
        cls.addClassCleanup(cls.ours.close)
        cls.theirs = FrontEnd(ipykernel=True)
        cls.addClassCleanup(cls.theirs.close)
        for front in (cls.ours, cls.theirs):
            front.run("import ipywidgets as w")

    def assert_same(self, steps):
        told = []
        for front in (self.theirs, self.ours):
            front.models.clear()
            front.requests.clear()
            told.append(normal(front, list(steps(front))))
        self.assertEqual(told[0], told[1])
        self.assertTrue(any(told[1]), "nothing was published, so nothing was compared")

    def test_slider(self):
        self.assert_same(Steps.slider)

    def test_button(self):
        self.assert_same(Steps.button)

    def test_output(self):
        self.assert_same(Steps.output)

    def test_interact(self):
        self.assert_same(Steps.interact)

    def test_links(self):
        self.assert_same(Steps.links)

    def test_failure(self):
        self.assert_same(Steps.failure)

    def test_figures(self):
        self.assert_same(Steps.figures)

    def test_tasks(self):
        self.assert_same(Steps.tasks)


def normal(front, steps):
    """What was published, a line for each message, without what is of the machine and the moment."""
    ids = {msg_id: f"request {number}" for number, msg_id in enumerate(front.requests)}
    ids.update((comm_id, f"comm {number}") for number, comm_id in enumerate(front.models))
    lines = []
    for number, published in enumerate(steps):
        lines.append(f"step {number}")
        for message in published:
            content = dict(message["content"])
            if content.get("target_module", "") is None:
                # Only ipykernel says that there is none.
                del content["target_module"]
            if message["msg_type"] == "error":
                content["traceback"] = content["traceback"][-1]
            if lines[-1].startswith("stream") and message["msg_type"] == "stream":
                # One text may come in pieces.
                before = json.loads(lines[-1].partition(" ")[2])
                if before["name"] == content["name"]:
                    lines.pop()
                    content["text"] = before["text"] + content["text"]
            lines.append(f"{message['msg_type']} {json.dumps(content, sort_keys=True)}")
            if message["buffers"]:
                lines.append(f"buffers {[bytes(buffer) for buffer in message['buffers']]}")
    whole = "\n".join(lines)
    for one, name in ids.items():
        whole = whole.replace(one, name)
    whole = re.sub(r"0x[0-9a-f]+", "<address>", whole)
    return re.sub(r"request \d+(?=[^\n]*\"msg_id\")|(?<=\"msg_id\": \")[^\"]+", "<a request>", whole).splitlines()


class Widgets(unittest.TestCase):
    """What is ours to decide."""

    def setUp(self):
        cls = type(self)
        if not hasattr(cls, "front"):
            cls.front = FrontEnd(*WIDGETS)
            cls.addClassCleanup(cls.front.close)
            cls.front.run("import ipywidgets as w")

    def test_output_of_a_callback_is_under_its_message(self):
        self.front.run("b = w.Button()\nb.on_click(lambda _: print('clicked'))")
        self.assertEqual("clicked\n", text(self.front.click(self.front.model("ButtonModel"))))

    def test_output_widget_has_the_id_of_what_it_captures(self):
        self.front.run("out = w.Output()")
        msg_id = self.front.client.execute("with out:\n    print('inside')")
        published = self.front.finish(msg_id)
        self.assertEqual(["comm_msg", "stream", "comm_msg"], types(published))
        self.assertEqual([msg_id, ""], updates(published, "msg_id"))
        # In a callback, that of its message.
        self.front.run("@out.capture()\ndef clicked(_):\n    print('captured')\nb = w.Button()\nb.on_click(clicked)")
        data = {"method": "custom", "content": {"event": "click"}}
        msg_id = self.front.send("comm_msg", self.front.model("ButtonModel"), data)
        published = self.front.finish(msg_id)
        self.assertEqual([msg_id, ""], updates(published, "msg_id"))
        self.assertEqual(["comm_msg", "stream", "comm_msg"], types(published))

    def test_tqdm(self):
        published = self.front.run("from tqdm.notebook import tqdm\nfor _ in tqdm(range(3)): pass")
        self.assertIn("display_data", types(published))
        bar = self.front.models[self.front.model("FloatProgressModel")]
        self.assertEqual((3.0, 3.0, "success"), (bar["value"], bar["max"], bar["bar_style"]))
        # It is for notebooks, where the other draws one of characters.
        self.assertEqual("", text(published, "stderr"))

    def test_libraries_that_look_for_ipykernel(self):
        """tqdm.auto drew a bar of characters, and rich took this for a terminal."""
        published = self.front.run("from tqdm.auto import tqdm\nfor _ in tqdm(range(3)): pass")
        self.assertIn("display_data", types(published))
        said = "type(get_ipython()).__name__, 'IPKernelApp' in get_ipython().config, type(get_ipython()).__mro__[1].__name__"
        [shown] = self.front.run(said)
        self.assertEqual(
            "('ZMQInteractiveShell', True, 'InteractiveShell')", shown["content"]["data"]["text/plain"]
        )

    ECHO = (
        "def opened(comm, message):\n"
        "    def echo(message):\n"
        "        comm.send(message['content']['data'], message['metadata'], message['buffers'])\n"
        "    comm.on_msg(echo)\n"
        "get_ipython().kernel.comm_manager.register_target('echo', opened)"
    )

    def test_large_buffers_there_and_back(self):
        self.front.run(self.ECHO)
        self.assertEqual([], self.front.finish(self.front.send("comm_open", "echo-1", target_name="echo")))
        buffers = [os.urandom(10 << 20), b"", b"\x00\xff", bytes(range(256)) * 5000]
        data = {"text": "\u00fc\U0001f600\u0000", "deep": [{"a": None}, 1e-300, 2**53]}
        msg_id = self.front.send("comm_msg", "echo-1", data, buffers, {"version": "x", "own": [1]})
        [back] = self.front.finish(msg_id)
        self.assertEqual("comm_msg", back["msg_type"])
        self.assertEqual({"comm_id": "echo-1", "data": data}, back["content"])
        self.assertEqual({"version": "x", "own": [1]}, back["metadata"])
        self.assertEqual(buffers, [bytes(buffer) for buffer in back["buffers"]])
        self.assertEqual([], self.front.finish(self.front.send("comm_close", "echo-1")))

    def test_a_widget_of_a_large_array(self):
        self.front.run(
            "import numpy, traitlets\n"
            "class Array(w.DOMWidget):\n"
            "    data = traitlets.Any().tag(sync=True)\n"
            "    _model_name = traitlets.Unicode('ArrayModel').tag(sync=True)\n"
            "a = Array(data=memoryview(numpy.arange(1_250_000, dtype='f8')))"
        )
        data = {"method": "update", "state": {}, "buffer_paths": [["data"]]}
        sent = os.urandom(10_000_000)
        self.front.finish(self.front.send("comm_msg", self.front.model("ArrayModel"), data, [sent]))
        [message] = self.front.run("bytes(a.data[:4]) == a.data[:4], len(a.data), a.send_state('data')")[:1]
        self.assertEqual(sent, bytes(message["buffers"][0]))

    def test_too_large_a_message_is_an_error_of_its_cell(self):
        [error] = self.front.run("w.IntSlider().send({}, [bytes(65 << 20)])")[-1:]
        self.assertEqual("FrameTooLarge", error["content"]["ename"])
        self.assertIn("limit of 67,108,864 bytes", error["content"]["evalue"])
        self.assertEqual("3\n", text(self.front.run("print(3)")))

    def test_list_of_comms(self):
        self.front.run(self.ECHO)
        self.front.run("only = w.IntText()")
        made = self.front.model("IntTextModel")
        self.front.finish(self.front.send("comm_open", "echo-2", target_name="echo"))
        everything = self.front.comm_info()
        self.assertEqual({"target_name": "jupyter.widget"}, everything[made])
        self.assertEqual({"target_name": "echo"}, everything["echo-2"])
        self.assertEqual({"echo-2": {"target_name": "echo"}}, self.front.comm_info(target_name="echo"))
        self.front.finish(self.front.send("comm_close", "echo-2"))
        self.front.run("only.close()")
        self.assertEqual({}, self.front.comm_info(target_name="echo"))
        self.assertNotIn(made, self.front.comm_info())

    def test_list_of_comms_while_a_cell_runs(self):
        self.front.run("shown = w.IntText()")
        running = self.front.client.execute("print('begun')\nwhile True: pass")
        self.front.until(running, lambda message: message["msg_type"] == "stream")
        comms = self.front.ask("comm_info_request", {}, "control")["content"]["comms"]
        self.assertIn(self.front.model("IntTextModel"), comms)
        self.front.ask("interrupt_request", {}, "control")
        self.front.until(running, lambda message: message["content"].get("execution_state") == "idle")

    def test_a_slider_in_a_subshell_while_a_cell_runs(self):
        # As JupyterLab does: one subshell for all comms of a target.
        front = self.front
        subshell = front.ask("create_subshell_request", {}, channel="control")["content"]["subshell_id"]
        front.run(
            "import ipywidgets as w, threading\nmoved, end = threading.Event(), threading.Event()\n"
            "s = w.IntSlider(value=5)\ndouble = w.IntText()\n"
            "def change(c):\n  double.value = 2 * c['new']\n  print('now', c['new'], flush=True)\n  moved.set()\n"
            "s.observe(change, 'value')\ndisplay(s, double)"
        )
        cell = front.client.execute(
            "print('running', flush=True)\nwhile not moved.wait(0.01): pass\nprint('saw', s.value, flush=True)\n"
            "while not end.wait(0.01): pass\ns.value"
        )
        front.until(cell, lambda message: message["msg_type"] == "stream")
        moved = front.update(front.model("IntSliderModel"), subshell=subshell, value=7)
        self.assertEqual("now 7\n", text(moved))
        self.assertIn(14, updates(moved, "value"))
        front.until(cell, lambda message: "saw 7" in message["content"].get("text", ""))
        comms = front.ask("comm_info_request", {"target_name": "jupyter.widget"}, subshell=subshell)
        self.assertIn(front.model("IntSliderModel"), comms["content"]["comms"])
        front.finish(self.end_beside(subshell))
        rest = front.until(cell, lambda message: message["content"].get("execution_state") == "idle")
        self.assertIn("execute_result", types(rest))

    def end_beside(self, subshell):
        message = self.front.client.session.msg("execute_request", {"code": "end.set()", "silent": True})
        message["header"]["subshell_id"] = subshell
        self.front.client.session.send(self.front.client.shell_channel.socket, message)
        return message["header"]["msg_id"]

    def test_unknown_target(self):
        published = self.front.finish(self.front.send("comm_open", "c-unknown", target_name="nobody's"))
        self.assertEqual(["comm_close"], types(published))
        self.assertEqual({"comm_id": "c-unknown", "data": {}}, published[0]["content"])
        self.assertNotIn("c-unknown", self.front.comm_info())

    def test_unknown_comm(self):
        self.assertEqual([], self.front.finish(self.front.send("comm_msg", "c-never", {"a": 1})))
        self.assertEqual([], self.front.finish(self.front.send("comm_close", "c-never")))

    def test_failure_of_a_handler(self):
        self.front.run(
            "def fails(comm, message):\n    if message['content']['data']: raise KeyError('opened')\n"
            "    comm.on_msg(lambda message: {}['said'])\n"
            "get_ipython().kernel.comm_manager.register_target('fails', fails)"
        )
        published = self.front.finish(self.front.send("comm_open", "f-1", {"now": 1}, target_name="fails"))
        self.assertEqual(["comm_close", "error"], types(published))
        self.assertEqual([], self.front.finish(self.front.send("comm_open", "f-2", target_name="fails")))
        [error] = self.front.finish(self.front.send("comm_msg", "f-2", {}))
        self.assertEqual(("KeyError", "'said'"), (error["content"]["ename"], error["content"]["evalue"]))

    def test_interrupt_of_a_callback(self):
        self.front.run("kept = 5\nb = w.Button()\n@b.on_click\ndef hang(_):\n    print('begun')\n    while True: pass")
        data = {"method": "custom", "content": {"event": "click"}}
        msg_id = self.front.send("comm_msg", self.front.model("ButtonModel"), data)
        self.front.until(msg_id, lambda message: message["msg_type"] == "stream")
        self.front.ask("interrupt_request", {}, "control")
        # It may have begun with the end already.
        rest = self.front.until(msg_id, lambda message: message["content"].get("execution_state") == "idle")
        self.assertEqual(["KeyboardInterrupt"], [m["content"]["ename"] for m in rest if m["msg_type"] == "error"])
        self.assertEqual("5\n", text(self.front.run("print(kept)")))

    def test_a_hundred_messages_in_a_row(self):
        self.front.run("moved = []\ns = w.IntSlider()\ns.observe(lambda change: moved.append(change['new']), 'value')")
        slider = self.front.model("IntSliderModel")
        last = [
            self.front.send("comm_msg", slider, {"method": "update", "state": {"value": value}, "buffer_paths": []})
            for value in range(1, 101)
        ][-1]
        self.front.finish(last)
        self.assertEqual("True\n", text(self.front.run("print(moved == list(range(1, 101)))")))


class Apart(unittest.TestCase):
    """With a kernel of their own."""

    def test_profile_without_comms(self):
        with FrontEnd("--python", PYTHON, "--engine", "ipython") as front:
            how = "by the profile \"default\"; capsule install --profile open gives a kernel that allows it]"
            published = front.run("import ipywidgets as w\ns = w.IntSlider(value=5)\nt = w.IntText()\nprint('on')")
            self.assertEqual(["stream", "stream"], types(published))
            self.assertEqual("on\n", text(published))
            self.assertEqual(f"[Capsule: the comm jupyter.widget is withheld {how}\n", text(published, "stderr"))
            # What is shown has the same note, and then one is enough.
            [shown] = front.run("w.IntSlider(value=6)")
            plain = shown["content"]["data"]
            self.assertEqual(["text/plain"], list(plain))
            note = "IntSlider(value=6)\n[Capsule: application/vnd.jupyter.widget-view+json is"
            self.assertIn(note, plain["text/plain"])
            self.assertIn(how, plain["text/plain"])
            self.assertEqual([], front.run("s.value = 7"))
            # Who chooses between a widget and text takes text.
            published = front.run("from tqdm.auto import tqdm\nfor _ in tqdm(range(3)): pass")
            self.assertIn("3/3", text(published, "stderr"))
            self.assertEqual({}, front.comm_info())
            published = front.finish(front.send("comm_open", "c-1", target_name="jupyter.widget.control"))
            self.assertEqual(["comm_close"], types(published))

    def test_comms_after_a_revival(self):
        with FrontEnd(*WIDGETS) as front:
            front.run("import ipywidgets as w, os\ns = w.IntSlider(value=3)")
            before = front.comm_info()
            front.run("t = w.IntText()\nos._exit(3)")
            self.assertEqual(before, front.comm_info())
            front.update(front.model("IntSliderModel"), value=8)
            self.assertEqual("8\n", text(front.run("print(s.value)")))

    def test_callback_that_ends_the_process(self):
        with FrontEnd(*WIDGETS) as front:
            front.run("import ipywidgets as w, os\nb = w.Button()\nb.on_click(lambda _: os._exit(3))\nkept = 1")
            [error] = front.click(front.model("ButtonModel"))
            self.assertIn("while it handled a message to a widget", error["content"]["evalue"])
            published = front.run("print(kept)")
            self.assertEqual("1\n", text(published))
            # Nobody looks at what comes of a comm, so the next cell says it.
            self.assertIn("while it handled a message to a widget", text(published, "stderr"))

    def test_callback_that_does_not_end(self):
        with FrontEnd(*WIDGETS) as front:
            front.run(
                "import ipywidgets as w, signal\nb = w.Button()\nkept = 1\n@b.on_click\ndef hang(_):\n"
                "    signal.signal(signal.SIGINT, signal.SIG_IGN)\n    print('begun')\n    while True: pass"
            )
            data = {"method": "custom", "content": {"event": "click"}}
            msg_id = front.send("comm_msg", front.model("ButtonModel"), data)
            front.until(msg_id, lambda message: message["msg_type"] == "stream")
            front.ask("interrupt_request", {}, "control")
            rest = front.until(msg_id, lambda message: message["content"].get("execution_state") == "idle")
            [told] = [message["content"]["evalue"] for message in rest if message["msg_type"] == "error"]
            self.assertIn("the message to a widget did not stop within 5 s of the interrupt", told)
            self.assertEqual("1\n", text(front.run("print(kept)")))

    def test_without_the_ipython_engine(self):
        with FrontEnd("--python", PYTHON, "--engine", "plain", "--profile", "open") as front:
            front.run(
                "import comm\n"
                "c = comm.create_comm(target_name='own', data={'state': {}}, metadata={'version': '2.1.0'})\n"
                "c.on_msg(lambda message: (print(message['content']['data']), c.send({'a': 1}, buffers=[b'xy'])))"
            )
            [comm_id] = front.comm_info()
            said, back = front.finish(front.send("comm_msg", comm_id, {"b": 2}))
            self.assertEqual("{'b': 2}\n", said["content"]["text"])
            self.assertEqual([b"xy"], [bytes(buffer) for buffer in back["buffers"]])
            front.run("import ipywidgets\ns = ipywidgets.IntSlider()")
            front.run("s.observe(lambda change: print(change.new), 'value')")
            self.assertEqual("4\n", text(front.update(front.model("IntSliderModel"), value=4)))

    def test_where_a_cell_imports_ipykernel(self):
        # Older ones have comms of their own, which widgets then use.
        with FrontEnd(*WIDGETS) as front:
            front.run("import ipykernel.comm, ipywidgets as w\ns = w.IntSlider(value=3)")
            front.run("s.observe(lambda change: print(change.new), 'value')")
            self.assertEqual("8\n", text(front.update(front.model("IntSliderModel"), value=8)))
            front.run("c = ipykernel.comm.Comm(target_name='x', data={'state': {}}, metadata={'version': '2.1.0'})")
            self.assertEqual(1, len(front.comm_info(target_name="x")))

    def test_state_in_a_saved_notebook(self):
        cells = [
            "import ipywidgets as w\nfrom tqdm.notebook import tqdm\ns = w.IntSlider(value=5)\ns",
            "s.value = 41\nfor _ in tqdm(range(2)): pass",
            "out = w.Output()\ndisplay(out)\nwith out:\n    print('inside')\nprint('outside')",
        ]
        notebook = v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in cells])
        client = nbclient.NotebookClient(notebook, kernel_name=KERNEL_NAME, timeout=PATIENCE, extra_arguments=WIDGETS)
        done = client.execute()
        state = done.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"].values()
        by_name = {model["model_name"]: model["state"] for model in state}
        self.assertEqual(41, by_name["IntSliderModel"]["value"])
        self.assertEqual(2.0, by_name["FloatProgressModel"]["value"])
        self.assertEqual(
            [{"output_type": "stream", "name": "stdout", "text": "inside\n"}], by_name["OutputModel"]["outputs"]
        )
        self.assertEqual("outside\n", done.cells[2].outputs[-1].text)
