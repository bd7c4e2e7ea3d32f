"""The notebooks of the project, executed by nbconvert, have the outputs that are stored in them.

What differs from run to run is said by the cell itself, in its metadata: `"capsule": {"volatile": ["REGEX", …]}`.
Where one of these matches in a text, of either side, the matched text is not compared.
"""

import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import nbconvert  # noqa: F401  The program is started below; without its package it cannot be.
import nbformat
from kernels import KERNEL_NAME

NOTEBOOKS = Path(__file__).resolve().parents[4] / "notebooks"


def execute(path, into, *options):
    """Runs nbconvert as a person would."""
    return subprocess.run(
        ["/usr/bin/jupyter", "nbconvert", "--to", "notebook", "--execute", "--output-dir", str(into)]
        + [f"--ExecutePreprocessor.kernel_name={KERNEL_NAME}", "--ExecutePreprocessor.timeout=60", *options, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=110,
    )


def comparable(cell):
    """The outputs of a cell with adjacent pieces of a stream joined and what is volatile replaced."""
    joined = []
    for output in cell.outputs:
        last = joined[-1] if joined else None
        if output.output_type == "stream" and last and (last.output_type, last.get("name")) == ("stream", output.name):
            last["text"] += output.text
        else:
            joined.append(nbformat.from_dict(output))
    return _masked(joined, cell.metadata.get("capsule", {}).get("volatile", []))


def _masked(value, patterns):
    if isinstance(value, str):
        for pattern in patterns:
            value = re.sub(pattern, "…", value)
        return value
    if isinstance(value, dict):
        return {key: _masked(each, patterns) for key, each in value.items()}
    if isinstance(value, list):
        return [_masked(each, patterns) for each in value]
    return value


class Notebooks(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)

    def check(self, path):
        stored = nbformat.read(path, 4)
        nbformat.validate(stored)
        done = execute(path, self.directory)
        self.assertEqual(0, done.returncode, done.stdout)
        ran = nbformat.read(self.directory / path.name, 4)
        self.assertEqual(len(stored.cells), len(ran.cells))
        compared = 0
        for index, (before, after) in enumerate(zip(stored.cells, ran.cells)):
            if before.cell_type == "code":
                with self.subTest(cell=index, code=before.source[:80]):
                    self.assertEqual(comparable(before), comparable(after))
                    self.assertEqual(before.execution_count, after.execution_count)
                compared += len(before.outputs)
        self.assertGreater(compared, 0, "a notebook without a stored output shows nothing")
        self.assertEqual(KERNEL_NAME, stored.metadata.kernelspec.name)

    def test_there_are_notebooks(self):
        names = {path.name for path in NOTEBOOKS.glob("*.ipynb")}
        self.assertLessEqual({"tour.ipynb", "async.ipynb", "ipython.ipynb", "streams-and-input.ipynb", "survive.ipynb"}, names)

    def test_an_unreadable_notebook_is_named(self):
        broken = self.directory / "broken.ipynb"
        broken.write_text('{"cells": [')
        (self.directory / "out").mkdir()
        done = execute(broken, self.directory / "out")
        self.assertNotEqual(0, done.returncode)
        self.assertIn("broken.ipynb", done.stdout)
        self.assertIn("does not appear to be JSON", done.stdout)
        self.assertEqual('{"cells": [', broken.read_text())
        self.assertEqual([], os.listdir(self.directory / "out"))

    def test_an_error_ends_nbconvert_with_its_traceback(self):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1/0")])
        path = self.directory / "fails.ipynb"
        nbformat.write(notebook, path)
        done = execute(path, self.directory)
        self.assertEqual(1, done.returncode)
        self.assertIn("ZeroDivisionError: division by zero", done.stdout)
        allowed = execute(path, self.directory, "--allow-errors", "--output", "allowed")
        self.assertEqual(0, allowed.returncode, allowed.stdout)
        ran = nbformat.read(self.directory / "allowed.ipynb", 4)
        self.assertEqual("ZeroDivisionError", ran.cells[0].outputs[0].ename)


def _test_of(path):
    return lambda self: self.check(path)


for notebook in sorted(NOTEBOOKS.glob("*.ipynb")):
    setattr(Notebooks, f"test_{notebook.stem.replace('-', '_')}", _test_of(notebook))
