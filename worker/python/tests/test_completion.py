"""Completion of live names."""

import collections
import os
import sys
import tempfile
import unittest

from capsule_worker.completion import complete, kinds


class Awkward:
    """Fails wherever a completer might look."""

    def __dir__(self):
        raise ValueError("no")

    def __getattr__(self, name):
        raise RuntimeError(name)


class Completion(unittest.TestCase):
    def setUp(self):
        def call(first, *rest, named=None, _private=None):
            raise AssertionError("completion has called something")

        self.names = {
            "os": os,
            "call": call,
            "número": 1,
            "table": {"alpha": 1, "alpine": {"beta": 2}, 3: 4, 'qu"ote': 5, "_hidden": 6},
            "rows": [[], "text"],
            "awkward": Awkward(),
            "_private": 1,
        }

    def matches(self, before, after=""):
        """The matches, after a check that they replace exactly what was typed of them."""
        matches, start, end = complete(before + after, len(before), self.names)
        self.assertEqual(end, len(before))
        for match in matches:
            self.assertTrue(match.startswith(before[start:end]), match)
        return matches

    def test_of_names(self):
        self.assertEqual(self.matches("zi"), ["zip"])
        self.assertEqual(self.matches("x = 1\ny = tabl"), ["table"])
        self.assertEqual(self.matches("whil"), ["while"])
        self.assertEqual(self.matches("número + núm"), ["número"])
        self.assertEqual(self.matches("_priv"), ["_private"])
        self.assertEqual(self.matches("nothing_like_this"), [])

    def test_of_nothing_offers_what_is_not_private(self):
        everything = self.matches("")
        self.assertIn("table", everything)
        self.assertIn("lambda", everything)
        self.assertNotIn("_private", everything)

    def test_of_attributes_replaces_the_whole_expression(self):
        self.assertEqual(complete("a = os.pa + 1", 9, {"os": os})[1:], (4, 9))
        self.assertEqual(
            self.matches("os.pa"), ["os.pardir", "os.path", "os.pathconf", "os.pathconf_names", "os.pathsep"]
        )
        self.assertEqual(self.matches("print(os.path.joi"), ["os.path.join"])
        self.assertEqual(self.matches("'x'.isasc"), ["'x'.isascii"])
        self.assertEqual(self.matches("table['alpine'].item"), ["table['alpine'].items"])
        self.assertEqual(self.matches("rows[-1].isasc"), ["rows[-1].isascii"])
        self.assertEqual(self.matches("1 .rea"), [])
        self.assertEqual(self.matches("3.1"), [])

    def test_positions_are_code_points(self):
        self.assertEqual(complete("'\U0001f600'; os.pardi", 13, {"os": os}), (["os.pardir"], 5, 13))

    def test_never_calls(self):
        self.assertEqual(self.matches("call().x"), [])
        self.assertEqual(self.matches("rows[call()].x"), [])
        self.assertEqual(self.matches("(call()).x"), [])
        self.assertEqual(self.matches("[call()][0].x"), [])

    def test_tolerates_objects_that_fail(self):
        self.assertIn("awkward.__class__", self.matches("awkward.__cl"))
        self.assertEqual(self.matches("awkward.inner.x"), [])

    def test_of_arguments(self):
        self.assertEqual(self.matches("call(na"), ["named="])
        self.assertEqual(self.matches("call(1, [2, 3], fir"), ["first="])
        self.assertEqual(self.matches("rows.sort(key=print, reve"), ["reverse=", "reversed"])
        self.assertIn("named=", self.matches("call("))
        self.assertNotIn("named=", self.matches("call(first=na"))
        self.assertEqual(self.matches("def call(nam"), [])

    def test_of_keys(self):
        self.assertEqual(self.matches('table["al'), ['alpha"]', 'alpine"]'])
        self.assertEqual(self.matches('table["al', '"]'), ["alpha", "alpine"])
        self.assertEqual(self.matches("table['alpine']['"), ["beta']"])
        self.assertEqual(self.matches('table["q'), [])
        self.assertEqual(self.matches('nothing["q'), [])

    def test_of_keys_that_the_object_tells(self):
        class Frame:
            def _ipython_key_completions_(self):
                return ["column", 1]

        self.names["frame"] = Frame()
        self.assertEqual(self.matches('frame["'), ['column"]'])

    def test_of_paths(self):
        with tempfile.TemporaryDirectory() as folder:
            os.mkdir(os.path.join(folder, "inner"))
            for name in ("input.csv", ".hidden"):
                open(os.path.join(folder, name), "w").close()
            self.assertEqual(self.matches(f"open('{folder}/in"), ["inner/", "input.csv"])
            self.assertEqual(self.matches(f"open('{folder}/"), ["inner/", "input.csv"])
            self.assertEqual(self.matches(f"open('{folder}/.h"), [".hidden"])
            self.assertEqual(self.matches(f"open('{folder}/nothing/x"), [])

    def test_of_imports_imports_nothing(self):
        loaded = set(sys.modules)
        self.assertIn("wsgiref", self.matches("import wsgir"))
        self.assertEqual(self.matches("import os, wsgiref.simple_s"), ["wsgiref.simple_server"])
        self.assertEqual(self.matches("from wsgiref.simple_server import make_se"), ["make_server"])
        self.assertEqual(self.matches("from wsgiref import (simple_server, valid"), ["validate"])
        self.assertEqual(self.matches("from collections import Ordered"), ["OrderedDict"])
        self.assertEqual(self.matches("import os.pat"), ["os.path"])
        self.assertEqual(self.matches("from wsgiref im"), ["import"])
        self.assertEqual(self.matches("import os as so"), [])
        self.assertEqual(self.matches("import no.such.modu"), [])
        self.assertEqual(self.matches("from .relative import x"), [])
        new = set(sys.modules) - loaded
        self.assertFalse([name for name in new if name.startswith("wsgiref")], new)

    def test_of_comments_and_of_places_that_are_none(self):
        self.assertEqual(self.matches("x # zi"), [])
        self.assertEqual(self.matches('"""zi'), [])
        self.assertEqual(complete("zi", 99, {}), (["zip"], 0, 2))

    def test_after_broken_code(self):
        self.assertEqual(self.matches("x = 'never closed\nzi"), ["zip"])
        self.assertEqual(self.matches("call(\n  1,\n  nam"), ["named="])
        self.assertEqual(self.matches("))) ]] os.pardi"), ["os.pardir"])
        self.assertEqual(self.matches("$ ? os.pardi"), ["os.pardir"])

    def test_of_large_things_is_cut(self):
        self.names = collections.OrderedDict((f"name{number}", 1) for number in range(10_000))
        self.assertEqual(len(self.matches("name")), 2_000)


