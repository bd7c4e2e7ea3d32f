"""The engine that gives cells what IPython does: magics, `!`, `?`, displays, tracebacks, completion.

Needs IPython 7.34 or later, and nothing of ipykernel, tornado or zmq. Only `load` is for the rest of the worker.
"""

import gc
import sys
from types import ModuleType

from ..imports import standard

_OLDEST = (7, 34)
# IPython's terminal, which only IPython.embed() needs and which is half of what IPython 7 and 8 import at once.
_TERMINAL = "IPython.terminal.embed"
# Nor do these versions wait with it until somebody wants a completion.
_JEDI = "jedi"


class ImportFailed(Exception):
    """IPython cannot be used, and the text says why."""


def load(displays, loop):
    """The engine. Raises ImportFailed."""
    try:
        _import()
        from .engine import IPythonEngine
    except Exception as error:
        raise ImportFailed(f"IPython cannot be imported: {type(error).__name__}: {error}") from error
    version = sys.modules["IPython"].version_info[:2]
    if version < _OLDEST:
        raise ImportFailed("IPython %d.%d is too old: 7.34 is the oldest that can be used" % version)
    engine = IPythonEngine(displays, loop)
    gc.freeze()  # all that was made so far stays: no collection need look at it again
    return engine


def _import():
    if "IPython" in sys.modules:
        return
    absent = _JEDI not in sys.modules
    stub = ModuleType(_TERMINAL)
    stub.embed = _embed
    collecting = gc.isenabled()
    try:
        gc.disable()  # all that is made here stays
        sys.modules[_TERMINAL] = stub
        if absent:
            sys.modules[_JEDI] = None
        standard("IPython.core.interactiveshell")
        standard("IPython.core.completer")
    finally:
        if absent:
            del sys.modules[_JEDI]
        # Whoever wants them gets the real ones.
        del sys.modules[_TERMINAL]
        if collecting:
            gc.enable()


def _embed(*args, **kwargs):
    """Start IPython in the place of the call."""
    __import__(_TERMINAL)
    return sys.modules[_TERMINAL].embed(*args, **kwargs)
