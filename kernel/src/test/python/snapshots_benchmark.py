"""What snapshots cost on a cell's path: kernels with and without, in turn; and two without, which shows how much the
machine itself differs. Usage: python3 snapshots_benchmark.py [ROUNDS]
"""

import statistics
import sys
import threading
import time

from kernels import Kernel
from wire import Client

# Cells and the seconds between them: as a person gives them, and as a program does.
CASES = {
    "x = n, 50 ms apart": ("x = {}", 0.05, 10),
    "1 + 1, back to back": ("1 + 1", 0, 50),
    "f(n), back to back": ("f({})", 0, 50),
}
KERNELS = ("on", "off", "off")


def latency(client, code):
    """Seconds until the reply."""
    began = time.perf_counter()
    message = client.start(code)
    client.wait(lambda: message in client.replies, "the reply")
    took = time.perf_counter() - began
    client.finish(message)
    return took


def measure(client, case):
    code, pause, cells = CASES[case]
    taken = []
    for number in range(cells):
        if pause:
            threading.Event().wait(pause)
        taken.append(latency(client, code.format(number)))
    return taken


def main(rounds):
    kernels = [Kernel(change_argv=lambda argv, each=each: [*argv, "--snapshots", each]) for each in KERNELS]
    clients = [Client(kernel.info, validating=False) for kernel in kernels]
    taken = {case: [[] for _ in KERNELS] for case in CASES}
    try:
        for client in clients:
            client.execute("def f(n): return n")
        for number in range(2 + rounds):
            for which in range(len(KERNELS)) if number % 2 else reversed(range(len(KERNELS))):
                for case in CASES:
                    found = measure(clients[which], case)
                    taken[case][which] += found if number >= 2 else []
    finally:
        for client, kernel in zip(clients, kernels):
            client.close()
            kernel.kill()
    for case, (on, off, other) in taken.items():
        row = [f"{case:20}"]
        for name, pick in (("median", statistics.median), ("p90", lambda all: statistics.quantiles(all, n=10)[8])):
            a, b, c = pick(on) * 1e3, pick(off) * 1e3, pick(other) * 1e3
            row.append(f"{name} on {a:.3f} ms, off {b:.3f} and {c:.3f} ms: {2 * a / (b + c):.3f} (off/off {c / b:.3f})")
        print("  ".join(row), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
