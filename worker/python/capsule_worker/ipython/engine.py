"""The engine that is IPython. It has the public methods of PlainEngine."""

import io
import os
import pdb
import sys
from _signal import getsignal, valid_signals
from bdb import BdbQuit
from contextlib import redirect_stderr, redirect_stdout
from importlib.machinery import PathFinder

from IPython.core import debugger, interactiveshell

from .. import displays, tracebacks
from ..interrupts import OWN_SIGNALS
from ..namespace import own_variables
from . import inspection, profile, rendering
from .completion import Completion
from .shell import Shell, pose

_INLINE = "matplotlib_inline"

# What jedi sets when it is loaded, which in other kernels is at their start.
_RECURSION_LIMIT = 3_000

# Set by the kernel where widgets can be shown.
_COMMS = "CAPSULE_COMMS"


class IPythonEngine:
    """Of the main thread and of those of subshells."""

    def __init__(self, shown, loop):
        self._shown = shown
        self._loop = loop
        self._rested = self._expects_async = False
        sys.setrecursionlimit(max(_RECURSION_LIMIT, sys.getrecursionlimit()))
        inline = PathFinder.find_spec(_INLINE) is not None
        # Without its backend for notebooks matplotlib draws all the same, and the figures are shown by the worker.
        self._shows_figures = not inline
        os.environ.setdefault("MPLBACKEND", f"module://{_INLINE}.backend_inline" if inline else "agg")
        tracebacks.RUNS_CELLS.add((interactiveshell.__file__, "run_code"))
        if hasattr(interactiveshell, "PickleShareDB"):
            interactiveshell.PickleShareDB = lambda root: None  # see Shell.db
        self.notice = None
        own = profile.profile()
        config, self._errors = profile.config(own.location)
        if os.environ.get(_COMMS) == "allowed":
            pose(config)
        self._shell = Shell.instance(ipython_dir=profile.ipython_folder(), profile_dir=own, config=config)
        self._shell.run_on(loop)
        self._completion = Completion(self._shell)
        # The debugger that IPython has can be interrupted.
        debugger.Pdb = getattr(debugger, "InterruptiblePdb", debugger.Pdb)
        pdb.Pdb, pdb.set_trace = debugger.Pdb, debugger.set_trace

    def start(self):
        """Runs what the person's profile wants before the first cell, with which is shown what that has printed."""
        with redirect_stdout(io.StringIO()) as said, redirect_stderr(said):
            print(*self._errors, sep="\n", end="\n" * bool(self._errors))
            profile.start(self._shell)
        self.notice = said.getvalue().rstrip()

    def execute(self, text, cell):
        """Runs a cell's text and raises what it raises. Returns the MIME bundle of its result, None if it has none."""
        shell = self._shell
        here = shell.here
        if not shell.is_main():
            here.count = cell.count
        # One that is not stored has the count of the last that is, whose output it would replace.
        elif cell.store_history and shell.execution_count != cell.count:
            shell.execution_count = cell.count
        here.held = here.told = None
        here.unstored = not cell.store_history
        self._expects_async = self._expects_async or ("async def" in text and "asyncio" not in sys.modules)
        # IPython itself fails without it.
        shell.user_ns.setdefault("_oh", shell.history_manager.output_hist)
        done = self._loop.run_beside(shell.run_cell, text, store_history=cell.store_history, silent=cell.silent)
        held, here.held = here.held, None
        here.unstored = False  # what a front end calls between cells is not theirs
        error = done.error_in_exec if done.error_before_exec is None else done.error_before_exec
        if error is None:
            return held
        if held is not None:
            displays.show_result(*held)
        raise error

    def call(self, function, *args):
        """Calls what a cell wants to be called for a front end, such as a widget's callback."""
        shell = self._shell
        shell.here.told = None
        with shell.builtin_trap:
            shell.events.trigger("pre_execute")
            try:
                self._loop.run_beside(function, *args)
            finally:
                # Shows the figures that matplotlib's backend has left.
                shell.events.trigger("post_execute")

    def describe(self, error):
        """What is told of an exception."""
        told = self._shell.here.told
        if told is None or told[0] is not error:
            return tracebacks.describe(error)
        error.__traceback__ = told[1]
        return told[2]

    def has_shown(self, error):
        """Whether people have seen the error already."""
        shell = self._shell
        told = shell.here.told is not None and shell.here.told[0] is error
        return told or isinstance(error, (BdbQuit, *shell.custom_exceptions))

    def add_input(self, text, count):
        """Of a cell whose code was not run here, or whose effects were taken back."""
        self._shell.history_manager.store_inputs(count, text, text)

    def namespace(self):
        """The variables themselves."""
        return self._shell.user_ns

    def variables(self):
        """The namespace, and what of it is a person's own."""
        return self._shell.user_ns, own_variables(self._shell.user_ns, self._shell.user_ns_hidden)

    def has_more(self):
        return self._shows_figures and self._shown.has_figures()

    def finish(self):
        if self._shows_figures:
            self._shown.show_figures()

    def evaluate(self, expression):
        """The MIME bundle of a user expression's value. Raises what it raises."""
        shell = self._shell
        with shell.builtin_trap:
            return shell.display_formatter.format(eval(expression, shell.user_global_ns, shell.user_ns))

    def show(self, value):
        """The MIME bundle of a value."""
        shell = self._shell
        with shell.builtin_trap:
            return shell.display_formatter.format(value)

    def names(self):
        """The variables of the cells."""
        hidden = self._shell.user_ns_hidden
        return {name: value for name, value in list(self._shell.user_ns.items()) if name not in hidden}

    def wants_rest(self):
        if self._rested and not self._expects_async:
            return False
        # What a cell's handler raises would be lost in the midst of an import.
        return not any(map(callable, map(getsignal, valid_signals() - OWN_SIGNALS)))

    def rest(self):
        """While nobody waits: gets ready for what will probably come."""
        self._rested = True
        rendering.prepare()
        if self._expects_async:
            self._expects_async = False
            self._loop.prepare()

    def end_idle_threads(self):
        """Ends threads that wait for the next cell of their kind, and have nothing to do until then."""
        from . import magics

        magics.end_script_loop(self._shell)

    def end_late_threads(self):
        self._completion.give_up_late()

    def complete(self, text, cursor):
        return self._completion.complete(text, cursor)

    def inspect(self, text, cursor, detail):
        """The MIME bundle of what is known about the object at the cursor, None if there is none."""
        bundle = inspection.inspect(self._shell, text, cursor, detail)
        return None if bundle is None else (bundle, {})

    def is_complete(self, text):
        """(status, indent); indent is None unless the status is `incomplete`."""
        status, indent = self._shell.check_complete(text)
        return status, indent if status == "incomplete" else None
