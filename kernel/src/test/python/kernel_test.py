"""The public suite of kernel tests, with every one of its attributes set so that it skips nothing, and the test of
`iopub_welcome` that Debian's version of it does not have."""

import os
import tempfile

import jupyter_kernel_test
from jupyter_client.manager import start_new_kernel
from kernels import KERNEL_NAME
from wire import KernelCase


class PublicSuite(jupyter_kernel_test.KernelTests):
    kernel_name = KERNEL_NAME
    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('oh dear', file=sys.stderr)"
    completion_samples = [
        {"text": "zi", "matches": {"zip"}},
        {"text": "x = isinst", "matches": {"isinstance"}},
        {"text": "from colle", "matches": {"collections"}},
    ]
    complete_code_samples = ["1", "print('hello, world')", "def f(x):\n  return x*2\n\n\n", "await later()", "x = 1\n"]
    incomplete_code_samples = ["print('''hello", "def f(x):\n  x*2", "for i in x:", "f(1,", "@decorated", "x = \\"]
    invalid_code_samples = ["import = 7q", "1 +* 2", "a b", ")"]
    code_page_something = "print?"
    code_generate_error = "raise ValueError('no')"
    code_execute_result = [
        {"code": "1 + 2 + 3", "result": "6"},
        {"code": "[n * n for n in range(1, 4)]", "result": "[1, 4, 9]"},
        {"code": "import asyncio; await asyncio.sleep(0, 'later')", "result": "'later'"},
    ]
    code_display_data = [
        {
            "code": "from capsule_worker import display\n"
            "class Bold:\n"
            "    def _repr_html_(self):\n"
            "        return '<b>bold</b>'\n"
            "display(Bold())",
            "mime": "text/html",
        },
        {"code": "display({'image/png': 'iVBORw0KGgo='}, raw=True)", "mime": "image/png"},
    ]
    code_history_pattern = "1 ? 2*"
    supported_history_operations = ("tail", "range", "search")
    code_inspect_sample = "zip"
    code_clear_output = "from capsule_worker import clear_output; clear_output()"

    @classmethod
    def setUpClass(cls):
        # In a home of its own: the suite counts what it finds in the history, which all kernels of a home share.
        home = tempfile.TemporaryDirectory()
        cls.addClassCleanup(home.cleanup)
        cls.km, cls.kc = start_new_kernel(kernel_name=cls.kernel_name, env={**os.environ, "HOME": home.name})


class IopubWelcome(KernelCase):
    def test_three_subscribers_in_a_row_are_welcomed_first(self):
        for _ in range(3):
            subscriber = self.another_client()
            welcome = subscriber.everything[0]
            self.assertEqual("iopub_welcome", welcome["msg_type"])
            self.assertEqual({"subscription": ""}, welcome["content"])
            self.assertEqual({}, welcome["parent_header"])
