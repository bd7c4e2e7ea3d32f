"""IPython's shell, with the worker in place of a terminal: its displays, payloads, processes and event loop."""

import ast
import os
import sys
import threading
import warnings
from _thread import RLock, get_ident
from contextlib import nullcontext
from fnmatch import fnmatchcase
from types import ModuleType

from IPython.core import page, payloadpage
from IPython.core.autocall import ZMQExitAutocall
from IPython.core.builtin_trap import BuiltinTrap
from IPython.core.display_trap import DisplayTrap
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.error import UsageError
from IPython.core.events import EventManager
from IPython.core.history import HistoryAccessorBase, HistoryManager
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell
from IPython.core.payload import PayloadManager
from traitlets import All, Any, Bool, CBool, Instance, Integer, Type, default, observe
from traitlets.config import Config

from .. import comms, displays, sources, tracebacks
from ..connection import Forked
from . import processes, profile, rendering
from .completion import Completion
from .formatters import Formatter
from .reading import Parser, Reader

try:
    _GROUP = BaseExceptionGroup
except NameError:  # before Python 3.11
    _GROUP = ()


# What is named like event loops, but has none of its own that would have to be run.
_LOOPLESS = (None, "inline", "agg", "asyncio", "notebook", "nbagg", "webagg", "ipympl", "widget")

# Those who count how often they are entered count for all threads.
_traps = RLock()


class _Builtins(BuiltinTrap):
    def __enter__(self):
        with _traps:
            return super().__enter__()

    def __exit__(self, *error):
        with _traps:
            return super().__exit__(*error)


class _DisplayHooks(DisplayTrap):
    def __enter__(self):
        with _traps:
            return super().__enter__()

    def __exit__(self, *error):
        with _traps:
            return super().__exit__(*error)


class _Events(EventManager):
    def trigger(self, event, *args, **kwargs):
        if not self.callbacks[event]:
            return
        # matplotlib's figures are shown, and closed, by this.
        if event != "post_execute" or not displays.beside_a_cell():
            super().trigger(event, *args, **kwargs)


class _Here(threading.local):
    """What a thread that runs cells knows of its own: IPython thinks that there is one cell at a time."""

    # The result that goes out with the cell's end; the last error, its traceback, and what has been told of it.
    held = None
    told = None
    # Whether the cell is none of the session's own, such as one that looks at the variables for a front end.
    unstored = False
    depth = 0
    left = 0
    last_code = None
    text = ""
    exec_result = None
    # Of the cell, in a subshell: IPython counts only those of the main shell.
    count = None


_here = _Here()


class Publisher(DisplayPublisher):
    """What display() calls."""

    def _setup_execution_tracking(self):
        """Of IPython 9, which would keep all that is shown."""

    def publish(self, data, metadata=None, source=None, *, transient=None, update=False, **kwargs):
        self._validate_data(data, metadata)
        display_id = (transient or {}).get("display_id")
        if update:
            displays.update_display(data, display_id=display_id, metadata=metadata, raw=True)
        else:
            displays.display(data, display_id=display_id, metadata=metadata, raw=True)

    def clear_output(self, wait=False):
        displays.clear_output(wait)


class Hook(DisplayHook):
    """What gets the values of expressions."""

    @property
    def exec_result(self):
        return self.shell.here.exec_result

    @exec_result.setter
    def exec_result(self, result):
        self.shell.here.exec_result = result

    def _stores(self):
        """`_` and `Out` are those of the main shell's stored cells, whose counts they have."""
        return self.shell.is_main() and not self.shell.here.unstored

    def update_user_ns(self, result):
        if self._stores():
            super().update_user_ns(result)

    def quiet(self):
        if not self._stores():
            return self.shell.here.text.rstrip().endswith(";")
        inputs = self.shell.history_manager.input_hist_parsed
        # Whether a semicolon is the last token is dear to find out, and there is seldom one.
        return bool(inputs) and ";" in inputs[-1] and super().quiet()

    def write_output_prompt(self):
        """The front end does."""

    def write_format_data(self, format_dict, md_dict=None):
        self.shell.show_result(format_dict, md_dict or {}, sys._getframe(2).f_code)

    def finish_displayhook(self):
        self._is_active = False

    def log_output(self, format_dict):
        if self._stores():
            super().log_output(format_dict)
            # IPython 9 would keep all that is shown.
            getattr(self.shell.history_manager, "outputs", {}).pop(self.prompt_count, None)
        elif "text/plain" in format_dict:
            self.shell.logger.log_write(format_dict["text/plain"], "output")


