"""Capsule's Python worker: runs the cells of one session and speaks the frame protocol (worker/PROTOCOL.md).

What cells may import from here: display, update_display, clear_output, page, set_next_input, DisplayHandle.
"""

__version__ = "0.1.0"

_FOR_CELLS = ("display", "update_display", "clear_output", "page", "set_next_input", "DisplayHandle")

__all__ = list(_FOR_CELLS)


def __getattr__(name):
    # Not imported above: this file is what a worker's boot runs first.
    if name in _FOR_CELLS:
        from . import displays

        return getattr(displays, name)
    raise AttributeError(f"module 'capsule_worker' has no attribute {name!r}")
