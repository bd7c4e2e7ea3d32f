"""What snapshots cost on a cell's path: two kernels, one with and one without, in turn; and twice without, which shows
how much the machine itself differs. Usage: python3 snapshots_benchmark.py [ROUNDS]
"""

import statistics
import sys
import time

from kernels import Kernel
from wire import Client

CELLS = 50


def latency(client, code):
    began = time.perf_counter()
    message = client.start(code)
    client.wait(lambda: message in client.replies, "the reply")
    took = time.perf_counter() - began
    client.finish(message)
    return took


def compare(first, second, rounds):
    kernels = [Kernel(change_argv=lambda argv, each=each: [*argv, "--snapshots", each]) for each in (first, second)]
    clients = [Client(kernel.info, validating=False) for kernel in kernels]
    taken = [[], []]
    try:
        for number in range(2 + rounds):
            for which in (0, 1) if number % 2 else (1, 0):
                found = [latency(clients[which], f"x = {cell}") for cell in range(CELLS)]
                taken[which] += found if number >= 2 else []
    finally:
        for client, kernel in zip(clients, kernels):
            client.close()
            kernel.kill()
    medians = [statistics.median(each) * 1e3 for each in taken]
    print(f"{first}/{second}: {medians[0]:.3f} ms / {medians[1]:.3f} ms = {medians[0] / medians[1]:.3f}")


if __name__ == "__main__":
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    for _ in range(3):
        compare("on", "off", rounds)
        compare("off", "off", rounds)