class SettledHook(Hook):
    """One that has its shell, for which IPython asks thirty times a cell: as a trait that is dear."""

    shell = None


class Payloads(PayloadManager):
    """Payloads go to the cell that runs."""

    def write_payload(self, data, single=True):
        if not isinstance(data, dict):
            raise TypeError(f"a payload is a dict, not {data!r}")
        displays.add_payload(data, single)


class History(HistoryManager):
    """The session's inputs and outputs in memory. The kernel keeps what outlives it."""

    # The last inputs. They are always strings, which IPython would check.
    _i = _ii = _iii = _i00 = ""

    def __init__(self, shell, **traits):
        super().__init__(shell=shell, enabled=False, **traits)

    def store_inputs(self, line_num, source, source_raw=None):
        # A new worker in an old session begins with a count over 1; and there are inputs that are not stored.
        for inputs in (self.input_hist_parsed, self.input_hist_raw):
            inputs.extend([""] * (line_num - len(inputs)))
        super().store_inputs(line_num, source, source_raw)
        self.db_input_cache.clear()

    def get_tail(self, n=10, raw=True, output=False, include_latest=False):
        found = self.search(raw=raw, output=output)
        return (found if include_latest else found[:-1])[-n:]

    def search(self, pattern="*", raw=True, search_raw=True, output=False, n=None, unique=False):
        inputs = self.input_hist_raw if search_raw else self.input_hist_parsed
        found = [
            entry
            for entry in self.get_range(raw=raw, output=output)
            if inputs[entry[1]] and fnmatchcase(inputs[entry[1]], pattern)
        ]
        if unique:
            found = list({inputs[entry[1]]: entry for entry in found}.values())
        return found if n is None else found[-n:]


# Of its traits those that are asked for in each cell, and cannot be configured.
_HISTORY = ("shell", "input_hist_parsed", "input_hist_raw", "output_hist", "output_hist_reprs", "db_input_cache")


class SettledHistory(History):
    shell = input_hist_parsed = input_hist_raw = output_hist = output_hist_reprs = db_input_cache = None


def _settle(made, kind, names):
    """Makes ordinary attributes of traits, in an object that is made."""
    values = {name: getattr(made, name) for name in names}
    made.__class__ = kind
    vars(made).update(values)
    return made


def _check(error):
    """Lets an interrupt end the text of an error, if it takes long: IPython would think that the error is broken."""
    try:
        str(error)
    except BaseException as failure:
        if tracebacks.is_interrupt(failure):
            raise _without_context(failure)
        # IPython says that it is broken.


def _without_context(interrupt):
    """What made the telling of an error take so long is in its context, and must not be told again."""
    interrupt.__context__ = None
    return interrupt


class Compiler(Parser):
    """Tells which name a cell's text has got."""

    def cache(self, transformed_code, number=0, *args, **options):
        return super().cache(transformed_code, _here.count or number, *args, **options)

    def get_code_name(self, raw_code, transformed_code, number):
        name = super().get_code_name(raw_code, transformed_code, number)
        sources.compiled(name, raw_code or transformed_code)
        if not Reader.defines(transformed_code):
            for forgotten in sources.passes(name):
                self._filename_map.pop(forgotten, None)
        return name


class Runner:
    """Runs the coroutine of a cell on the session's loop."""

    def __init__(self, loop):
        self._loop = loop

    def __call__(self, coroutine):
        return self._loop.run(coroutine)

    def __str__(self):
        return "asyncio"


def pose(config):
    """Libraries such as tqdm and rich show a widget only in ipykernel's shell, which they know by its class's name, by its
    module or by a section of its configuration."""
    Shell.__name__ = Shell.__qualname__ = "ZMQInteractiveShell"
    module = ModuleType("ipykernel.zmqshell")
    module.ZMQInteractiveShell, module.ZMQDisplayPublisher = Shell, Publisher
    sys.modules.setdefault(module.__name__, module)
    config.setdefault("IPKernelApp", Config())


class _Quick:
    """A trait that is asked for without ceremony; and set without it to what is of the type that it was, as long as
    nobody observes it.
    """

    def __get__(self, obj, cls=None):
        try:
            return obj._trait_values[self.name]
        except (AttributeError, KeyError):
            return super().__get__(obj, cls)

    def __set__(self, obj, value):
        values, told = obj._trait_values, obj._trait_notifiers
        named, every = told.get(self.name), told.get(All)
        watched = (named and any(named.values())) or (every and any(every.values()))
        if watched or type(values.get(self.name)) is not type(value) or self.name in obj._trait_validators:
            super().__set__(obj, value)
        else:
            values[self.name] = value


