"""Runs the tests of one module and writes one line for each: python3 runner.py MODULE RESULTS

A line is `passed NAME`, or `failed`, `skipped` or `missing` with the name and a text in base64. The last line is `end`.
`missing` names a Python module that is not installed.
"""

import base64
import faulthandler
import importlib
import sys
import traceback
import unittest

# Seconds a single test may take. When they are over, the stack of every thread is printed and the run ends.
TEST_SECONDS = 240


class Lines(unittest.TestResult):
    def __init__(self, file):
        super().__init__()
        self._file = file
        self._outcome = []

    def write(self, status, name, text=None):
        encoded = [] if text is None else [base64.b64encode(text.encode()).decode()]
        print(status, name, *encoded, file=self._file, flush=True)

    def startTest(self, test):
        super().startTest(test)
        self._outcome = []
        print(f"--- {test.id()}", flush=True)
        faulthandler.dump_traceback_later(TEST_SECONDS, exit=True)

    def stopTest(self, test):
        faulthandler.cancel_dump_traceback_later()
        super().stopTest(test)
        self._end(test)

    def _end(self, test):
        texts = [text for _, text in self._outcome]
        if not self._outcome:
            self.write("passed", name_of(test))
        elif any(status == "failed" for status, _ in self._outcome):
            self.write("failed", name_of(test), "\n".join(texts))
        else:
            self.write("skipped", name_of(test), "\n".join(texts))

    def _note(self, test, status, text):
        print(text, flush=True)
        self._outcome.append((status, text))
        if not isinstance(test, unittest.TestCase):
            # What fails in setUpClass or tearDownClass belongs to no test that starts or stops.
            self._end(test)
            self._outcome = []

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._note(test, "failed", self.failures[-1][1])

    def addError(self, test, err):
        super().addError(test, err)
        self._note(test, "failed", self.errors[-1][1])

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            text = "".join(traceback.format_exception(*err))
            self._note(test, "failed", f"{subtest._subDescription()}\n{text}")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._note(test, "skipped", reason)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self._note(test, "failed", "it succeeded, unexpectedly")


def name_of(test):
    return test.id().partition(".")[2].replace(" ", "_") or test.id()


def main(module, results, *names):
    with open(results, "w") as file:
        lines = Lines(file)
        try:
            loaded = importlib.import_module(module)
        except ModuleNotFoundError as missing:
            lines.write("missing", missing.name, str(missing))
        else:
            loader = unittest.defaultTestLoader
            suite = loader.loadTestsFromNames(names, loaded) if names else loader.loadTestsFromModule(loaded)
            suite.run(lines)
        lines.write("end", module)


if __name__ == "__main__":
    main(*sys.argv[1:])
