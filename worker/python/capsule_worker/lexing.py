"""Where a cursor is in code that is being typed, and what is there. Nothing is called to find out."""

from _ast import Attribute, Constant, Name, PyCF_ONLY_AST, Subscript, UnaryOp, USub
from builtins import __dict__ as _builtins
from collections import namedtuple

from .imports import standard

_re = standard("re")

_TOKEN = _re.compile(
    r"""
    (?P<space>[ \t\f]+|\\\n)
  | (?P<comment>\#[^\n]*)
  | (?P<newline>\n|;)
  | (?P<string>(?P<prefix>(?i:[rbuf]|br|rb|fr|rf)?)(?P<quote>\"{3}|'{3}|"|'))
  | (?P<number>(?:\d|\.\d)[\w.]*)
  | (?P<name>[^\W\d]\w*)
  | (?P<open>[(\[{])
  | (?P<close>[)\]}])
  | (?P<other>.)
    """,
    _re.VERBOSE,
)
_STRING_END = {
    quote: _re.compile(rf"(?:\\.|(?!{quote})[^\n\\])*({quote})?" if len(quote) == 1 else rf"(?s:\\.|.)*?({quote})")
    for quote in ('"', "'", '"""', "'''")
}
# No statement that anybody completes is longer; more would only make the answer late.
_MAX_CHARS = 64 << 10

Token = namedtuple("Token", "kind text start end")
# A string that has begun: where its contents do, and what opened it.
OpenString = namedtuple("OpenString", "start quote")
# The tokens of the statement, the indices of its open brackets, the open string if any, whether it is in a comment.
Place = namedtuple("Place", "tokens brackets string comment")


def place(text):
    """Where the end of `text` is."""
    tokens, brackets = [], []
    position = max(0, text.rfind("\n", 0, max(0, len(text) - _MAX_CHARS)))
    while position < len(text):
        match = _TOKEN.match(text, position)
        kind, start, position = match.lastgroup, position, match.end()
        if kind == "string":
            end = _STRING_END[match["quote"]].match(text, position)
            if end is None or (end[1] is None and end.end() == len(text)):
                return Place(tokens, brackets, OpenString(position, match["quote"]), False)
            position = end.end()
            tokens.append(Token(kind, text[start:position], start, position))
        elif kind == "comment" and position == len(text):
            return Place(tokens, brackets, None, True)
        elif kind == "newline" and not brackets:
            tokens = []
        elif kind not in ("newline", "space", "comment"):
            if kind == "open":
                brackets.append(len(tokens))
            elif kind == "close" and brackets:
                brackets.pop()
            tokens.append(Token(kind, match[0], start, position))
    return Place(tokens, brackets, None, False)


def primary(tokens):
    """The index at which a name, its attributes and constant subscripts begin that `tokens` ends with; else None."""
    index = len(tokens) - 1
    while index >= 0:
        token = tokens[index]
        if token.text == "]":
            opening = index - 2
            while opening > 0 and tokens[opening].text == "-":
                opening -= 1
            if opening < 1 or tokens[opening].text != "[" or tokens[index - 1].kind not in ("string", "number"):
                return None
            index = opening - 1
        elif token.kind in ("name", "string"):
            if index == 0 or tokens[index - 1].text != ".":
                return index
            index -= 2
        else:
            return None
    return None


def evaluate(text, namespace):
    """The value of a name with attributes and constant subscripts. Raises whatever goes wrong, SyntaxError for more."""
    return _value(compile(text.strip(), "<cursor>", "eval", PyCF_ONLY_AST, dont_inherit=True).body, namespace)


def _value(node, namespace):
    if isinstance(node, Name):
        return namespace[node.id] if node.id in namespace else _builtins[node.id]
    if isinstance(node, Attribute):
        return getattr(_value(node.value, namespace), node.attr)
    if isinstance(node, Subscript):
        return _value(node.value, namespace)[_value(node.slice, {})]
    if isinstance(node, Constant):
        return node.value
    if isinstance(node, UnaryOp) and isinstance(node.op, USub) and isinstance(node.operand, Constant):
        return -node.operand.value
    raise SyntaxError(f"{type(node).__name__} is not evaluated")


def callee(at, text):
    """The text of what is being called around the place `at`, None if nothing is."""
    for bracket in reversed(at.brackets):
        if at.tokens[bracket].text != "(":
            continue
        first = primary(at.tokens[:bracket])
        if first is None or (first > 0 and at.tokens[first - 1].text in ("def", "class")):
            return None
        return text[at.tokens[first].start : at.tokens[bracket].start]
    return None
