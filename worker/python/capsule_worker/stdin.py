"""input(), getpass.getpass() and sys.stdin: they ask the front end, through promises."""

import builtins
import io
import sys

from .promises import Rejected

_END_OF_FILE = "\x04"


class StdinNotImplementedError(RuntimeError):
    """The front end does not offer input."""


class Stdin(io.TextIOBase):
    """sys.stdin: lines are asked for one by one."""

    encoding = "utf-8"
    errors = "strict"
    name = "<stdin>"
    mode = "r"

    def __init__(self, connection, executions, streams, promises):
        self._connection = connection
        self._executions = executions
        self._streams = streams
        self._promises = promises
        self._rest = ""

    def install(self, watch):
        sys.stdin = sys.__stdin__ = self
        builtins.input = self._input()
        watch.when_loaded("getpass", self._replace_getpass)

    def _input(self):
        def input(prompt="", /):
            """Ask the person at the notebook for a line of text. EOFError if there is no more."""
            return self._ask("input()", str(prompt))

        return input

    def _replace_getpass(self, module):
        def getpass(prompt="Password: ", stream=None):
            """Ask the person at the notebook for a password, which is not shown."""
            return self._ask("getpass.getpass()", str(prompt), password=True)

        module.getpass = getpass

    def _ask(self, caller, prompt, password=False):
        """`caller` is what the cell has called, for an error to name."""
        execution = self._executions.current()
        if execution is None or not execution.allow_stdin:
            raise StdinNotImplementedError(
                f"this front end does not offer input, so {caller} cannot ask for anything. "
                "Give the value in the code, or run the notebook where somebody can answer."
            )
        self._streams.flush()
        promise = self._promises.create(execution)
        try:
            self._open(promise, execution, prompt, password)
            value = promise.wait()
        except Rejected as refusal:
            if refusal.ename == "KeyboardInterrupt":
                raise KeyboardInterrupt from None
            if refusal.ename == "EOFError":
                raise EOFError(str(refusal)) from None
            raise StdinNotImplementedError(f"input was refused: {refusal.ename}: {refusal}") from None
        finally:
            self._promises.discard(promise)
        if value == _END_OF_FILE:
            raise EOFError("end of input")
        return value

    def _open(self, promise, execution, prompt, password):
        header = {
            "open": "input",
            "id": promise.id,
            "execution": execution.id,
            "prompt": prompt,
            "password": password,
        }
        # An execution that is over may not ask, and must not end in between.
        with self._executions.not_ending:
            if not execution.running:
                raise StdinNotImplementedError(
                    "the cell that this code belongs to has ended, so it cannot ask for input"
                )
            frame = self._connection.encode(header)
            execution.account(frame)
            self._connection.write(frame)

    # The file

    def readable(self):
        return True

    def fileno(self):
        return 0

    def readline(self, size=-1, /):
        if not self._rest:
            try:
                self._rest = self._ask("sys.stdin", "") + "\n"
            except EOFError:
                return ""
        end = self._rest.index("\n") + 1
        if size is not None and 0 <= size < end:
            end = size
        line, self._rest = self._rest[:end], self._rest[end:]
        return line

    def read(self, size=-1, /):
        """Up to the end of input if `size` is negative or None; else one line at the most."""
        if size is not None and size >= 0:
            return self.readline(size)
        return "".join(self)
