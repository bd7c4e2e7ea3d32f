"""How long a worker takes from its start until it is ready, without a sandbox and in each kind, side by side.

Not a test: run it on a quiet machine, with an installed kernel (`CAPSULE_KERNEL`, else capsule-python).

    python3 spawn_benchmark.py [ROUNDS]
"""

import re
import statistics
import sys

from kernels import Kernel
from wire import Client

KINDS = ("none", "L1", "L2", "L3")
WORKERS = 5


def ready_times(kind):
    """Of the first worker, while the kernel itself boots, and of those that took its place; in ms."""
    with Kernel(
        environment={"CAPSULE_LOG": "DEBUG"}, change_argv=lambda argv: [*argv, "--sandbox", kind]
    ) as kernel, Client(kernel.info) as client:
        for _ in range(WORKERS):
            client.execute("1")
            client.execute("import os; os._exit(0)")
        client.execute("1")
        found = [re.search(r"worker \d+ is ready, after (\d+) us", line) for line in kernel.log.lines()]
        return [int(each[1]) / 1000 for each in found if each]


def main(rounds):
    first, later = {kind: [] for kind in KINDS}, {kind: [] for kind in KINDS}
    for _ in range(rounds):
        for kind in KINDS:
            times = ready_times(kind)
            first[kind].append(times[0])
            later[kind] += times[1:]
    print("start to ready, ms     first (cold)      later: median   to none")
    for kind in KINDS:
        medians = statistics.median(first[kind]), statistics.median(later[kind])
        print(
            f"{kind:20} {medians[0]:14.1f} {medians[1]:18.1f} {medians[1] - statistics.median(later['none']):+9.1f}"
            f"   x{medians[1] / statistics.median(later['none']):.2f}"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
