"""Code of cells: compiled once for each text, and run."""

import gc
from _ast import AsyncFunctionDef, Expr, Expression, PyCF_ALLOW_TOP_LEVEL_AWAIT, PyCF_ONLY_AST
from collections import OrderedDict

from . import sources

# How a cell is run.
PLAIN = "plain"  # on the main thread, as any program
ASYNC_DEFINITIONS = "async definitions"  # the same; asynchronous code is likely to follow
TOP_LEVEL_AWAIT = "top-level await"  # on the session's event loop

_MAX_CACHED = 256
_MAX_CACHED_CHARS = 64 << 10

_CO_COROUTINE = 0x80
# The bits of `from __future__ import …`, which hold for later cells too.
_FUTURES = 0x1FE0000


class Code:
    """A compiled cell: its statements, and its last expression, whose value is the cell's."""

    __slots__ = ("filename", "body", "last", "mode", "quiet")

    def __init__(self, filename, body, last, mode, quiet):
        self.filename = filename
        self.body = body
        self.last = last
        self.mode = mode
        self.quiet = quiet


class Compiler:
    def __init__(self):
        self._cache = OrderedDict()
        self._flags = PyCF_ALLOW_TOP_LEVEL_AWAIT

    def compile(self, text, count):
        """Raises what compile() raises."""
        code = self._cache.get(text)
        if code is None:
            filename = sources.add(text)
            sources.ran(filename, count)
            # A finalizer that compiles something, if only to format a traceback, would make a compilation fail in whose
            # midst it is run (python/cpython#106905, up to 3.11.4).
            collecting = gc.isenabled()
            try:
                gc.disable()
                code = self._compile(text, filename)
            except SyntaxError:
                sources.passes(filename)
                raise
            finally:
                if collecting:
                    gc.enable()
            if not sources.defines(*(part for part in (code.body, code.last) if part is not None)):
                sources.passes(filename)
            if len(text) <= _MAX_CACHED_CHARS:
                self._cache[text] = code
                if len(self._cache) > _MAX_CACHED:
                    self._cache.popitem(last=False)
        else:
            self._cache.move_to_end(text)
            sources.ran(code.filename, count)
        return code

    def expression(self, text):
        """For a user expression."""
        return compile(text.strip(), "<user expression>", "eval", self._flags & _FUTURES, dont_inherit=True)

    def _compile(self, text, filename):
        tree = compile(text, filename, "exec", self._flags | PyCF_ONLY_AST, dont_inherit=True)
        last = tree.body.pop() if tree.body and type(tree.body[-1]) is Expr else None
        body = last_code = None
        if tree.body:
            body = compile(tree, filename, "exec", self._flags, dont_inherit=True)
            futures = body.co_flags & _FUTURES & ~self._flags
            if futures:
                self._flags |= futures
                self._cache.clear()
        if last is not None:
            last_code = compile(Expression(last.value), filename, "eval", self._flags, dont_inherit=True)
        return Code(
            filename, body, last_code, _mode(tree, body, last_code), last is not None and _ends_quietly(text, last)
        )

    def run(self, code, namespace, run_coroutine):
        """The value of the last expression. `run_coroutine` runs a coroutine to its end."""
        if code.mode is TOP_LEVEL_AWAIT:
            return run_coroutine(_steps(code, namespace))
        if code.body is not None:
            exec(code.body, namespace)
        return eval(code.last, namespace) if code.last is not None else None


async def _steps(code, namespace):
    value = None
    for part in (code.body, code.last):
        if part is not None:
            value = eval(part, namespace)
            if part.co_flags & _CO_COROUTINE:
                value = await value
    return value


def _mode(tree, *parts):
    # The compiler itself says what needs a loop: it knows in which comprehensions an await is the cell's own.
    if any(part is not None and part.co_flags & _CO_COROUTINE for part in parts):
        return TOP_LEVEL_AWAIT
    return ASYNC_DEFINITIONS if _defines_async(tree) else PLAIN


def _defines_async(tree):
    """Whether an `async def` is among the statements, or in the blocks of them."""
    todo = list(tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, AsyncFunctionDef):
            return True
        for field in ("body", "orelse", "finalbody", "handlers"):
            inner = getattr(node, field, None)
            if isinstance(inner, list):
                todo += inner
    return False


def _ends_quietly(text, last):
    """Whether a semicolon follows the last expression."""
    if ";" not in text:
        return False
    line = text.split("\n")[last.end_lineno - 1].encode("utf-8")
    return line[last.end_col_offset :].lstrip().startswith(b";")