class Kinds(unittest.TestCase):
    def kinds(self, text, **names):
        matches, start, _ = complete(text, len(text), names)
        return dict(zip(matches, kinds(matches, text, start, names)))

    def test_names(self):
        names = {"made_class": Awkward, "made_function": len, "made_module": os, "made_value": 1}
        expected = {**dict.fromkeys(names, "instance"), "made_class": "class", "made_function": "function"}
        expected["made_module"] = "module"
        self.assertEqual(expected, self.kinds("made_", **names))
        self.assertEqual({"lambda": "keyword"}, self.kinds("lambd"))
        self.assertEqual("function", self.kinds("pri")["print"])

    def test_attributes_are_not_looked_at(self):
        class Owner:
            @property
            def made_property(self):
                raise AssertionError("it was called")

            def made_method(self):
                pass

            made_value = 3

        expected = {"o.made_method": "function", "o.made_property": "property", "o.made_value": "instance"}
        self.assertEqual(expected, self.kinds("o.made", o=Owner()))

    def test_arguments_keys_and_paths(self):
        self.assertEqual("param", self.kinds("f(argu", f=lambda argument: 0)["argument="])
        self.assertEqual({"key']": "dict key"}, self.kinds("d['k", d={"key": 1}))
        self.assertEqual({"module"}, set(self.kinds("import o").values()))
