"""What is known about an object: for the inspector, and for `name?` and `name??`."""

import sys

from . import lexing
from .imports import standard

_MAX_FORM_CHARS = 500
_MAX_TEXT_CHARS = 1 << 20
_RED, _PLAIN = "\033[0;31m", "\033[0m"


def inspect_at(text, cursor, detail, namespace):
    """Text about the name at the cursor, or else about what is being called there; None if there is neither."""
    end = cursor = min(max(0, cursor), len(text))
    while end < len(text) and (text[end].isalnum() or text[end] == "_"):
        end += 1
    at = lexing.place(text[:end])
    names = []
    if at.string is None and not at.comment and at.tokens and at.tokens[-1].end == end:
        first = lexing.primary(at.tokens)
        if first is not None and at.tokens[-1].kind == "name":
            names.append(text[at.tokens[first].start : end])
    at = lexing.place(text[:cursor])
    names.append(lexing.callee(at, text))
    for name in names:
        found = name and inspect_name(name, detail, namespace)
        if found:
            return found
    return None


def inspect_name(name, detail, namespace):
    """Text about the object of this name, None if there is none."""
    try:
        value = lexing.evaluate(name, namespace)
    except Exception:
        return None  # nobody knows what it is
    return describe(name.strip(), value, detail)


def describe(name, value, detail):
    inspect = standard("inspect")
    is_code = inspect.isroutine(value) or inspect.isclass(value)
    signature = _try(lambda: _signature(name, value)) if callable(value) else None
    source = _try(lambda: inspect.getsource(value)) if detail else None
    parts = [
        ("Signature" if not inspect.isclass(value) else "Init signature", signature),
        ("Type", type(value).__name__),
        ("String form", None if is_code else _try(lambda: _form(value))),
        ("Length", None if is_code or isinstance(value, type(sys)) else _try(lambda: str(len(value)))),
        ("File", _try(lambda: _file(value)) if is_code or inspect.ismodule(value) else None),
        ("Source", source),
        ("Docstring", None if source else _try(lambda: inspect.getdoc(value)) or "<no docstring>"),
    ]
    text = "\n".join(_part(title, told) for title, told in parts if told)
    return text if len(text) <= _MAX_TEXT_CHARS else text[:_MAX_TEXT_CHARS] + "\n…"


def _try(function):
    try:
        return function()
    except Exception:
        return None  # the object does not tell


def _part(title, told):
    title = f"{_RED}{title}:{_PLAIN}"
    return f"{title}\n{told}" if "\n" in told else f"{title} {told}"


def _signature(name, value):
    return name.rpartition(".")[2] + str(standard("inspect").signature(value))


def _form(value):
    text = repr(value)
    return text if len(text) <= _MAX_FORM_CHARS else text[: _MAX_FORM_CHARS - 1] + "…"


def _file(value):
    from . import sources

    file = standard("inspect").getfile(value)
    return sources.title(file) or file
