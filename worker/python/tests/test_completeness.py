"""Whether more lines are expected."""

import unittest

from capsule_worker.completeness import judge


class Completeness(unittest.TestCase):
    def check(self, expected, *samples):
        for sample in samples:
            with self.subTest(sample):
                self.assertEqual(judge(sample), expected)

    def test_complete(self):
        self.check(
            ("complete", None),
            "",
            "  \n",
            "# comment",
            "print(1)",
            "x = 1\n   ",
            "1\n2",
            "for i in range(3): pass",
            "await x",
            "async with a as b: pass",
            '"""a\nb"""',
            "f(1,\n  2)",
        )

    def test_blocks_end_with_an_empty_line(self):
        self.check(("incomplete", "    "), "for i in x:\n    y", "def f():\n    if x: y", "x\nwhile a:\n    # c\n    b")
        self.check(("incomplete", "        "), "def f():\n    if x:\n        y = 1")
        self.check(("incomplete", "\t"), "if x:\n\ty")
        self.check(
            ("complete", None),
            "for i in x:\n    y\n",
            "for i in x:\n    y\n    ",
            "async def f():\n    await x\n",
            "if x:\n    f(1,\n      2)\n\n",
        )

    def test_incomplete(self):
        self.check(("incomplete", "    "), "for i in x:", "async def f():", "try:\n    x\n", "if x:\n    y\nelse:")
        self.check(("incomplete", ""), "x = (1,", "'''abc", "@decorated", "x \\", "x = {'a': (")
        self.check(("incomplete", "  "), "f(1,\n  2,", "x = '''\n  abc:")
        self.check(("incomplete", "        "), "class A:\n    def f(self):  # comment")

    def test_what_ends_a_block_dedents(self):
        self.check(
            ("incomplete", ""), "for i in x:\n    pass", "def f():\n    return", "if x:\n    raise ValueError(1)"
        )
        self.check(
            ("incomplete", "    "), "def f():\n    while x:\n        break", "while x:\n    if y:\n        continue"
        )
        self.check(("incomplete", "    "), "def f():\n    return (1,")

    def test_invalid(self):
        self.check(
            ("invalid", None),
            "1 +* 2",
            "x = ",
            "raise = 2",
            "import",
            "for i in x:\n  y\n z",
            "x = $",
            "\0",
            ")",
            "a b",
        )
