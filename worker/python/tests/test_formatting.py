"""MIME bundles of objects, and their way into frames."""

import contextlib
import datetime
import io
import json
import unittest
from unittest import mock

from capsule_worker import formatting
from capsule_worker.formatting import bundle, encode, pretty


class Rich:
    def __init__(self, **methods):
        for name, result in methods.items():
            setattr(self, name, lambda result=result, **arguments: result)

    def __repr__(self):
        return "<rich>"


def data(value, **options):
    return bundle(value, **options)[0]


class Bundles(unittest.TestCase):
    def test_of_every_method(self):
        for name, mime in formatting._METHODS.items():
            with self.subTest(name):
                self.assertEqual(data(Rich(**{name: "x"})), {mime: "x", "text/plain": "<rich>"})
                self.assertEqual(bundle(Rich(**{name: ("x", {"width": 1})}))[1], {mime: {"width": 1}})
                self.assertEqual(data(Rich(**{name: None})), {"text/plain": "<rich>"})

    def test_of_mimebundle_comes_first(self):
        value = Rich(_repr_mimebundle_={"text/html": "a", "text/plain": "p"}, _repr_html_="b", _repr_latex_="c")
        self.assertEqual(data(value), {"text/html": "a", "text/plain": "p", "text/latex": "c"})
        value = Rich(_repr_mimebundle_=({"text/html": "a"}, {"text/html": {"b": 1}}))
        self.assertEqual(bundle(value), ({"text/html": "a", "text/plain": "<rich>"}, {"text/html": {"b": 1}}))

    def test_mimebundle_is_told_what_is_wanted(self):
        class Asked:
            def _repr_mimebundle_(self, include=None, exclude=None):
                return {"text/html": f"{include} {exclude}", "text/plain": "x"}

        self.assertEqual(data(Asked(), include=["text/html"]), {"text/html": "['text/html'] None"})

    def test_include_and_exclude(self):
        value = Rich(_repr_html_="h", _repr_latex_="l")
        self.assertEqual(data(value, include=["text/html"]), {"text/html": "h"})
        self.assertEqual(data(value, exclude=["text/html"]), {"text/latex": "l", "text/plain": "<rich>"})

    def test_objects_that_display_themselves(self):
        self.assertIsNone(bundle(Rich(_ipython_display_=None, _repr_html_="x")))

    def test_methods_that_fail_are_reported_and_the_rest_is_shown(self):
        class Failing:
            def _repr_html_(self):
                raise ValueError("broken html")

            def _repr_png_(self):
                raise NotImplementedError

            def _repr_latex_(self):
                return "l"

            def __repr__(self):
                raise ValueError("broken repr")

        with contextlib.redirect_stderr(io.StringIO()) as stderr:
            shown = data(Failing())
        self.assertEqual(shown["text/latex"], "l")
        self.assertIn("Failing object at", shown["text/plain"])
        self.assertEqual(list(shown), ["text/latex", "text/plain"])
        self.assertIn("Failing._repr_html_() failed:", stderr.getvalue())
        self.assertIn("broken html", stderr.getvalue())
        self.assertIn("broken repr", stderr.getvalue())
        self.assertNotIn("_repr_png_", stderr.getvalue())

    def test_classes_do_not_have_the_methods_of_their_instances(self):
        class WithHtml:
            def _repr_html_(self):
                return "x"

        self.assertEqual(list(data(WithHtml)), ["text/plain"])
        self.assertEqual(list(data(WithHtml())), ["text/html", "text/plain"])

    def test_mocks_and_proxies_have_no_methods(self):
        class Proxy:
            def __getattr__(self, name):
                raise KeyError(name)

        self.assertEqual(list(data(mock.Mock())), ["text/plain"])
        self.assertEqual(list(data(Proxy())), ["text/plain"])


class PlainText(unittest.TestCase):
    def test_is_repr_when_it_fits(self):
        for value in (1, "a'b", [1, [2, {"a": (1,)}]], {}, (), set(), frozenset(), {"b": 1, "a": 2}, [None] * 13):
            with self.subTest(value):
                self.assertEqual(pretty(value), repr(value))

    def test_long_containers_have_one_item_on_a_line(self):
        self.assertEqual(pretty(list(range(100, 130))), "[" + ",\n ".join(map(str, range(100, 130))) + "]")
        self.assertEqual(
            pretty({"key": ["x" * 40, "y" * 40]}), "{'key': ['" + "x" * 40 + "',\n         '" + "y" * 40 + "']}"
        )
        self.assertEqual(pretty(("x" * 90,)), "('" + "x" * 90 + "',)")
        self.assertEqual(pretty({"a" * 40, "b" * 40}), "{'" + "a" * 40 + "',\n '" + "b" * 40 + "'}")

    def test_sets_are_in_order(self):
        self.assertEqual(pretty({"c", "a", "b"}), "{'a', 'b', 'c'}")
        self.assertEqual(pretty(frozenset("ba")), "frozenset({'a', 'b'})")
        self.assertIn(pretty({1, "a"}), ("{1, 'a'}", "{'a', 1}"))

    def test_is_cut_after_a_thousand_items(self):
        lines = pretty(list(range(1_000_000))).split("\n")
        self.assertEqual((len(lines), lines[-1]), (1_001, " ...]"))

    def test_of_containers_in_themselves(self):
        value = ["x" * 90]
        value.append(value)
        self.assertEqual(pretty(value), "['" + "x" * 90 + "',\n " + repr(value) + "]")

    def test_of_other_types_is_their_repr(self):
        class Own(list):
            def __repr__(self):
                return "own"

        self.assertEqual(pretty(Own(range(100))), "own")


class Frames(unittest.TestCase):
    def test_forms(self):
        mimes, forms, buffers = encode({"text/plain": "ü", "image/png": b"\x89", "application/json": {"a": 1}}, {})
        self.assertEqual(mimes, ["text/plain", "image/png", "application/json"])
        self.assertEqual(forms, ["text", "base64", "json"])
        self.assertEqual(buffers, ["ü".encode(), b"\x89", b'{"a":1}', b"{}"])
        # A picture that is a string is in base64 already; JSON that is a string is a JSON string.
        self.assertEqual(encode({"image/png": "iVBO"}, {})[1:], (["text"], [b"iVBO", b"{}"]))
        self.assertEqual(encode({"a/b+json": "x"}, {})[1:], (["json"], [b'"x"', b"{}"]))

    def test_json_of_what_json_does_not_have(self):
        class Number:
            def __index__(self):
                return 7

        class Array:
            def tolist(self):
                return [1.5, float("nan")]

        value = [float("nan"), {"a": [float("-inf")]}, (1,), Number(), Array(), {1}, b"\x00", datetime.date(2020, 1, 2)]
        expected = [None, {"a": [None]}, [1], 7, [1.5, None], [1], "AA==", "2020-01-02"]
        self.assertEqual(json.loads(formatting.json_bytes(value, "it")), expected)

    def test_refuses_what_the_kernel_would(self):
        loop = []
        loop.append(loop)
        deep = 1
        for _ in range(70):
            deep = [deep]
        for value in (loop, deep, object(), 10**40, {1: 2, "1": 3}, {(1, 2): 3}):
            with self.subTest(str(value)[:50]), self.assertRaisesRegex(ValueError, "it cannot be sent as JSON"):
                formatting.json_bytes(value, "it")
        with self.assertRaises(TypeError):
            encode({1: "x"}, {})

    def test_lone_surrogates_are_escaped(self):
        self.assertEqual(encode({"text/plain": "\ud800"}, {})[2][0], b"\\ud800")
