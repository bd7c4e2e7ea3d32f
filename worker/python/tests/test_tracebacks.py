"""What is told of exceptions."""

import re
import sys
import unittest

from capsule_worker import frames, sources, tracebacks

_COLOUR = re.compile(r"\033\[[\d;]*m")


def run(text, count=3, namespace=None):
    """The description of what the code raises, without colours."""
    name = sources.add(text)
    sources.ran(name, count)
    try:
        exec(compile(text, name, "exec"), {} if namespace is None else namespace)
    except BaseException as error:
        # The first frame is of this file, which is no cell and not the worker's.
        error.__traceback__ = error.__traceback__.tb_next
        told = tracebacks.describe(error)
        return told._replace(traceback=_COLOUR.sub("", "\n".join(told.traceback)))
    raise AssertionError("nothing was raised")


class Tracebacks(unittest.TestCase):
    def test_name_the_cell_and_show_its_lines(self):
        told = run("def f(x):\n    return 1 / x\n\nf(0)")
        self.assertEqual((told.ename, told.evalue), ("ZeroDivisionError", "division by zero"))
        lines = [line for line in told.traceback.split("\n") if set(line) - set(" ^~")]
        self.assertEqual(
            lines,
            [
                "Traceback (most recent call last):",
                "  Cell In[3], line 4",
                "    f(0)",
                "  Cell In[3], line 2, in f",
                "    return 1 / x",
                "ZeroDivisionError: division by zero",
            ],
        )

    def test_the_name_of_the_exception_is_red(self):
        try:
            raise KeyError("a")
        except KeyError as error:
            self.assertEqual(tracebacks.describe(error).traceback[-1], "\033[0;31mKeyError\033[0m: 'a'")

    def test_of_code_that_ran_again_have_the_new_count(self):
        text = "1 / 0  # twice"
        self.assertIn("Cell In[5], line 1", run(text, 5).traceback)
        self.assertIn("Cell In[8], line 1", run(text, 8).traceback)

    def test_of_syntax_errors_have_no_frames_but_the_caret(self):
        told = run("x = 1\nx = = 2")
        self.assertEqual(told.traceback.split("\n")[:2], ["  Cell In[3], line 2", "    x = = 2"])
        self.assertIn("^", told.traceback)
        self.assertEqual(told.evalue, "invalid syntax (Cell In[3], line 2)")

    def test_of_chains_and_notes(self):
        told = run("try:\n    {}['a']\nexcept KeyError as e:\n    raise ValueError('b') from e")
        self.assertIn("KeyError: 'a'\n\nThe above exception was the direct cause", told.traceback)
        told = run("try:\n    {}['a']\nexcept KeyError as e:\n    raise ValueError('b')")
        self.assertIn("During handling of the above exception", told.traceback)
        if sys.version_info >= (3, 11):
            told = run("e = ValueError('b')\ne.add_note('a note')\nraise e")
            self.assertTrue(told.traceback.endswith("ValueError: b\na note"))
            told = run("raise ExceptionGroup('both', [ValueError(1), KeyError(2)])")
            self.assertIn("| ValueError: 1", told.traceback)
            self.assertIn("Cell In[3], line 1", told.traceback)

    def test_leave_out_the_workers_own_frames(self):
        told = run("tracebacks.shorten(None, 1)", namespace={"tracebacks": tracebacks})
        self.assertNotIn("tracebacks.py", told.traceback)
        self.assertIn("    tracebacks.shorten(None, 1)", told.traceback)

    def test_of_exceptions_that_fail_themselves(self):
        told = run(
            "class Bad(Exception):\n"
            "    def __str__(self): raise RuntimeError\n"
            "    __repr__ = __str__\n"
            "    __notes__ = property(__str__)\n"
            "raise Bad"
        )
        self.assertEqual((told.ename, told.evalue), ("Bad", "<str() of this Bad failed>"))
        self.assertIn("Bad", told.traceback)

    def test_of_exceptions_that_fail_with_what_is_no_exception(self):
        """It came out of what tells of errors, and then out of whatever told of that: no cell was settled any more."""
        for base in ("BaseException", "KeyboardInterrupt", "SystemExit"):
            text = (
                f"class Bad({base}):\n"
                "    def __str__(self): raise Bad\n"
                "    __repr__ = __str__\n"
                "    __notes__ = property(__str__)\n"
                "raise Bad"
            )
            with self.subTest(base):
                told = run(text)
                self.assertEqual((told.ename, told.evalue), ("Bad", "<str() of this Bad failed>"))
                self.assertIn("Bad", told.traceback)
        told = run(
            "class Kind(type):\n"
            "    @property\n"
            "    def __name__(cls): raise ValueError\n"
            "class Bad(Exception, metaclass=Kind): pass\n"
            "raise Bad('text')"
        )
        self.assertEqual((told.ename, told.evalue), ("Bad", "text"))

    def test_are_not_waited_for_by_who_interrupts_their_making(self):
        with self.assertRaises(KeyboardInterrupt):
            run("class Slow(Exception):\n    def __str__(self): raise KeyboardInterrupt\nraise Slow")

    def test_of_recursion_are_short(self):
        told = run("def f():\n    f()\nf()")
        self.assertEqual(told.ename, "RecursionError")
        self.assertIn("Previous line repeated", told.traceback)
        self.assertLess(len(told.traceback), 2_000)

    def test_are_never_too_long_for_a_header(self):
        for character in ("x", "\u20ac", "\U0001f600", "\x01"):
            told = run(f"raise ValueError({character!r} * 10_000_000)")
            self.assertLessEqual(len(told.evalue.encode()), 64 << 10)
            self.assertLess(len(frames.encode_json(told)), 4 << 20)
            self.assertIn("bytes left out", told.evalue)
        many = "".join(f"def f{n}(): f{n + 1}()  # {'y' * 5000}\n" for n in range(500)) + "def f500(): 1/0\nf0()"
        told = run(many)
        self.assertLess(len(told.traceback), 1 << 20)
        self.assertIn("lines left out", told.traceback)
        self.assertTrue(told.traceback.endswith("ZeroDivisionError: division by zero"))

    def test_survive_that_linecache_is_cleared(self):
        import linecache

        run("1 / 0  # first")
        linecache.clearcache()
        self.assertIn("1 / 0  # first", run("1 / 0  # first").traceback)
        linecache.checkcache()
        self.assertIn("1 / 0  # first", run("1 / 0  # first").traceback)
