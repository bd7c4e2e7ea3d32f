"""Measures Capsule beside other kernels of Python. `kernelspec/capsule bench` installs Capsule for it and starts it."""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from client import Spec
from figures import IPYTHON, PLAIN, REFERENCE
from jupyter_client.kernelspec import KernelSpecManager
from measures import MEASURES
from plots import bars, lines
from report import CAPSULE, text
from runs import Run
from soak import soak

# Measured beside the reference where they are installed.
PEERS = ("xpython", "xpython-raw")


def arguments():
    parser = argparse.ArgumentParser(prog="capsule bench", description="Measures Capsule beside other kernels.")
    parser.add_argument(
        "--against",
        nargs="+",
        metavar="KERNEL",
        help=f"measure these beside {REFERENCE}, not {' and '.join(PEERS)}: names, or directories with a kernel.json",
    )
    parser.add_argument("--quick", action="store_true", help="few rounds: some five minutes, and rough")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=MEASURES, help=f"of {', '.join(MEASURES)}")
    parser.add_argument("--engine", choices=("plain", "ipython"), help="Capsule with this engine only")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="instead, one kernel at full load for so long")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the results as SVG in FILE")
    return parser.parse_args()


def main():
    options = arguments()
    engines = {"plain": (PLAIN,), "ipython": (IPYTHON,), None: CAPSULE}[options.engine]
    with tempfile.TemporaryDirectory(prefix="capsule-bench-") as directory:
        if options.soak:
            results = soak(Spec(engines[-1]), Path(directory), options.soak)
            failed, said, plot = bool(results["problems"]), results["summary"], lines
        else:
            installed = KernelSpecManager().find_kernel_specs()
            peers = options.against or [name for name in PEERS if name in installed]
            names = dict.fromkeys((REFERENCE, *peers, *engines))
            run = Run([Spec(name) for name in names], Path(directory), options.quick)
            results = run.take([MEASURES[name] for name in options.only or MEASURES])
            failed = any(problem["kernel"] in CAPSULE for problem in results["problems"])
            said, plot = text(results), bars
    print(said)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    if options.plot:
        options.plot.write_text(plot(results))
    sys.exit(failed)


if __name__ == "__main__":
    main()
