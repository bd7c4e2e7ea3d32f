"""Many cells of which every tenth ends its worker in a random way: every variable must be right at the end, no process
more, and the memory of the kernel and of its sandbox level, which is plotted. Usage: python3 survival_benchmark.py [CELLS]
"""

import random
import sys
import time

from kernels import Kernel, descendants
from snapshots_test import WAYS
from wire import Client

ROWS = 25
WIDTH = 60


def proportional_mib(pids):
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it has ended
    return total >> 10


def plot(points):
    most = max(max(front, sandbox) for _, front, sandbox in points) or 1
    print(f"{'cell':>6} kernel sandbox  MiB: k kernel, s sandbox; the line is {most} MiB long")
    for number, front, sandbox in points:
        line = [" "] * (WIDTH + 1)
        line[round(sandbox / most * WIDTH)] = "s"
        line[round(front / most * WIDTH)] = "k"
        print(f"{number:6} {front:6} {sandbox:7}  {''.join(line).rstrip()}")


def main(cells):
    chance = random.Random(4)
    expected, points, revivals, wrong = {}, [], [], []
    with Kernel() as kernel, Client(kernel.info, validating=False) as client:
        client.execute("import os, signal, sys\nvalues = {}")
        before = len(descendants(kernel.pid))
        for number in range(cells):
            if number % 10 == 9:
                way = chance.choice(sorted(WAYS))
                done = client.execute(f"values[{number}] = 'lost'\n" + WAYS[way][0])
                ended = time.perf_counter()
                if "The variables are as they were after" not in done.content.get("evalue", ""):
                    wrong.append((number, way, done.told()))
                client.execute("values")
                revivals.append((time.perf_counter() - ended) * 1e3)
            else:
                client.execute(f"values[{number}] = {number * number}")
                expected[number] = number * number
            if number % max(1, cells // ROWS) == 0:
                points.append((number, proportional_mib([kernel.pid]), proportional_mib(descendants(kernel.pid))))
        right = client.execute(f"values == {expected}").result()
        after = len(descendants(kernel.pid))
    plot(points)
    revivals.sort()
    print(f"variables right: {right}; processes {before} before, {after} after (up to 16 snapshots more)")
    print(f"the cell after a death: median {revivals[len(revivals) // 2]:.1f} ms, slowest {revivals[-1]:.1f} ms")
    for each in wrong:
        print("not restored:", *each)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
