"""The IPython engine beside ipykernel: the same cells on both, and what the front end gets of them."""

import json
import os
import re
import tempfile
import unittest

from ipython_cells import CELLS, Asked, Differs, Timed
from jupyter_client.manager import KernelManager
from kernels import KERNEL_NAME, PATIENCE

# What is of the machine, of the moment, or of how the two shells are called.
_MOMENTARY = [
    (r"/tmp/ipykernel_\d+/\d+\.py|<cell-[0-9a-f]{8}>|<ipython-input-[^>]*>", "<cell>"),
    (r"/tmp/ipython_edit_\w+/|/tmp/ipython[\w-]*/", "<temporary>/"),
    (r"\((?:\d+\.py|Cell In\[\d+\]), line", "(<cell>, line"),
    (r"(?<=similar frames: deep at line 1 \()\d+ times", "<many> times"),
    (r"0x[0-9a-fA-F]+", "<address>"),
    (r"/home/user\b", "<home>"),
    (r"ipykernel\.zmqshell\.ZMQInteractiveShell|capsule_worker\.ipython\.shell\.Shell", "<shell>"),
    (r"\bZMQ(?=InteractiveShell|ExitAutocall)", ""),
    (r"(?:id=|uuid-|svg|#|\")[\w-]*[0-9a-f]{5,}[\w-]*", "<id>"),
    (r"\b\d{4}-\d\d-\d\dT[\d:.]+", "<time>"),
]
_OF_THE_CLOCK = r"[\d.]+(?:e[+-]?\d+)? *[nµum]?s\b|[\d.]+(?= *(?:ns|µs|us|ms|s)\b)|\d+(?:\.\d+)?"


class Session:
    """A kernel and its client, in a folder and a home of its own."""

    def __init__(self, kernel):
        self._folder = tempfile.TemporaryDirectory(prefix="capsule-cells-")
        self.home = os.path.join(self._folder.name, "home")
        self.work = os.path.join(self._folder.name, "work")
        os.mkdir(self.home)
        os.mkdir(self.work)
        self._manager = KernelManager(kernel_name=kernel)
        # Where none is set, ipykernel's cells use sh and ours bash, which word their errors differently.
        environment = {**os.environ, "HOME": self.home, "COLUMNS": "80", "SHELL": "/bin/bash"}
        for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "IPYTHONDIR"):
            environment.pop(name, None)
        # Its outputs are to be compared, so all of them leave.
        options = ["--engine", "ipython", "--profile", "open"] if kernel == KERNEL_NAME else []
        self._manager.start_kernel(env=environment, cwd=self.work, extra_arguments=options)
        self._client = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=PATIENCE)

    def run(self, code, answers):
        """(outputs, reply) of a cell."""
        answers = list(answers)
        asked = []
        outputs = []

        def answer(message):
            asked.append((message["content"]["prompt"], message["content"]["password"]))
            self._client.input(answers.pop(0) if answers else "")

        def take(message):
            if message["msg_type"] not in ("status", "execute_input"):
                outputs.append((message["msg_type"], message["content"]))

        reply = self._client.execute_interactive(
            code, allow_stdin=True, timeout=PATIENCE, output_hook=take, stdin_hook=answer
        )
        return outputs, reply["content"], asked

    def close(self):
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._folder.cleanup()


# On a busy machine, ipykernel tells of what a program has written with a later cell, and %timeit of a run that was slow. A
# difference is there each time.
_ATTEMPTS = 3


class Comparison(unittest.TestCase):
    maxDiff = None


def _normal(session, told, timed):
    """What was told of a cell, without what is of the machine and the moment."""
    outputs, reply, asked = told
    merged = []
    for kind, content in outputs:
        content = dict(content)
        if kind == "stream" and merged and merged[-1][0] == "stream" and merged[-1][1]["name"] == content["name"]:
            merged[-1][1]["text"] += content["text"]
        else:
            merged.append((kind, content))
    kept = {key: reply.get(key) for key in ("status", "execution_count", "payload", "ename", "evalue")}
    kept["payload"] = kept["payload"] or []
    text = json.dumps([merged, kept, asked], indent=1, sort_keys=True, ensure_ascii=False)
    text = text.replace("\\r\\n", "\\n").replace(session.work, "<work>").replace(session.home, "<home>")
    for pattern, name in _MOMENTARY:
        text = re.sub(pattern, name, text)
    return re.sub(_OF_THE_CLOCK, "<clock>", text) if timed else text


def _compare(ours, theirs, group, code, special):
    def test(self):
        answers = special.answers if isinstance(special, Asked) else ()
        timed = isinstance(special, (Timed, Asked))
        for _ in range(_ATTEMPTS):
            expected = _normal(theirs(), theirs().run(code, answers), timed)
            found = _normal(ours(), ours().run(code, answers), timed)
            if found == expected or isinstance(special, Differs):
                break
        if isinstance(special, Differs):
            self.assertNotEqual(found, expected, f"this reason holds no more: {special.reason}")
        else:
            self.assertEqual(found, expected, code)

    test.__doc__ = f"{group}: {code.splitlines()[0] if code else ''}"
    return test


def load_tests(loader, _tests, _pattern):
    sessions = {}

    def session(kernel):
        if kernel not in sessions:
            sessions[kernel] = Session(kernel)
        return sessions[kernel]

    class Cells(Comparison):
        @classmethod
        def tearDownClass(cls):
            for each in sessions.values():
                each.close()

    number = 0
    for group, cells in CELLS.items():
        for cell in cells:
            code, special = cell if isinstance(cell, tuple) else (cell, None)
            number += 1
            test = _compare(lambda: session(KERNEL_NAME), lambda: session("python3"), group, code, special)
            setattr(Cells, f"test_{number:03}_{group}", test)
    return loader.loadTestsFromTestCase(Cells)