class _QuickInteger(_Quick, Integer):
    pass


class _QuickBool(_Quick, Bool):
    pass


class _QuickInstance(_Quick, Instance):
    pass


class Shell(InteractiveShell):
    """Of the main thread and of those of subshells, which use nothing that it counts or remembers."""

    display_pub_class = Type(Publisher)
    displayhook_class = Type(Hook)
    compiler_class = Type(Compiler)
    autoindent = CBool(False)
    exiter = Instance(ZMQExitAutocall)
    keepkernel_on_exit = Any()
    # IPython sets or asks for these some ten times a cell.
    execution_count = _QuickInteger(1)
    history_manager = _QuickInstance(HistoryAccessorBase, allow_none=True)
    last_execution_succeeded = _QuickBool(True)
    last_execution_result = _QuickInstance(ExecutionResult, allow_none=True)

    def __init__(self, **kwargs):
        self.here = _here
        self._main = get_ident()
        self._telling = RLock()
        self._database = None
        self._loop = None
        super().__init__(**kwargs)
        self._reader = Reader(self)

    def run_on(self, loop):
        """Makes the session's loop the one on which cells await."""
        self._loop = loop
        self.loop_runner_map = {**self.loop_runner_map, "asyncio": (Runner(loop), True)}
        self.loop_runner = "asyncio"

    def is_main(self):
        """Whether the caller is the main thread, and not a subshell's."""
        return get_ident() == self._main

    # Parts

    def init_builtins(self):
        super().init_builtins()
        self.builtin_trap = _Builtins(shell=self)

    def init_events(self):
        super().init_events()
        # Others have theirs in it already.
        self.events.__class__ = _Events

    def init_displayhook(self):
        super().init_displayhook()
        _settle(self.displayhook, SettledHook, ("shell",))
        self.display_trap = _DisplayHooks(hook=self.displayhook)

    def init_traceback_handlers(self, custom_exceptions):
        super().init_traceback_handlers(custom_exceptions)
        rendering.skip_own_frames(self.InteractiveTB)

    @observe("ipython_dir")
    def _ipython_dir_changed(self, change):
        """It is not made because a session begins."""

    @property
    def db(self):
        """Opened by whoever needs it."""
        if self._database is None:
            self._database = profile.database(self.profile_dir.location)
        return self._database

    @db.setter
    def db(self, value):
        """IPython 7 and 8 would have it at once."""

    def init_virtualenv(self):
        """The interpreter is the right one already."""

    def init_environment(self):
        # Programs have no terminal here, so there is nobody who could turn a page.
        os.environ.update(TERM="xterm-color", CLICOLOR="1", PAGER="cat", GIT_PAGER="cat")

    def init_history(self):
        self.history_manager = _settle(History(self, parent=self), SettledHistory, _HISTORY)
        self.configurables.append(self.history_manager)

    def init_completer(self):
        super().init_completer()
        # It was hidden while IPython was imported, so IPython thinks that there is none.
        if not any("use_jedi" in self.config.get(name, ()) for name in ("Completer", "IPCompleter")):
            self.Completer.use_jedi = Completion.has_jedi()

    def init_hooks(self):
        super().init_hooks()
        self.set_hook("show_in_pager", page.as_hook(payloadpage.page), 99)

    def init_display_formatter(self):
        self.display_formatter = Formatter(parent=self)
        self.configurables.append(self.display_formatter)

    def init_payload(self):
        self.payload_manager = Payloads(parent=self)
        self.configurables.append(self.payload_manager)

    def init_magics(self):
        from . import magics

        with magics.late_help():
            super().init_magics()
        magics.register(self)

    @default("exiter")
    def _default_exiter(self):
        return ZMQExitAutocall(self)

    # What widgets ask

    @property
    def kernel(self):
        return comms.kernel()

    def get_parent(self):
        """The request that is being served, as ipykernel's shell has it."""
        return comms.parent()

    def set_parent(self, parent):
        """What is shown belongs to the cell or message whose code shows it, whatever a library wants."""

    # What the front end does

    def ask_exit(self):
        self.payload_manager.write_payload({"source": "ask_exit", "keepkernel": self.keepkernel_on_exit})

    def set_next_input(self, text, replace=False):
        self.payload_manager.write_payload({"source": "set_next_input", "text": text, "replace": replace})

    def enable_gui(self, gui=None):
        if gui not in _LOOPLESS:
            raise UsageError(
                f"the event loop of {gui!r} cannot be run: a worker has no screen. Use %matplotlib inline, or a backend "
                "that draws in the notebook."
            )

    def system(self, cmd):
        self.user_ns["_exit_code"] = processes.system(self.var_expand(cmd, depth=1), self._loop.uninterrupted())

    system_piped = system

    # Cells

    def _tee(self, channel):
        """IPython 9 would keep all that is printed, and make each print dear."""
        return nullcontext()

    def transform_cell(self, raw_cell):
        text = self._reader.read(raw_cell)
        return super().transform_cell(raw_cell) if text is None else text

    def should_run_async(self, raw_cell, *, transformed_cell=None, preprocessing_exc_tuple=None):
        known = Reader.is_async(transformed_cell)
        if known is not None and self.autoawait and preprocessing_exc_tuple is None:
            return known
        return super().should_run_async(
            raw_cell, transformed_cell=transformed_cell, preprocessing_exc_tuple=preprocessing_exc_tuple
        )

    def run_cell(self, raw_cell, *args, **kwargs):
        self.here.depth += 1
        self.here.text = raw_cell
        try:
            return super().run_cell(raw_cell, *args, **kwargs)
        finally:
            self.here.depth -= 1

    async def run_ast_nodes(self, nodelist, *args, **options):
        if self.here.depth == 1:
            # Only an expression at the end is followed by nothing.
            self.here.left = len(nodelist) if nodelist and isinstance(nodelist[-1], ast.Expr) else 0
        return await super().run_ast_nodes(nodelist, *args, **options)

    async def run_code(self, code_obj, result=None, *, async_=False):
        if self.here.depth == 1:
            self.here.left -= 1
            self.here.last_code = code_obj
        return await super().run_code(code_obj, result, async_=async_)

    def show_result(self, data, metadata, caller):
        """Shows the value of an expression now, or with the cell's end if nothing can come between."""
        if self._may_wait(caller):
            self.here.held = (data, metadata)
        else:
            displays.show_result(data, metadata)

    def _may_wait(self, caller):
        return (
            self.here.depth == 1
            and self.here.left == 0
            and self.here.held is None
            and caller is self.here.last_code
            and self.ast_node_interactivity in ("last_expr", "last_expr_or_assign")
            and not self.events.callbacks["post_execute"]
            and not self.events.callbacks["post_run_cell"]
        )

    # Errors

    def showtraceback(self, *args, **kwargs):
        # IPython keeps what it is about to tell.
        with self._telling:
            self._show_traceback(*args, **kwargs)

    def _show_traceback(self, exc_tuple=None, *args, **kwargs):
        kind, error, _ = exc_tuple or sys.exc_info()
        running = self.displayhook.exec_result
        interrupt = self._loop.interrupt_in(error)
        if interrupt is not None:
            if running is not None and running.error_in_exec is error:
                running.error_in_exec = interrupt
            exc_tuple = kind, error, _ = type(interrupt), interrupt, interrupt.__traceback__
        if error is not None:
            tracebacks.cut_own_end(error)
            _check(error)
            rendering.prepare()
        if _GROUP and isinstance(error, _GROUP):
            # IPython shows the outermost only, or nothing but text on the standard error.
            self._get_exc_info(exc_tuple)
            self._showtraceback(kind, error, tracebacks.describe(error).traceback)
        else:
            super().showtraceback(exc_tuple, *args, **kwargs)

    def get_exception_only(self, exc_tuple=None):
        error = sys.exc_info()[1]
        if exc_tuple is None and isinstance(error, KeyboardInterrupt):
            # It came while an error was told.
            raise _without_context(error)
        return super().get_exception_only(exc_tuple)

    def show_usage_error(self, exc):
        self.here.told = (exc, exc.__traceback__, tracebacks.describe(exc, [f"UsageError: {exc}"]))
        super().show_usage_error(exc)

    def _showtraceback(self, etype, evalue, stb):
        told = tracebacks.describe(evalue, stb)
        self.here.told = (evalue, evalue.__traceback__, told)
        try:
            displays.show_error(told)
        except Forked:
            self.here.told = None  # a child tells its error when it ends
            warnings.filterwarnings("ignore", "To exit: use", UserWarning)
        except displays.TooEarly:
            print(self.InteractiveTB.stb2text(stb), file=sys.stderr)

    def _format_exception_for_storage(self, exception, filename=None, running_compiled_code=False):
        # IPython 9 would format it a second time, and an interrupt may just have ended the first.
        if self.here.told is None:
            return {"ename": type(exception).__name__, "evalue": "", "traceback": []}
        return self.here.told[2]._asdict()
