"""The engine that gives cells what IPython does: magics, `!`, `?`, displays, tracebacks, completion.

Needs IPython 7.34 or later, and nothing of ipykernel, tornado or zmq. Only `load` is for the rest of the worker.
"""

import gc
import sys
from types import ModuleType

from ..engine import is_installed
from ..imports import standard

_OLDEST = (7, 34)
# IPython's terminal, which only IPython.embed() needs and which is half of what IPython 7 and 8 import at once.
_TERMINAL = "IPython.terminal.embed"
# Nor do these versions wait with it until somebody wants a completion.
_JEDI = "jedi"
# What they import and do not use before a cell wants it: by the module, the names that they take out of it at once.
_LATE = {
    _TERMINAL: ("embed",),
    "asyncio": (),
    "asyncio.exceptions": (),
    "urllib.request": ("Request", "urlopen"),
    "logging.config": ("dictConfig",),
    "stack_data": (),
    "pexpect": (),
}
# Of these, not in the standard library.
_OTHERS = ("stack_data", "pexpect")
# What would be there with these, for cells that import the package only.
_SUBMODULES = {
    "IPython.terminal": ("debugger", "interactiveshell", "ipapp"),
    "urllib": ("error", "request", "response"),
    "logging": ("config", "handlers"),
    "http": ("client",),
    "email": ("charset", "encoders", "errors", "header", "message", "parser", "utils"),
}


class ImportFailed(Exception):
    """IPython cannot be used, and the text says why."""


def load(displays, loop):
    """The engine. Raises ImportFailed."""
    collecting = gc.isenabled()
    try:
        gc.disable()
        engine = _make(displays, loop)
    finally:
        gc.freeze()  # all that was made so far stays: no collection need look at it
        if collecting:
            gc.enable()
    engine.start()
    return engine


def _make(displays, loop):
    try:
        _import()
        from .engine import IPythonEngine
    except Exception as error:
        raise ImportFailed(f"IPython cannot be imported: {type(error).__name__}: {error}") from error
    version = sys.modules["IPython"].version_info[:2]
    if version < _OLDEST:
        raise ImportFailed("IPython %d.%d is too old: 7.34 is the oldest that can be used" % version)
    return IPythonEngine(displays, loop)


def _import():
    if "IPython" in sys.modules:
        return
    absent = _JEDI not in sys.modules
    stubs = {name: _late(name, taken) for name, taken in _LATE.items() if name not in sys.modules and _exists(name)}
    try:
        sys.modules.update(stubs)
        if absent:
            sys.modules[_JEDI] = None
        standard("IPython.core.interactiveshell")
        standard("IPython.core.completer")
        standard("IPython.core.magics")
    finally:
        if absent:
            del sys.modules[_JEDI]
        # Whoever wants them gets the real ones.
        for name, stub in stubs.items():
            if sys.modules.get(name) is stub:
                del sys.modules[name]
    for package, names in _SUBMODULES.items():
        _import_on_demand(standard(package), names)
    # The terminal's modules import each other in a circle: from this one on, or from any if this one is there.
    sys.modules["IPython.terminal"].embed = stubs[_TERMINAL]


class _Late(ModuleType):
    """In the place of a module, for whoever uses it in functions only: asks the real one, which is imported then."""

    def __getattr__(self, name):
        if name[:2] == "__":
            raise AttributeError(name)  # what the import system asks of any module
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(standard(self.__name__), name)


def _exists(name):
    """IPython can do without some, and wants to know at once."""
    return name not in _OTHERS or is_installed(name)


def _late(name, taken):
    module = _Late(name)
    for each in taken:
        setattr(module, each, _caller(module, each))
    return module


def _caller(module, name):
    def call(*args, **kwargs):
        return module.__getattr__(name)(*args, **kwargs)

    call.__name__ = call.__qualname__ = name
    return call


def _import_on_demand(package, names):
    def find(name):
        if name in names:
            return standard(f"{package.__name__}.{name}")
        raise AttributeError(f"module {package.__name__!r} has no attribute {name!r}")

    if not hasattr(package, "__getattr__"):
        package.__getattr__ = find
