"""One kernel at full load for a long time: memory, latency, processes and descriptors must stay where they are."""

import base64
import random
import statistics
import sys
import time
import traceback

from client import Kernel, Lost, now, require
from processes import descriptors, pss_mib, rss_mib
from runs import machine, quantile

SAMPLE_SECONDS = 10
IMAGE = bytes(range(256)) * 400
BEGIN = """
import asyncio, os, time
class Picture:
    def _repr_png_(self):
        return bytes(range(256)) * 400
picture = Picture()
total = 0
"""


class Load:
    """A mixture of cells, each of which is checked: first of all, that `total` is what it was counted up to."""

    def __init__(self, kernel):
        self._kernel = kernel
        self._random = random.Random(6)
        self._total = 0
        self.cells = 0
        # Seconds from execute to reply, of the plain cells since these were last taken.
        self.latencies = []
        # The longest of all, in seconds, and its kind.
        self.longest = (0, "")
        kernel.run(BEGIN).require_ok()
        # Kinds of cells, and how often each comes among a thousand.
        self._kinds = {
            self.count: 600,
            self.compute: 200,
            self.write: 80,
            self.fail: 50,
            self.wait: 40,
            self.show: 20,
            self.complete: 5,
            self.pipeline: 2,
            self.interrupt: 2,
            self.crash: 1,
        }

    def every_kind(self):
        """So that what is made at its first use, such as an event loop, is there before anything is counted."""
        for kind in self._kinds:
            kind()

    def step(self):
        kind = self._random.choices(list(self._kinds), self._kinds.values())[0]
        began = now()
        kind()
        self.longest = max(self.longest, (now() - began, kind.__name__))

    def _run(self, code):
        self.cells += 1
        # The history of the session grows by itself.
        return self._kernel.run(code, store_history=False)

    def _timed(self, code, expected):
        self.latencies.append(self._run(code).require_result(str(expected)).replied_after)

    def count(self):
        more = self._random.randrange(100)
        self._total += more
        self._timed(f"total += {more}\ntotal", self._total)

    def compute(self):
        one, other = self._random.randrange(1000), self._random.randrange(1000)
        self._timed(f"{one} * {other}", one * other)

    def write(self):
        lines = self._random.randrange(1, 2000)
        text = self._run(f"for i in range({lines}): print(i)").require_ok().text()
        require(text == "".join(f"{number}\n" for number in range(lines)), f"output of {lines} lines is not complete")

    def fail(self):
        self._run("total / 0").require_error("ZeroDivisionError")

    def wait(self):
        self._run("await asyncio.sleep(0.001, 'waited')").require_result("'waited'")

    def show(self):
        data = self._run("picture").require_ok().result()
        require(base64.b64decode(data["image/png"]) == IMAGE, "the image is not the one that was shown")

    def complete(self):
        content = self._kernel.ask("complete_request", {"code": "tot", "cursor_pos": 3}).reply.content
        require("total" in content["matches"], f"total is not among the completions: {content['matches']}")

    def pipeline(self):
        cells = [self._kernel.send_cell(f"{number}+1", store_history=False) for number in range(100)]
        self._kernel.finish(*cells)
        self.cells += len(cells)
        for number, cell in enumerate(cells):
            cell.require_result(str(number + 1))

    def interrupt(self):
        cell = self._kernel.run_until_output("print('begun', flush=True)\nwhile True: pass")
        self._kernel.interrupt()
        self._kernel.finish(cell)
        cell.require_error("KeyboardInterrupt")
        self.cells += 1

    def crash(self):
        """What was counted before it must be there after it."""
        self._run("os.kill(os.getpid(), 11)").require_error("WorkerDied")
        self._run("total").require_result(str(self._total))

    def snapshots(self, number):
        for _ in range(number):
            self.count()
            # Makes one.
            self._run("%snapshots").require_ok()
        self.latencies.clear()


def soak(spec, directory, minutes):
    """The samples, a summary of them, and the problems, none of which there should be."""
    results = {
        "soak": spec.name,
        "minutes": minutes,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": machine(),
        "samples": [],
        "problems": [],
    }
    try:
        with Kernel(spec, directory) as kernel:
            kernel.start().subscribed()
            load = Load(kernel)
            load.every_kind()
            results["before"] = _counts(kernel, load)
            _sample(kernel, load, results["samples"], minutes * 60)
            results["after"] = _counts(kernel, load)
            results["cells"] = load.cells
    except Lost as lost:
        traceback.print_exc()
        results["problems"].append(str(lost))
    for what, count in results.get("after", {}).items():
        if count > results["before"][what]:
            results["problems"].append(f"{count} {what} at the end, where there were {results['before'][what]}")
    results["summary"] = _summary(results)
    return results


def _counts(kernel, load):
    """The least of several looks with as many snapshots as there may be: while one is made, and one has yet to go for it,
    there are two processes more.
    """
    load.snapshots(40)
    looks = []
    for _ in range(10):
        load.snapshots(1)
        pids = kernel.pids()
        looks.append((len(pids), descriptors(pids), descriptors([kernel.process.pid])))
    return dict(zip(("processes", "descriptors", "descriptors of the front"), map(min, zip(*looks))))


def _sample(kernel, load, samples, seconds):
    began = now()
    while now() - began < seconds:
        until = min(now() + SAMPLE_SECONDS, began + seconds)
        cells, since = load.cells, now()
        while now() < until:
            load.step()
        rate = (load.cells - cells) / (now() - since)
        latencies = sorted(load.latencies)
        longest, kind = load.longest
        load.latencies.clear()
        load.longest = (0, "")
        pids = kernel.pids()
        samples.append(
            {
                "minutes": (now() - began) / 60,
                "cells/s": rate,
                "PSS, MiB": pss_mib(pids),
                "RSS of the front, MiB": rss_mib(kernel.process.pid),
                "execute → reply, median, ms": quantile(latencies, 0.5) * 1e3,
                "execute → reply, p99, ms": quantile(latencies, 0.99) * 1e3,
                "longest, s": longest,
                "processes": len(pids),
                "descriptors": descriptors(pids),
            }
        )
        said = ", ".join(f"{name} {value:.4g}" for name, value in samples[-1].items())
        print(f"{said}; the longest was {kind}", file=sys.stderr, flush=True)


def _summary(results):
    """The first third of the time beside the last."""
    samples, lines = results["samples"], []
    third = len(samples) // 3
    if third:
        for name in list(samples[0])[1:]:
            first = statistics.median(sample[name] for sample in samples[:third])
            last = statistics.median(sample[name] for sample in samples[-third:])
            change = f"× {last / first:.2f}" if first else ""
            lines.append(f"{name:30} {first:10.4g} in the first third, {last:10.4g} in the last  {change}")
    for what, count in results.get("after", {}).items():
        lines.append(f"{what:30} {results['before'][what]:10} before it,          {count:10} after it")
    lines.append(f"{results.get('cells', 0):,} cells on {results['soak']}; {len(results['problems'])} problems")
    return "\n".join(lines + results["problems"])
