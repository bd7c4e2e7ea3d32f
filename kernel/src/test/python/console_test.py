"""jupyter console in a terminal, typed into as a person would."""

import os
import re
import select
import tempfile
import unittest

import jupyter_console  # noqa: F401  The program is started below; without its package it cannot be.
import pexpect
from kernels import KERNEL_NAME, PATIENCE, Watch, descendants

UP, TAB, CTRL_C, END_OF_INPUT = "\x1b[A", "\t", "\x03", "\x04"
FORWARD = re.compile(r"\x1b\[(\d*)C")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>78]|\r")


class Terminal:
    """The program on a pseudo-terminal. What it shows is text here; how it moves about the screen is left out."""

    def __init__(self, directory, *options):
        self.child = pexpect.spawn(
            "/usr/bin/jupyter",
            ["console", "--kernel", KERNEL_NAME, "--JupyterConsoleApp.confirm_exit=False", *options],
            encoding="utf-8",
            timeout=PATIENCE,
            cwd=directory,
            dimensions=(40, 160),
            # Nothing here answers a terminal's cursor position request.
            env={**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"},
        )
        self.child.delaybeforesend = None
        self.shown = ""

    def see(self, pattern):
        """Waits until the pattern is in what was shown since the last call."""
        seen = re.search(pattern, self.shown)
        while not seen:
            try:
                self.child.expect("(?s).+")
            except (pexpect.TIMEOUT, pexpect.EOF):
                raise AssertionError(f"not shown: {pattern!r}; shown: {self.shown!r}") from None
            # Over what is blank already, the cursor is moved instead of writing a space.
            text = FORWARD.sub(lambda match: " " * int(match[1] or 1), self.child.after)
            self.shown += ESCAPES.sub("", text)
            seen = re.search(pattern, self.shown)
        self.shown = self.shown[seen.end() :]
        return seen

    def type(self, text):
        self.child.send(text)

    def enter(self, line):
        self.type(line + "\r")

    def prompt(self, number):
        self.see(rf"In \[{number}\]: ")


class Console(unittest.TestCase):
    def start(self, *options):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.terminal = Terminal(self.directory, *options)
        self.addCleanup(self.terminal.child.close, force=True)
        self.terminal.prompt(1)
        return self.terminal

    def test_a_persons_session(self):
        terminal = self.start()
        terminal.enter("6 * 7")
        terminal.see(r"Out\[1\]: 42")
        terminal.prompt(2)

        terminal.enter("1/0")
        terminal.see("ZeroDivisionError: division by zero")
        terminal.prompt(3)

        # What was entered before comes back with the arrow: the error first, then the cell before it.
        terminal.enter(UP + UP + "0")
        terminal.see(r"Out\[3\]: 420")
        terminal.prompt(4)

        terminal.type("isinst" + TAB)
        terminal.see("ance")
        terminal.enter("(4, int)")
        terminal.see(r"Out\[4\]: True")
        terminal.prompt(5)

        terminal.enter("input('who' + '? ').upper()")
        terminal.see(r"who\? ")
        terminal.enter("somebody")
        terminal.see(r"Out\[5\]: 'SOMEBODY'")
        terminal.prompt(6)
        self.leave("exit\r")

    def test_a_loop_is_interrupted(self):
        # With its full prompt, Debian's 6.4.4 keeps Ctrl-C for itself: prompt_toolkit takes the handler of SIGINT away.
        terminal = self.start("--simple-prompt")
        # What the loop prints need not be shown while it runs: with any kernel, this console takes a late `idle` of the
        # request before for this cell's, and then shows nothing until the reply.
        begun = select.poll()
        begun.register(self.pipe("begun"), select.POLLIN)
        terminal.enter("""kept = 41; exec("print(1, file=open('begun', 'w'), flush=True)\\nwhile True: pass")""")
        self.assertTrue(begun.poll(1000 * PATIENCE), f"the loop does not begin; shown: {terminal.shown!r}")
        terminal.type(CTRL_C)
        terminal.see("KeyboardInterrupt")
        terminal.prompt(2)
        terminal.enter("kept + 1")
        terminal.see(r"Out\[2\]: 42")
        terminal.prompt(3)
        self.leave("exit\r")

    def test_lines_that_belong_together_are_entered_together(self):
        terminal = self.start()
        terminal.enter("for i in range(3):")
        terminal.see(r"\.\.\.: ")
        terminal.enter("print('line', i * 10)\r")
        terminal.see(r"line 0\s+line 10\s+line 20")
        terminal.prompt(2)

    def test_the_end_of_input_ends_it(self):
        self.start()
        self.leave(END_OF_INPUT)

    def pipe(self, name):
        """One with a name, in the console's directory: its end to read from."""
        path = os.path.join(self.directory, name)
        os.mkfifo(path)
        end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, end)
        return end

    def leave(self, keys):
        """Ends the console, and with it the kernel and its worker."""
        processes = descendants(self.terminal.child.pid)
        self.assertTrue(processes)
        watch = Watch(processes)
        self.addCleanup(watch.kill)
        self.terminal.type(keys)
        self.terminal.child.expect(pexpect.EOF)
        self.assertEqual(0, self.terminal.child.wait())
        self.assertEqual([], watch.survivors(PATIENCE))
