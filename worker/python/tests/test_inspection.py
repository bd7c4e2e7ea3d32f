"""What is told about an object."""

import re
import unittest

from capsule_worker.inspection import inspect_at, inspect_name


def documented(first, second=2):
    """What it does."""
    return first


class Slow:
    def __repr__(self):
        return "x" * 10_000

    @property
    def broken(self):
        raise ValueError


NAMES = {"documented": documented, "slow": Slow(), "Slow": Slow, "words": ["a"], "unsaid": lambda: None}


def told(code, cursor=None, detail=0):
    text = inspect_at(code, len(code) if cursor is None else cursor, detail, NAMES)
    return text and re.sub(r"\033\[[\d;]*m", "", text)


class Inspection(unittest.TestCase):
    def test_tells_signature_docstring_file_and_type(self):
        text = told("documented")
        self.assertIn("Signature: documented(first, second=2)", text)
        self.assertIn("Docstring: What it does.", text)
        self.assertIn("test_inspection.py", text)
        self.assertIn("Type: function", text)
        self.assertNotIn("return first", text)
        self.assertIn("Docstring: <no docstring>", told("unsaid"))

    def test_with_detail_tells_the_source(self):
        self.assertIn("return first", told("documented", detail=1))
        # What has no source still has a docstring.
        self.assertIn("Docstring:", told("print", detail=1))

    def test_of_values_tells_their_form_and_length(self):
        self.assertIn("String form: ['a']\nLength: 1\n", told("words"))
        self.assertLess(len(told("slow")), 1_000)

    def test_of_a_class(self):
        self.assertIn("Init signature: Slow()", told("Slow"))

    def test_finds_the_name_around_the_cursor(self):
        self.assertIn("String form: ['a']", told("words.append", 3))
        self.assertIn("Append object", told("words.append", 8))
        self.assertIn("Append object", told("words.append(documented)", 12))

    def test_finds_what_is_being_called(self):
        for code in ("documented(", "documented(1, ", "documented(1, [2, ", "documented('text", "documented(nothing"):
            with self.subTest(code):
                self.assertIn("What it does", told(code))
        self.assertIn("String form: ['a']", told("documented(words"))

    def test_finds_nothing(self):
        for code in ("", "nothing", "nothing.at.all", "slow.broken", "1 + ", "# documented", "def documented("):
            with self.subTest(code):
                self.assertIsNone(told(code))
        self.assertIsNone(inspect_name("documented()", 0, NAMES))
