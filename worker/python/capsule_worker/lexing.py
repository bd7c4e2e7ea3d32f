"""Where a cursor is in code that is being typed, and so may not compile."""

from collections import namedtuple

from .imports import standard

_re = standard("re")

# In this order. A string that does not end on its line, or at all, is found by its opening alone.
_TOKEN = _re.compile(
    r"""
    (?P<space>[ \t\f]+|\\\n)
  | (?P<comment>\#[^\n]*)
  | (?P<newline>\n)
  | (?P<string>(?P<prefix>(?i:[rbu]|br|rb|f|fr|rf)?)(?P<quote>\"{3}|'{3}|"|'))
  | (?P<number>(?:\d|\.\d)[\w.]*)
  | (?P<name>[^\W\d]\w*)
  | (?P<open>[(\[{])
  | (?P<close>[)\]}])
  | (?P<other>->|:=|\*\*|//|[-+*/%&|^<>=!@~]=?|.)
    """,
    _re.VERBOSE,
)

Token = namedtuple("Token", "kind text start end")

# An opened and not yet closed bracket: the index of its token.
# A string that the cursor is in: where its contents begin, its opening, and the index its token would have.
Place = namedtuple("Place", "tokens brackets string comment")
OpenString = namedtuple("OpenString", "start prefix quote")


def place(text):
    """What is before the end of `text`: the tokens of the statement there and what is open."""
    tokens, brackets = [], []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        kind, start, position = match.lastgroup, position, match.end()
        if match["string"] is not None:
            end = _end_of_string(text, position, match["quote"])
            if end is None:
                return Place(tokens, brackets, OpenString(position, match["prefix"], match["quote"]), False)
            tokens.append(Token("string", text[start:end], start, end))
            position = end
        elif kind == "comment":
            if position == len(text):
                return Place(tokens, brackets, None, True)
        elif kind == "newline" or match[0] == ";":
            if not brackets:
                tokens = []
        elif kind != "space":
            if kind == "open":
                brackets.append(len(tokens))
            elif kind == "close" and brackets:
                brackets.pop()
            tokens.append(Token(kind, match[0], start, position))
    return Place(tokens, brackets, None, False)
