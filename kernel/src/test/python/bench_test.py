"""The benchmark, on some quick measures: the table, the JSON and the plot, and what becomes of a kernel that fails."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree
from pathlib import Path

import ipykernel  # noqa: F401  The benchmark starts it.
from kernels import KERNEL_NAME

BENCH = Path(__file__).resolve().parents[4] / "kernelspec" / "bench"
FIGURES = {"execute.reply", "execute.idle", "is_complete", "inspect", "complete", "lines.idle", "lines.messages"}


class Bench(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(directory.cleanup)
        broken = Path(directory.name, "broken")
        broken.mkdir()
        (broken / "kernel.json").write_text(json.dumps({"argv": ["/bin/sh", "-c", "echo no luck; exit 1"]}))
        results, plot = Path(directory.name, "results.json"), Path(directory.name, "plot.svg")
        cls.done = subprocess.run(
            [sys.executable, BENCH, "--quick", "--engine", "plain", "--only", "execute", "assist", "lines"]
            + ["--against", broken, "--json", results, "--plot", plot],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        cls.results = json.loads(results.read_text()) if results.exists() else None
        cls.plot = plot.read_text() if plot.exists() else None

    def test_measures_every_kernel_and_nothing_is_lost(self):
        self.assertEqual(0, self.done.returncode, self.done.stdout + self.done.stderr)
        for kernel in ("python3", KERNEL_NAME):
            figures = self.results["kernels"][kernel]
            self.assertEqual(FIGURES, set(figures))
            for name, figure in figures.items():
                self.assertGreater(figure["value"], 0, name)
                self.assertEqual(2, len(figure["medians of rounds"]), name)
        self.assertEqual(120, self.results["kernels"]["python3"]["execute.reply"]["count"])

    def test_the_table_has_ratios_and_bounds(self):
        own, other = (self.results["kernels"][name]["execute.reply"]["value"] for name in (KERNEL_NAME, "python3"))
        row = next(line for line in self.done.stdout.splitlines() if line.startswith("execute → reply  "))
        self.assertRegex(row, rf"× {own / other:.2f} \(≤ 0\.12 {'met' if own / other <= 0.12 else 'NOT MET'}\)")

    def test_a_kernel_that_does_not_start_is_told_of_and_the_others_are_measured(self):
        self.assertEqual(["broken"], [problem["kernel"] for problem in self.results["problems"]])
        self.assertIn("Failed: broken, its first start: Lost: broken has ended; it wrote: no luck", self.done.stdout)

    def test_the_plot_is_svg_with_a_bar_for_each_ratio(self):
        svg = xml.etree.ElementTree.fromstring(self.plot)
        bars = [each for each in svg.iter("{http://www.w3.org/2000/svg}rect") if each.get("class") == KERNEL_NAME]
        # The number of messages has none, but the legend has one.
        self.assertEqual(len(FIGURES), len(bars))


if __name__ == "__main__":
    unittest.main()
