"""What holds whatever the engine is, on IPython."""

from . import (
    client,
    test_async,
    test_comms,
    test_debugger,
    test_display,
    test_execution,
    test_input,
    test_interrupts,
    test_lifecycle,
    test_output,
    test_subshells,
)


class OnIPython:
    @classmethod
    def setUpClass(cls):
        client.ENGINE = "ipython"
        cls.addClassCleanup(setattr, client, "ENGINE", "plain")
        super().setUpClass()


class Modes(OnIPython, test_async.Modes):
    pass


class AsyncCells(OnIPython, test_async.AsyncCells):
    test_fail_with_their_own_lines = None  # which look differently


class BackgroundTasks(OnIPython, test_async.BackgroundTasks):
    pass


class Comms(OnIPython, test_comms.Comms):
    pass


class WithoutDebugger(OnIPython, test_debugger.WithoutDebugger):
    pass


class Debugging(OnIPython, test_debugger.Debugging):
    pass


class Displays(OnIPython, test_display.Displays):
    pass


class Results(OnIPython, test_execution.Results):
    pass


class Errors(OnIPython, test_execution.Cells):
    # The others look at tracebacks.
    test_of_which_the_text_fails = test_execution.Errors.test_of_which_the_text_fails_with_what_is_no_exception
    test_that_cannot_be_told = test_execution.Errors.test_that_cannot_be_told_at_all_end_their_cell


class Names(OnIPython, test_execution.Names):
    # What IPython itself does with these, it does.
    test_of_the_last_values = None
    test_of_the_notebook_cannot_be_lost = None
    test_of_the_library_are_not_taken_by_files_of_the_notebook = None  # looks at a traceback


class UserExpressions(OnIPython, test_execution.UserExpressions):
    pass


class Input(OnIPython, test_input.Input):
    pass


class Interrupts(OnIPython, test_interrupts.Interrupts):
    test_show_where_the_cell_was = None  # looks at a traceback, and at a frame that IPython has for one statement only


class Lifecycle(OnIPython, test_lifecycle.Lifecycle):
    test_shutdown_runs_exit_handlers_and_flushes_files = None  # opens descriptor 1, which IPython 9 lets nobody do
    test_its_descriptors_are_out_of_reach = None  # the low ones, which the worker has left, are the event loop's here


class Order(OnIPython, test_output.Order):
    pass


class Buffering(OnIPython, test_output.Buffering):
    pass


class LateOutput(OnIPython, test_output.LateOutput):
    pass


class Subshells(OnIPython, test_subshells.Subshells):
    def test_tracebacks_have_the_counts_of_their_own_cells(self):
        # IPython gave the cell of a subshell the main shell's count.
        worker = self.worker()
        for code in ("1 / 0", "y = = 2"):
            with self.subTest(code=code):
                cell = self.beside(worker, code, execution_count=7)
                self.assertRegex(cell.traceback, r"In ?\[7\]|<ipython-input-7-")
                cell = worker.run(code)
                self.assertRegex(cell.traceback, rf"In ?\[{worker.count}\]|<ipython-input-{worker.count}-")

    def test_magics_and_programs_in_one(self):
        worker = self.worker()
        running = self.busy(worker)
        cell = self.beside(worker, "!echo of a program\n%time print('timed')\n1 / 0")
        self.assertIn("of a program\ntimed\n", self.printed(cell))
        self.assertEqual("ZeroDivisionError", cell.ename)
        self.beside(worker, "go.set()")
        self.assertTrue(worker.finish(running).ok)

    def test_completion_leaves_the_warnings_of_a_running_cell_alone(self):
        # It used warnings.catch_warnings(), which is for all threads: a cell that did so at the same time was left with a
        # filter that ignored everything, for the rest of the session.
        worker = self.worker()
        worker.run(
            "import threading, warnings\n"
            "get_ipython().Completer.use_jedi = False\n"
            "asked, go, over = (threading.Event() for _ in range(3))\n"
            "class Slow:\n"
            "    def __dir__(self):\n"
            "        warnings.warn('unseen')\n"
            "        asked.set(); go.wait()\n"
            "        return ['found']\n"
            "slow = Slow()"
        )
        running = worker.start(
            "before = list(warnings.filters); print('waiting', flush=True); asked.wait()\n"
            "with warnings.catch_warnings():\n"
            "    go.set(); over.wait()"
        )
        worker.until_text("waiting")
        found, _ = worker.ask("complete", "slow.", subshell="s1", cursor=5)
        self.assertIn("slow.found", found["matches"])
        self.beside(worker, "over.set()")
        self.assertTrue(worker.finish(running).ok)
        said = worker.run("warnings.warn('seen')").text("stderr")
        self.assertIn("UserWarning: seen", said)
        self.assertNotIn("unseen", said)
        worker.ask("complete", "slow.", cursor=5)
        self.assertEqual("True", worker.run("warnings.filters == before").result())

    def test_the_main_shells_outputs_and_counts_are_untouched(self):
        worker = self.worker()
        worker.run("'main'")
        running = worker.start("import threading; go = threading.Event(); print('waiting', flush=True); go.wait(20)")
        worker.until_text("waiting")
        self.assertEqual("'beside'", self.beside(worker, "'beside'", execution_count=1).result())
        self.assertIsNone(self.beside(worker, "'quiet';").result())
        self.beside(worker, "go.set()")
        self.assertEqual("True", worker.finish(running).result())
        look = "{n: repr(v) for n, v in Out.items()}, get_ipython().execution_count"
        self.assertEqual("({1: \"'main'\", 2: 'True'}, 3)", worker.run(look).result())
