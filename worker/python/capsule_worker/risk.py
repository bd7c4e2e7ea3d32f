"""Which cells may end their process, judged by their text before they run: all but those that run nobody's code, ask for
no memory to speak of, and can be interrupted. For the others an error is the worst.
"""

import builtins
import sys
from types import ModuleType

from .imports import standard

# Without one of these a cell calls nothing that could end the process, but for operators of its own.
_SIGNS = ("(", "[", "{", ".", "@", "!", "%", "?", "import", "await", "for ", "with ", "del ")

_MAX_CHARS = 500

# By these a cell ends its process, or calls what is not Python, by name.
_GRAVE = ("_exit", "abort", "cffi", "ctypes", "exec", "fault", "fork", "kill", "mmap", "resource")

_CALLS = frozenset("abs enumerate float input int len print range repr round str zip".split())
# With the module that defines each.
_FUNCTIONS = {
    "asyncio.sleep": "asyncio.tasks",
    "time.monotonic": "time",
    "time.perf_counter": "time",
    "time.sleep": "time",
    "time.time": "time",
}
_OUTPUT = ("sys.stdout.flush", "sys.stdout.write")
_KEYWORDS = frozenset("and await break continue elif else for if import in is not or pass while False None True".split())
_PLAIN = (bool, bytes, complex, float, int, str, type(None))

# A string without a prefix, a number, a name with its attributes, or any other character.
_TOKEN = r"""(?<!\w)'(?:[^'\\\n]|\\.)*'|(?<!\w)"(?:[^"\\\n]|\\.)*"|\d[\w.]*|[^\W\d]\w*(?:\.[^\W\d]\w*)*|\S"""


def is_grave(text):
    """Whether a cell that may end its process is likely to."""
    return any(sign in text for sign in _GRAVE)


class Risk:
    """As a session's cells are judged. Made before the first of them."""

    def __init__(self):
        self._builtins = {name: getattr(builtins, name) for name in (*_CALLS, "__import__")}
        self._stdout = sys.stdout

    def of(self, text, names):
        """Whether a cell may end the process. names: the cells' variables."""
        if text[:1] not in (",", ";", "/") and not any(sign in text for sign in _SIGNS):
            return False
        return len(text) > _MAX_CHARS or sys.stdout is not self._stdout or not self._is_harmless(text, names)

    def _is_harmless(self, text, names):
        tokens = standard("re").findall(_TOKEN, text)
        assigned = set()
        imported = {}
        before = ""
        for token, *after in zip(tokens, [*tokens[1:], ""], [*tokens[2:], "", ""]):
            if token[0].isalpha() or token[0] == "_":
                if before == "import":
                    if after[0] in ("as", ",") or not self._is_loaded(token):
                        return False
                    name = token.partition(".")[0]
                    imported[name] = sys.modules[name]
                elif token in _KEYWORDS or token in assigned or type(names.get(token, names)) in _PLAIN:
                    pass
                elif token in _CALLS or "." in token:
                    if not self._is_known(token, {**names, **imported} if imported else names):
                        return False
                elif before == "for" or (after[0] == "=" != after[1]):
                    assigned.add(token)
                else:
                    return False
            elif token in "[]{}.@!%?$`\\" or (token == "*" and before in ("(", ",", "*")):
                return False
            elif token == "(" and (before in assigned or before == ")"):
                return False
            before = token
        return True

    def _is_loaded(self, name):
        """Whether to import it is only to find it."""
        if builtins.__import__ is not self._builtins["__import__"]:
            return False
        return all(type(sys.modules.get(part)) is ModuleType for part in (name, name.partition(".")[0]))

    def _is_known(self, name, names):
        module, _, attribute = name.partition(".")
        if not attribute:
            return name not in names and getattr(builtins, name, None) is self._builtins[name]
        owner = names.get(module)
        if type(owner) is not ModuleType or owner is not sys.modules.get(module):
            return False
        if name in _OUTPUT:
            return True
        return name in _FUNCTIONS and getattr(getattr(owner, attribute, None), "__module__", None) == _FUNCTIONS[name]
