"""Takes the measures, interleaved: each round visits every kernel once, in an order that turns from round to round, so
that a machine that is slow for a while is slow for all.
"""

import gc
import os
import platform
import re
import statistics
import sys
import time
from pathlib import Path

import zmq
from client import Kernel, Lost
from figures import FIGURES
from measures import Place

# A kernel that has failed so often in one measure is not asked again.
MAX_FAILURES = 2


class Run:
    def __init__(self, specs, directory, quick):
        self._specs = specs
        self._directory = directory
        self._quick = quick
        self._running = {}
        # By kernel and figure: one list of values per round.
        self._values = {spec.name: {} for spec in specs}
        self._versions = {}
        self._problems = []

    def take(self, measures):
        """The results, as they are written to the JSON file."""
        results = {
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "quick": self._quick,
            "machine": machine(),
            "load before": os.getloadavg(),
        }
        # Its pauses would be taken for the kernels'.
        gc.disable()
        try:
            # What a kernel makes when it is first started, such as IPython its profile, is not measured.
            self._specs = [spec for spec in self._specs if self._guarded(spec, "its first start", self._kernel, spec)]
            for measure in measures:
                self._take(measure)
                gc.collect()
        finally:
            gc.enable()
            for spec in self._specs:
                self._guarded(spec, "the end", self._stop, spec)
        results["load after"] = os.getloadavg()
        results["versions"] = self._versions
        results["kernels"] = {
            kernel: {name: _summary(FIGURES[name], rounds) for name, rounds in figures.items()}
            for kernel, figures in self._values.items()
        }
        results["problems"] = self._problems
        return results

    def _take(self, measure):
        print(f"{time.strftime('%H:%M:%S')} {measure.name}", file=sys.stderr, flush=True)
        if measure.starts_kernels:
            for spec in self._specs:
                self._guarded(spec, measure.name, self._stop, spec)
        failures, prepared = dict.fromkeys(self._specs, 0), set()
        for number in range(measure.quick_rounds if self._quick else measure.rounds):
            turn = number % max(1, len(self._specs))
            for spec in self._specs[turn:] + self._specs[:turn]:
                if failures[spec] < MAX_FAILURES:
                    failures[spec] += not self._guarded(spec, measure.name, self._visit, measure, spec, prepared)

    def _visit(self, measure, spec, prepared):
        if measure.starts_kernels:
            subject = Place(spec, self._directory)
        else:
            subject = self._kernel(spec)
            if subject not in prepared:
                measure.prepare(subject)
                prepared.add(subject)
        found = {}
        for name, value in measure.visit(subject):
            found.setdefault(name, []).append(value)
        for name, values in found.items():
            self._values[spec.name].setdefault(name, []).append(values)

    def _kernel(self, spec):
        kernel = self._running.get(spec)
        if kernel is None:
            kernel = self._running[spec] = Kernel(spec, self._directory).start()
            kernel.subscribed()
            content = kernel.info.reply.content
            self._versions[spec.name] = f"{content['implementation']} {content['implementation_version']}"
        return kernel

    def _guarded(self, spec, doing, act, *arguments):
        """Whether it was done. When not, that is a problem, and the kernel is ended."""
        try:
            act(*arguments)
            return True
        except (Lost, OSError, KeyError, ValueError, zmq.ZMQError) as problem:
            self._note(spec, doing, problem)
            kernel = self._running.pop(spec, None)
            if kernel is not None:
                self._guarded(spec, doing, kernel.kill)
            return False

    def _note(self, spec, doing, problem):
        text = f"{type(problem).__name__}: {problem}"
        print(f"  {spec.name}: {text}", file=sys.stderr, flush=True)
        self._problems.append({"kernel": spec.name, "measure": doing, "problem": text})

    def _stop(self, spec):
        kernel = self._running.pop(spec, None)
        if kernel is not None:
            kernel.close()


def machine():
    """What the figures were taken on."""
    processors = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": processors[0] if processors else platform.machine(),
        "memory MiB": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "libzmq": zmq.zmq_version(),
    }


def _summary(figure, rounds):
    """All but the figure itself is there to judge how sure it is."""
    values = sorted(value for values in rounds for value in values)
    return {
        "value": quantile(values, figure.quantile),
        "count": len(values),
        "median": quantile(values, 0.5),
        "p90": quantile(values, 0.9),
        "p99": quantile(values, 0.99),
        "least": values[0],
        "most": values[-1],
        "medians of rounds": [statistics.median(values) for values in rounds],
    }


def quantile(ordered, part):
    if part == 0.5:
        return statistics.median(ordered)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
