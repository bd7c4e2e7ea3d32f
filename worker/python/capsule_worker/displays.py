"""display() and its kin: what cells show beside text."""

import os
import sys
from _thread import allocate_lock, get_ident

from . import formatting

_displays = None


class TooEarly(RuntimeError):
    """There has been no cell to which something shown could belong."""


class Displays:
    """Sends what cells show, and waits until the kernel has it, so that nothing printed later overtakes it."""

    def __init__(self, connection, executions, streams, interrupts):
        self._connection = connection
        self._executions = executions
        self._interrupts = interrupts
        self._streams = streams
        # Frames sent by the running cell's thread that the kernel answers, and how many of them it has answered.
        self._sent = 0
        self._delivered = 0
        self._wake = allocate_lock()
        self._wake.acquire()

    def install(self):
        """Makes these the displays of the functions below."""
        global _displays
        _displays = self

    def begin(self):
        self._sent = self._delivered = 0

    def delivered(self, execution_id):
        """Control thread."""
        execution = self._executions.running
        if execution is not None and execution.id == execution_id:
            self._delivered += 1
            self._awaken()

    def _awaken(self):
        try:
            self._wake.release()
        except RuntimeError:
            pass  # nobody has waited since the last time

    def emit(self, kind, fields, buffers=(), waits=True):
        execution = self._executions.current()
        if execution is None:
            raise TooEarly("nothing can be shown before the first cell")
        # What a subshell prints is in frames, too, and overtakes nothing.
        here = waits and execution is self._executions.running and self._executions.runs_here(execution)
        header = {"emit": kind, "id": execution.id, **fields}
        if here:
            header["ack"] = True
        parts = self._connection.encode(header, buffers)
        execution.account(parts)
        if waits:
            self._streams.flush_of(execution)
        if not here:
            self._connection.write(parts)
            return
        with self._interrupts.shield:
            self._connection.write(parts)
            self._sent += 1
        try:
            # Not in a signal's handler in the midst of another frame: its own is only written when that is. What sends the
            # other waits for both.
            while self._delivered < self._sent and not self._connection.writes_here:
                self._wake.acquire()
        finally:
            # This may be a handler in the midst of such a wait, and has taken what was to end that.
            self._awaken()

    def show(self, value, include=None, exclude=None, metadata=None, display_id=None, update=False, raw=False):
        shown = (value, {}) if raw else formatting.bundle(value, include, exclude)
        if shown is None:
            return
        data, own_metadata = shown
        mimes, forms, buffers = formatting.encode(data, {**own_metadata, **(metadata or {})})
        fields = {"mimes": mimes, "forms": forms}
        if display_id is not None:
            fields["display_id"] = display_id
        self.emit("update_display" if update else "display", fields, buffers)

    def beside_a_cell(self):
        """Whether the caller is of a subshell while the main shell runs a cell, which may be drawing just now."""
        running = self._executions.running
        return running is not None and running.thread != get_ident()

    @staticmethod
    def has_figures():
        pyplot = sys.modules.get("matplotlib.pyplot")
        # It may be half imported.
        return pyplot is not None and hasattr(pyplot, "get_fignums") and bool(pyplot.get_fignums())

    def show_figures(self):
        """Shows the figures that a cell has left open in matplotlib, and closes them."""
        if not self.has_figures() or self.beside_a_cell():
            return
        from io import BytesIO

        pyplot = sys.modules["matplotlib.pyplot"]
        try:
            for number in pyplot.get_fignums():
                figure = pyplot.figure(number)
                image = BytesIO()
                figure.savefig(image, format="png", bbox_inches="tight")
                self.show({"image/png": image.getvalue(), "text/plain": repr(figure)}, raw=True)
        finally:
            pyplot.close("all")

    def show_result(self, data, metadata):
        """Sends a result before its cell ends. That of other code than the cell's own is an ordinary display."""
        here = self._executions.runs_here(self._executions.current())
        mimes, forms, buffers = formatting.encode(data, metadata)
        self.emit("result" if here else "display", {"mimes": mimes, "forms": forms}, buffers)

    def show_error(self, told):
        """Shows what is told of an error that need not end the cell."""
        self.emit("error", told._asdict())

    def add_payload(self, payload, single=False):
        execution = self._executions.current()
        if execution is None or not execution.running:
            raise RuntimeError(f"{payload.get('source')}: the cell that this code belongs to has ended")
        if single:
            execution.payload[:] = [other for other in execution.payload if other["source"] != payload.get("source")]
        execution.payload.append(payload)


def display(
    *objs,
    include=None,
    exclude=None,
    metadata=None,
    transient=None,
    display_id=None,
    raw=False,
    clear=False,
    **kwargs,
):
    """Show objects in the notebook.

    include, exclude: MIME types that alone, or not, are shown. metadata: by MIME type, beside what the objects say.
    display_id: True or a string; the DisplayHandle that is then returned can update what is shown. raw: the objects
    are dicts of data by MIME type. clear: in place of all that the cell has shown. transient and others are ignored.
    """
    handle = None
    if display_id is not None and display_id is not False:
        handle = DisplayHandle(None if display_id is True else display_id)
        display_id = handle.display_id
    else:
        display_id = None
    if clear:
        clear_output(wait=True)
    for obj in objs:
        _displays.show(obj, include, exclude, metadata, display_id, raw=raw)
    return handle


def update_display(obj, *, display_id, include=None, exclude=None, metadata=None, raw=False, **kwargs):
    """Replace, wherever it is, what was shown under this display_id."""
    _displays.show(obj, include, exclude, metadata, display_id, update=True, raw=raw)


class DisplayHandle:
    """A place in the notebook whose contents can be replaced."""

    def __init__(self, display_id=None):
        if display_id is not None and not isinstance(display_id, str):
            raise TypeError(f"display_id is True or a string, not {display_id!r}")
        self.display_id = display_id if display_id is not None else os.urandom(16).hex()

    def __repr__(self):
        return f"<{type(self).__name__} display_id={self.display_id}>"

    def display(self, obj, **kwargs):
        """Show the object once more, under the same id."""
        display(obj, display_id=self.display_id, **kwargs)

    def update(self, obj, **kwargs):
        """Show this object in place of the last."""
        update_display(obj, display_id=self.display_id, **kwargs)


def clear_output(wait=False):
    """Remove what the cell has shown; with `wait`, only when something else is shown."""
    _displays.emit("clear_output", {"wait": bool(wait)})


def page(data, start=0):
    """Show text, or a dict of data by MIME type, in the front end's pager."""
    if not isinstance(data, dict):
        data = {"text/plain": str(data)}
    _displays.add_payload({"source": "page", "data": data, "start": start})


def set_next_input(text, replace=False):
    """Put text into the next cell, or in place of this one."""
    _displays.add_payload({"source": "set_next_input", "text": str(text), "replace": bool(replace)})


def show_result(data, metadata):
    _displays.show_result(data, metadata)


def beside_a_cell():
    return _displays.beside_a_cell()


def show_error(told):
    _displays.show_error(told)


def add_payload(payload, single):
    """Ask something of the front end, beside or, if `single`, in place of what has the same `source`."""
    _displays.add_payload(payload, single)


def ask_exit():
    """Ask the front end to end the session."""
    _displays.add_payload({"source": "ask_exit", "keepkernel": False})
