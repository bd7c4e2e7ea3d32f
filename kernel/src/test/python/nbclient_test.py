"""nbclient, the executor of nbconvert and papermill, on notebooks made here; outputs are compared whole."""

import unittest

import nbclient
from kernels import KERNEL_NAME, is_first_warning
from nbformat import v4

LINE = "0123456789abcde" * 66 + "\n"
LINES = 5_000_000 // len(LINE) + 1


def executed(cells, **options):
    notebook = v4.new_notebook(cells=cells, metadata={"kernelspec": {"name": KERNEL_NAME, "display_name": "x"}})
    done = nbclient.NotebookClient(notebook, timeout=60, kernel_name=KERNEL_NAME, **options).execute()
    first = done.cells[0]
    first.outputs = [output for output in first.outputs if not is_first_warning(output)]
    return done


def stream(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": text}


def result(text, count):
    return {
        "output_type": "execute_result",
        "execution_count": count,
        "data": {"text/plain": text},
        "metadata": {},
    }


def error(name, value):
    return {"output_type": "error", "ename": name, "evalue": value}


def joined(outputs):
    """The outputs as they are compared: what was printed between two other outputs as one text for each stream (their
    two pipes have no common order), and an error without the text of its traceback."""
    whole, printed = [], {}
    for output in map(dict, outputs):
        if output["output_type"] == "stream":
            printed[output["name"]] = printed.get(output["name"], "") + output["text"]
            continue
        if output["output_type"] == "error":
            assert output["evalue"] in "".join(output.pop("traceback"))
        whole += _streams(printed) + [output]
        printed = {}
    return whole + _streams(printed)


def _streams(printed):
    return [stream(printed[name], name) for name in ("stdout", "stderr") if name in printed]


def cell(index):
    """The code of one of the 200 cells, and its outputs."""
    count = index + 1
    if index == 77:
        return f"for _ in range({LINES}):\n    print({LINE.strip()!r})", [stream(LINE * LINES)]
    if index == 111:
        return "input('who? ')", [
            error(
                "StdinNotImplementedError",
                "raw_input was called, but this frontend does not support input requests.",
            )
        ]
    kinds = [
        (f"x = {index}", []),
        (f"for i in range(3):\n    print(x, i)\nx + {index}", None),
        (f"raise ValueError('cell {index}')", [error("ValueError", f"cell {index}")]),
        (
            f"import sys\nprint('out {index}')\nprint('err {index}', file=sys.stderr)\nprint('more {index}')",
            [stream(f"out {index}\nmore {index}\n"), stream(f"err {index}\n", "stderr")],
        ),
        (f"{{'cell': {index}, 'text': 'é😀'}}", [result(f"{{'cell': {index}, 'text': 'é😀'}}", count)]),
    ]
    code, outputs = kinds[index % len(kinds)]
    if outputs is None:
        x = index - 1
        outputs = [stream("".join(f"{x} {i}\n" for i in range(3))), result(str(x + index), count)]
    return code, outputs


class Notebooks(unittest.TestCase):
    maxDiff = 4000

    def test_two_hundred_cells_have_exactly_their_outputs(self):
        cells = [cell(index) for index in range(200)]
        done = executed([v4.new_code_cell(code) for code, _ in cells], allow_errors=True)
        for index, ((code, outputs), ran) in enumerate(zip(cells, done.cells)):
            with self.subTest(cell=index, code=code[:60]):
                self.assertEqual(index + 1, ran.execution_count)
                if index == 111:
                    # Any wording will do that says what is missing.
                    self.assertEqual("StdinNotImplementedError", ran.outputs[0].ename)
                    self.assertRegex(ran.outputs[0].evalue, "input")
                    self.assertEqual(1, len(ran.outputs))
                else:
                    self.assertEqual(outputs, joined(ran.outputs))

    def test_an_error_ends_the_run_with_its_name_and_text(self):
        with self.assertRaises(nbclient.exceptions.CellExecutionError) as raised:
            executed([v4.new_code_cell("1"), v4.new_code_cell("1/0"), v4.new_code_cell("2")])
        self.assertEqual("ZeroDivisionError", raised.exception.ename)
        self.assertEqual("division by zero", raised.exception.evalue)

    def test_updates_of_a_display_reach_the_earlier_cell(self):
        done = executed(
            [
                v4.new_code_cell(
                    "from capsule_worker import display, update_display\nhandle = display('one', display_id='d')"
                ),
                v4.new_code_cell("update_display('two', display_id='d')"),
            ]
        )
        self.assertEqual(["'two'"], [output.data["text/plain"] for output in done.cells[0].outputs])
        self.assertEqual([], done.cells[1].outputs)

    def test_cleared_output_is_gone(self):
        done = executed(
            [
                v4.new_code_cell(
                    "from capsule_worker import clear_output\n"
                    "print('before')\nclear_output(wait=True)\nprint('after')"
                )
            ]
        )
        self.assertEqual([stream("after\n")], joined(done.cells[0].outputs))

    def test_language_of_the_notebook_is_the_kernels(self):
        done = executed([v4.new_code_cell("1")])
        language = done.metadata.language_info
        told = (language.name, language.file_extension, language.mimetype)
        self.assertEqual(("python", ".py", "text/x-python"), told)
