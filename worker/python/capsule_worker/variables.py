"""Variables as the Debug Adapter Protocol tells them, where no debugger is at work; and values of a stopped frame."""

from itertools import count, islice

from .imports import standard

# Far from those of pydevd, so that a reference says whose it is.
FIRST_REFERENCE = 1 << 30
_MAX_CHILDREN = 1_000
_MAX_CHARS = 1_000
_MAX_ITEMS = 15

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...))
_CONTAINERS = (dict, list, tuple, set, frozenset)
_HIDDEN = frozenset(
    "__name__ __doc__ __package__ __loader__ __spec__ __annotations__ __builtins__ __builtin__ __display__"
    " get_ipython debugpy exit quit open In Out _ih _oh _dh _ __ ___".split()
)


def is_wanted(name):
    """Whether a variable is a person's, and not the session's own."""
    return name not in _HIDDEN and not (name.startswith("_i") or name[:1] == "_" and name[1:2].isdigit())


class Explorer:
    """Numbers what can be opened. One for each look at the namespace."""

    def __init__(self):
        self._values = []
        self._repr = standard("reprlib").Repr()
        self._repr.maxstring = self._repr.maxother = self._repr.maxlong = _MAX_CHARS
        for kind in ("list", "tuple", "set", "frozenset", "dict", "deque", "array"):
            setattr(self._repr, "max" + kind, _MAX_ITEMS)

    def of_namespace(self, names):
        return [self._told(name, value, name) for name, value in sorted(names.items(), key=_by_name) if is_wanted(name)]

    def children(self, reference):
        index = reference - FIRST_REFERENCE
        if index >= len(self._values):
            return []
        value, name = self._values[index]
        if isinstance(value, dict):
            items = [(self._text(key), inner, f"{name}[{self._text(key)}]") for key, inner in _first(value.items())]
        elif isinstance(value, (list, tuple)):
            items = [(str(index), inner, f"{name}[{index}]") for index, inner in enumerate(_first(value))]
        elif isinstance(value, (set, frozenset)):
            items = [(str(index), inner, None) for index, inner in enumerate(_first(value))]
        else:
            attributes = sorted(_attributes(value).items(), key=_by_name)
            items = [(key, inner, f"{name}.{key}") for key, inner in _first(attributes)]
        return [self._told(*item) for item in items]

    def _told(self, name, value, expression):
        told = {"name": str(name), "value": self._text(value), "type": type(value).__name__, "variablesReference": 0}
        if expression is not None:
            told["evaluateName"] = expression
        if isinstance(value, _CONTAINERS) or not isinstance(value, _PLAIN) and _attributes(value):
            self._values.append((value, expression))
            told["variablesReference"] = FIRST_REFERENCE + len(self._values) - 1
        return told

    def _text(self, value):
        try:
            return self._repr.repr(value)
        except Exception as error:
            return f"<{type(value).__name__}, whose repr() fails: {type(error).__name__}>"


def _by_name(item):
    return str(item[0])


def _first(values):
    return list(islice(values, _MAX_CHILDREN))


def _attributes(value):
    try:
        return {name: inner for name, inner in vars(value).items() if not name.startswith("__")}
    except Exception:
        return {}


class Slot:
    """Takes the MIME bundle of a value that an expression evaluated elsewhere has."""

    _open = {}
    _numbers = count()

    def __init__(self, show):
        self.number = next(self._numbers)
        self.bundle = None
        self._show = show
        self._open[self.number] = self

    def close(self):
        self._open.pop(self.number, None)

    def take(self, value):
        self.bundle = self._show(value)


def keep(number, value):
    """What the expression calls."""
    Slot._open[number].take(value)
