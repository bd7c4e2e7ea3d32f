"""Magics that IPython leaves to the front end."""

import os
import sys
from contextlib import contextmanager
from functools import wraps

from IPython.core import magic_arguments, page
from IPython.core.async_helpers import _AsyncIOProxy
from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magics import CodeMagics
from IPython.core.magics.code import MacroToEdit
from IPython.utils import openpy

from .. import displays, idle

_INSTALLERS = ("pip", "conda", "mamba", "micromamba", "uv")
_FETCHING = ("install", "download", "wheel", "index", "search", "create", "update", "upgrade", "sync", "add")


@contextmanager
def late_help():
    """With it, the options of a magic are not written out for its docstring: `%%bash` and its kind get another at once."""
    parser = magic_arguments.MagicArgumentParser
    format_help = parser.format_help
    parser.format_help = lambda self: ""
    try:
        yield
    finally:
        parser.format_help = format_help


def register(shell):
    """Adds what is here to a shell's magics."""
    shell.register_magics(WorkerMagics)
    shell.magics_manager.register_alias("ed", "edit")
    # Set by the kernel where cells have no network.
    if os.environ.get("CAPSULE_OFFLINE"):
        lines = shell.magics_manager.magics["line"]
        for name in _INSTALLERS:
            if name in lines:
                shell.magics_manager.register_function(_offline(name, lines[name]), "line", name)


def end_script_loop(shell):
    """Ends the loop in which `%%bash` and its kind have run, and its thread: the next begins another. Not where a script runs
    in the background, or what one has written there may yet be read.
    """
    scripts = shell.magics_manager.registry.get("ScriptMagics")
    loop = getattr(scripts, "event_loop", None)
    if loop is None or any(process.returncode is None for process in scripts.bg_processes):
        return
    if any(type(value) is _AsyncIOProxy for value in list(shell.user_ns.values())):
        return
    if idle.end_loop(loop):
        scripts.event_loop = None
        # IPython 9 has it end the same loop at the worker's own end.
        if loop.is_closed() and hasattr(scripts, "stop_event_loop"):
            scripts.stop_event_loop()


def _offline(name, magic):
    @wraps(magic)
    def run(line):
        words = line.split()
        if "--no-index" not in words and any(word in _FETCHING for word in words[:2]):
            program = f"{sys.executable} -m pip" if name == "pip" else name
            raise UsageError(
                f"%{name} cannot fetch anything: the cells of this kernel have no network, and for them the directories of "
                f"Python are read-only. Run this in a terminal, then restart the kernel:\n  {program} {line.strip()}"
            )
        return magic(line)

    return run


@magics_class
class WorkerMagics(Magics):
    @line_magic
    def edit(self, parameter_s="", last_call=None):
        """Open code in the front end's editor: `%edit [-n LINE] [-p] [-r] FILE, object or lines of history`."""
        options, argument = self.parse_options(parameter_s, "prn:")
        try:
            filename, line, _ = CodeMagics._find_edit_target(self.shell, argument, options, last_call or ["", ""])
        except MacroToEdit:
            raise UsageError("macros cannot be edited here; %load one, change it, and define it anew") from None
        self.shell.payload_manager.write_payload(
            {"source": "edit_magic", "filename": os.path.abspath(filename), "line_number": line}
        )

    @line_magic
    def clear(self, line):
        """Remove what the cell has shown."""
        displays.clear_output()

    @line_magic
    def less(self, line):
        """Show a file in the pager. Python files are coloured."""
        if not line:
            raise UsageError("Missing filename.")
        if line.endswith(".py"):
            page.page(self.shell.pycolorize(openpy.read_py_file(line, skip_encoding_cookie=False)))
        else:
            with open(line, encoding="utf-8", errors="replace") as file:
                page.page(file.read())

    @line_magic
    def more(self, line):
        """Show a file in the pager."""
        self.less(line)

    @line_magic
    def man(self, line):
        """Show a manual page in the pager."""
        page.page(self.shell.getoutput(f"man {line} | col -b", split=False))

    @line_magic
    def autosave(self, line):
        """Set after how many seconds the classic notebook saves by itself: `%autosave SECONDS`; 0 is never."""
        try:
            seconds = int(line)
        except ValueError as error:
            raise UsageError(f"%autosave requires an integer, got {line!r}") from error
        script = f"IPython.notebook.set_autosave_interval({1000 * seconds})"
        displays.display({"application/javascript": script}, raw=True)
        print(f"Autosaving every {seconds} seconds" if seconds else "Autosave disabled")

    @line_magic
    def connect_info(self, line):
        """Say how another client can connect."""
        print("The connection file is the kernel's, and no business of a cell's. `jupyter console --existing` finds it.")

    @line_magic
    def qtconsole(self, line):
        """Say how a console can be opened for this session."""
        print("A cell cannot open windows. Run in a terminal: jupyter qtconsole --existing")
