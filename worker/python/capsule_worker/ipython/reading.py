"""Cells that are Python as they stand: what IPython finds out about their text in several ways, found out once."""

import gc
from _ast import PyCF_ALLOW_TOP_LEVEL_AWAIT
from inspect import CO_COROUTINE
from operator import attrgetter
from threading import local

from IPython.core.autocall import IPyAutocall
from IPython.core.compilerop import CachingCompiler
from IPython.core.inputtransformer2 import TransformerManager
from IPython.core.macro import Macro
from IPython.core.prefilter import PrefilterManager
from IPython.core.splitinput import line_split

from .. import sources
from .warned import Warned

# IPython compiles a cell's text up to three times, and each time tells what Python warns of.
_strict = Warned("error")


class _Read(local):
    """What the thread has read last."""

    text = None
    is_async = False
    defines = True
    flags = 0
    # Given away once, for whoever gets it may change it.
    tree = None


_read = _Read()


class Reader:
    """Knows what IPython does to a text, and what of that is in vain if the text is Python already: its search for
    magics by tokens, and the question to each checker whether a line is for it. A shell that anybody has given
    something of his own to do with texts is left to IPython.
    """

    def __init__(self, shell):
        self._shell = shell
        self._known = self._parts()
        self._methods = _methods()

    def _parts(self):
        manager, lines = self._shell.input_transformer_manager, self._shell.prefilter_manager
        steps = manager.cleanup_transforms, manager.line_transforms, manager.token_transformers
        return [list(step) for step in (*steps, lines.checkers, lines.transformers)]

    def _is_as_it_was(self):
        shell = self._shell
        manager, lines = shell.input_transformer_manager, shell.prefilter_manager
        cleanup, line, token, checkers, transformers = self._known
        return (
            manager.cleanup_transforms == cleanup
            and manager.line_transforms == line
            and manager.token_transformers == token
            and not shell.input_transformers_post
            and lines._checkers == checkers
            and not any("check" in vars(checker) for checker in checkers)
            and lines._transformers == transformers
            and type(manager) is TransformerManager
            and type(lines) is PrefilterManager
            and type(shell.compile).ast_parse is Parser.ast_parse
            and vars(manager).keys().isdisjoint(_OVERRIDABLE)
            and vars(lines).keys().isdisjoint(_OVERRIDABLE)
            and _methods() == self._methods
            and not shell.autocall
        )

    def read(self, text):
        """The text as IPython would have it, None if only IPython itself can say."""
        _read.text = _read.tree = None
        if not text or not self._is_as_it_was():
            return None
        manager = self._shell.input_transformer_manager
        lines = (text if text.endswith("\n") else text + "\n").splitlines(keepends=True)
        for transform in manager.cleanup_transforms:
            lines = transform(lines)
        for transform in manager.line_transforms:
            lines = transform(lines)
        if len(lines) == 1 and not self._is_plain(lines[0]):
            return None
        text = "".join(lines)
        if not self._parse(text):
            return None
        if len(lines) == 1:
            self._shell._last_input_line = text.rstrip("\n")
        return text

    def _is_plain(self, line):
        """Whether none of IPython's checkers wants a line that is Python."""
        shell = self._shell
        _, escape, word, _ = line_split.match(line).groups()
        if escape or isinstance(shell.user_ns.get(word), (Macro, IPyAutocall)):
            return False
        return shell.find_magic(word) is None

    def _parse(self, text):
        compiler = self._shell.compile
        # A finalizer that warns is none of the text's business.
        collecting = gc.isenabled()
        try:
            gc.disable()
            with _strict:
                tree = CachingCompiler.ast_parse(compiler, text)
                code = compile(tree, "<>", "exec", PyCF_ALLOW_TOP_LEVEL_AWAIT)
        except Exception:
            return False  # no Python, or not without a warning
        finally:
            if collecting:
                gc.enable()
        _read.text, _read.flags, _read.tree = text, compiler.flags, tree
        _read.is_async = bool(code.co_flags & CO_COROUTINE)
        _read.defines = sources.defines(code)
        return True

    @staticmethod
    def is_async(text):
        """Whether it awaits something, None if that is not known."""
        return _read.is_async if _read.text is text else None


    @staticmethod
    def defines(text):
        """Whether it may define what outlives it."""
        return _read.defines if _read.text == text else True


class Parser(CachingCompiler):
    """Does not parse what has just been read."""

    def ast_parse(self, source, filename="<unknown>", symbol="exec"):
        tree, _read.tree = _read.tree, None
        if tree is not None and source is _read.text and symbol == "exec" and self.flags == _read.flags:
            return tree
        return super().ast_parse(source, filename, symbol)


_OVERRIDABLE = (
    "transform_cell",
    "do_token_transforms",
    "do_one_token_transform",
    "prefilter_lines",
    "prefilter_line",
    "prefilter_line_info",
    "find_handler",
    "transform_line",
)
_of_manager = attrgetter(*_OVERRIDABLE[:3])
_of_lines = attrgetter(*_OVERRIDABLE[3:])


def _methods():
    return _of_manager(TransformerManager), _of_lines(PrefilterManager)
