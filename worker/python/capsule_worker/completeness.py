"""Whether code that is being typed is a whole, or waits for more lines."""

from _ast import PyCF_ALLOW_TOP_LEVEL_AWAIT, PyCF_ONLY_AST

from . import lexing
from .imports import standard

_INDENT = "    "
_ENDS_BLOCK = ("return", "pass", "break", "continue", "raise")


def judge(text):
    """(status, indent): `complete`, `invalid` or `incomplete`, only the last with the indent of the next line."""
    compiler = standard("codeop").CommandCompiler()
    compiler.compiler.flags |= PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        whole = compiler(text, "<input>", "exec") is not None
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        return "invalid", None
    if whole and (text.endswith("\n") or not text.rpartition("\n")[2].strip() or not _ends_in_block(text)):
        return "complete", None
    return "incomplete", _indent(text)


def _ends_in_block(text):
    """Whether the last statement, or one around it, stands on a line of its own in a block, which then needs an end."""
    node = compile(text, "<input>", "exec", PyCF_ALLOW_TOP_LEVEL_AWAIT | PyCF_ONLY_AST, dont_inherit=True)
    lines = text.split("\n")
    while True:
        suites = [getattr(node, name, None) for name in ("body", "handlers", "orelse", "finalbody", "cases")]
        suites = [suite for suite in suites if suite and isinstance(suite, list)]
        if not suites:
            return False
        node = suites[-1][-1]
        # A case of a match has no place of its own.
        if hasattr(node, "lineno") and lines[node.lineno - 1][: node.col_offset].isspace():
            return True


def _indent(text):
    line = text.rstrip().rpartition("\n")[2]
    indent = line[: len(line) - len(line.lstrip())]
    at = lexing.place(text.rstrip())
    if at.brackets or at.string:
        return indent
    words = line.split()
    if at.tokens and at.tokens[-1].text == ":":
        return indent + ("\t" if "\t" in indent else _INDENT)
    if words and words[0].partition("(")[0].rstrip(";") in _ENDS_BLOCK:
        return indent[:-1] if indent.endswith("\t") else indent[: -len(_INDENT)]
    return indent
