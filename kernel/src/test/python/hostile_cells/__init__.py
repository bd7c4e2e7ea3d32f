"""Cells that try to leave the sandbox, to harm what is outside, or to fool the kernel and who sits in front of it."""

import os

from . import calls, files, identities, network, processes, protocol

_tools = os.path.join(os.path.dirname(__file__), "tools.py")

CELLS = [
    *files.CELLS,
    *identities.CELLS,
    *processes.CELLS,
    *calls.CELLS,
    *network.CELLS,
    *protocol.CELLS,
]

# Those that lie to the kernel in its own language.
FRAMES = protocol.CELLS

# Cells that an interrupt does not end: each gets a kernel of its own, for the sake of time.
STUBBORN = processes.STUBBORN

_names = [cell.name for cell in (*CELLS, *STUBBORN)]
assert len(_names) == len(set(_names)), sorted(name for name in _names if _names.count(name) > 1)


def tools_path():
    """The module that cells import."""
    return _tools
