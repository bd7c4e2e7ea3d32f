"""What gives code its meaning. An engine is whatever has the public methods of PlainEngine."""

import builtins
import os
import sys
from collections import namedtuple

from . import execution, formatting, tracebacks
from .displays import ask_exit, display, page
from .imports import standard
from .namespace import Namespace


_ENGINES = ("auto", "ipython", "plain")


class Unavailable(Exception):
    """The engine that is wanted cannot be had."""


class PlainEngine:
    """Python as it is, with what people expect of a notebook beside it. Main thread only."""

    def __init__(self, displays, loop):
        self._displays = displays
        self._loop = loop
        self._compiler = execution.Compiler()
        self._namespace = Namespace()
        self._expects_async = False
        quitter = _Quitter()
        self._namespace.hide(exit=quitter, quit=quitter)
        builtins.display = display
        # Without a display of its own, matplotlib need not look for one.
        os.environ.setdefault("MPLBACKEND", "agg")

    def execute(self, text, cell):
        """Runs a cell's text and raises what it raises. Returns the MIME bundle of its result, None if it has none."""
        self._namespace.protect()
        if cell.store_history:
            self._namespace.add_input(text, cell.count)
        text, question = _split_question(text) if "?" in text else (text, None)
        code = self._compiler.compile(text, cell.count)
        value = self._compiler.run(code, self._namespace.dict, self._loop.run)
        self._expects_async = self._expects_async or code.mode is execution.ASYNC_DEFINITIONS
        if question is not None:
            self._answer(question)
        if value is None or code.quiet or question is not None:
            return None
        if cell.store_history:
            self._namespace.add_output(value, cell.count)
        return formatting.bundle(value)

    def call(self, function, *args):
        """Calls what a cell wants to be called for a front end, such as a widget's callback."""
        self._loop.run_beside(function, *args)

    def describe(self, error):
        """What is told of an exception."""
        return tracebacks.describe(error)

    def has_shown(self, error):
        """Whether people have seen the error already."""
        return False

    def add_input(self, text, count):
        """Of a cell whose code was not run here, or whose effects were taken back."""
        self._namespace.add_input(text, count)
        self._namespace.protect()

    def namespace(self):
        """The variables themselves."""
        return self._namespace.dict

    def variables(self):
        """The namespace, and what of it is a person's own."""
        return self._namespace.dict, self._namespace.variables()

    def has_more(self):
        """Whether `finish` will show something."""
        return self._displays.has_figures()

    def finish(self):
        """After each cell, whether it failed or not: shows what it has left to be shown."""
        self._displays.show_figures()

    def evaluate(self, expression):
        """The MIME bundle of a user expression's value. Raises what it raises."""
        return formatting.bundle(eval(self._compiler.expression(expression), self._namespace.dict)) or ({}, {})

    def show(self, value):
        """The MIME bundle of a value."""
        return formatting.bundle(value) or ({}, {})

    def names(self):
        """The variables of the cells."""
        return dict(self._namespace.dict)

    def wants_rest(self):
        return self._expects_async

    def rest(self):
        """While nobody waits: gets ready for what will probably come."""
        self._expects_async = False
        self._loop.prepare()

    def end_idle_threads(self):
        """Ends threads that wait for the next cell of their kind, and have nothing to do until then."""

    def end_late_threads(self):
        """Ends threads that work on what nobody waits for any more, though it would be of use later."""

    def complete(self, text, cursor):
        """(matches, start, end, types): what may stand in place of text[start:end], and what each is."""
        from . import completion

        names = self._namespace.dict
        matches, start, end = completion.complete(text, cursor, names)
        return matches, start, end, completion.kinds(matches, text, start, names)

    def inspect(self, text, cursor, detail):
        """The MIME bundle of what is known about the object at the cursor, None if there is none."""
        from . import inspection

        found = inspection.inspect_at(text, cursor, detail, self._namespace.dict)
        return None if found is None else ({"text/plain": found}, {})

    def is_complete(self, text):
        """(status, indent); indent is None unless the status is `incomplete`."""
        from . import completeness

        if "?" in text:
            text, question = _split_question(text)
            if question is not None and not text.strip():
                return "complete", None
        return completeness.judge(text)

    def _answer(self, question):
        from . import inspection

        found = inspection.inspect_name(question.name, question.detail, self._namespace.dict)
        if found is None:
            print(f"Object `{question.name}` not found.")
        else:
            page(found)


def choose(wanted, displays, loop):
    """The engine, and what a person must know of the choice, None if nothing. Raises Unavailable.

    wanted: `ipython`, `plain`, or `auto`, which is IPython if it is installed.
    """
    if wanted not in _ENGINES:
        raise Unavailable(f"there is no engine {wanted!r}; choose one of {', '.join(_ENGINES)}")
    notice = None
    if wanted != "plain" and (wanted == "ipython" or is_installed("IPython")):
        from . import ipython

        try:
            engine = ipython.load(displays, loop)
            return engine, engine.notice
        except ipython.ImportFailed as error:
            if wanted == "ipython":
                raise Unavailable(f"{error}; repair or install it in {sys.prefix}, or choose --engine plain") from None
            notice = f"This is plain Python: {error}."
    return PlainEngine(displays, loop), notice


def is_installed(package):
    """Judged by its folder, which takes no time."""
    for folder in sys.path:
        if folder not in ("", ".") and os.path.isfile(f"{folder}/{package}/__init__.py"):
            return True
    return False


_Question = namedtuple("_Question", "name detail")


def _split_question(text):
    """Takes `name?`, `name??`, `?name` or `??name` off as the last line."""
    rest, newline, line = text.rstrip().rpartition("\n")
    match = standard("re").fullmatch(r"\s*(\?{0,2})\s*([^\W\d][\w.]*)\s*(\?{0,2})", line)
    if match is None or bool(match[1]) == bool(match[3]):
        return text, None
    return rest + newline, _Question(match[2], 1 if "??" in (match[1], match[3]) else 0)


class _Quitter:
    """`exit` and `quit`: ask the front end to end the session. They need no parentheses at the end of a cell."""

    def __call__(self, code=None):
        ask_exit()

    def _ipython_display_(self):
        ask_exit()

    def __repr__(self):
        return "exit() ends the session"
