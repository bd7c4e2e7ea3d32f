"""The measures. Each is visited round by round, one kernel after the other, and yields figures; each sees to it that
what it asked for was done in full, and raises [Lost] when not.
"""

import base64
import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, NamedTuple

import zmq
from client import PATIENCE, Kernel, Spec, now, require
from processes import cpu_seconds, pss_mib, thread_cpu_seconds

LINES = 100_000
CHUNK = ("x" * 63 + "\n") * 16_384
CHUNKS = 50
TICKS = 40
IMAGE = bytes(range(256)) * 4_000
IMAGE_CELL = """
class Picture:
    def _repr_png_(self):
        return data
data = bytes(range(256)) * 4_000
picture = Picture()
"""
KERNELS = 10
CELLS_OF_TEN = 50


class Measure(NamedTuple):
    """`visit` takes a kernel that is running and has been through `prepare`, or a Place when the measure starts kernels
    itself; then there is no other kernel meanwhile. It yields names and values of figures.
    """

    name: str
    visit: Callable
    rounds: int
    quick_rounds: int
    starts_kernels: bool
    prepare: Callable


class Place(NamedTuple):
    """What a measure needs to start a kernel."""

    spec: Spec
    directory: Path

    def kernel(self):
        return Kernel(self.spec, self.directory)


MEASURES = {}


def measure(name, rounds, quick_rounds=2, starts_kernels=False, prepare=lambda kernel: None):
    def register(visit):
        MEASURES[name] = Measure(name, visit, rounds, quick_rounds, starts_kernels, prepare)
        return visit

    return register


def ms(seconds):
    return seconds * 1e3


@measure("start", rounds=15, quick_rounds=3, starts_kernels=True)
def start(place):
    with place.kernel() as kernel:
        kernel.start()
        yield "start.ready", ms(kernel.answered())
        cell = kernel.subscribed().run("1+1").require_result("2")
        yield "start.result", ms(cell.of_type("execute_result")[0].at - kernel.info.sent)


@measure("restart", rounds=15, quick_rounds=3, starts_kernels=True)
def restart(place):
    with place.kernel() as kernel:
        kernel.start().subscribed().run("x = 1").require_ok()
        began = now()
        kernel.end(restart=True)
        kernel.start().answered()
        yield "restart", ms(now() - began)
        kernel.subscribed().run("'x' in globals()").require_result("False")


def warm(kernel, cells=200):
    for number in range(cells):
        kernel.run(f"{number}+1").require_result(str(number + 1))


@measure("execute", rounds=10, prepare=warm)
def execute(kernel):
    for _ in range(60):
        cell = kernel.run("1+1").require_result("2")
        yield "execute.reply", ms(cell.replied_after)
        yield "execute.idle", ms(cell.idle_after)


@measure("pause", rounds=10, prepare=warm)
def after_a_pause(kernel):
    for _ in range(20):
        time.sleep(0.02)
        cell = kernel.run("1+1").require_result("2")
        yield "pause.reply", ms(cell.replied_after)
        yield "pause.idle", ms(cell.idle_after)


@measure("changes", rounds=10, prepare=warm)
def changes(kernel):
    """Cells after which there may be something to take a snapshot of."""
    kernel.run("def f(n): return n").require_ok()
    for number in range(40):
        yield "assign", ms(kernel.run(f"x = {number}").require_ok().replied_after)
    kernel.run("x").require_result("39")
    for number in range(40):
        yield "call", ms(kernel.run(f"f({number})").require_result(str(number)).replied_after)


@measure("tail", rounds=10, prepare=lambda kernel: warm(kernel, 3_000))
def tail(kernel):
    for _ in range(100):
        yield "tail", ms(kernel.run("1+1").require_result("2").replied_after)


@measure("await", rounds=10)
def awaits(kernel):
    kernel.run("import asyncio").require_ok()
    for number in range(60):
        cell = kernel.run(f"await asyncio.sleep(0, {number})").require_result(str(number))
        yield "await", ms(cell.replied_after)


@measure("pipeline", rounds=5)
def pipeline(kernel):
    sent = now()
    cells = [kernel.send_cell(f"{number}+1") for number in range(1_000)]
    kernel.finish(*cells)
    yield "pipeline", len(cells) / (max(max(cell.reply.at, cell.idle.at) for cell in cells) - sent)
    for number, cell in enumerate(cells):
        cell.require_result(str(number + 1))
    require(sorted(cells, key=lambda cell: cell.reply.at) == cells, "the replies are not in the order of the cells")


@measure("input", rounds=5)
def inputs(kernel):
    for number in range(20):
        cell = kernel.send_cell("value = input('? ')", allow_stdin=True)
        kernel.wait(lambda cell=cell: cell.of_type("input_request") or cell.reply is not None)
        require(cell.reply is None, "no input was asked for")
        asked = json.loads(cell.of_type("input_request")[0].frames[1])
        kernel.send("input_reply", {"value": f"value {number}", "status": "ok"}, "stdin", parent=asked)
        kernel.finish(cell)
        yield "input", ms(cell.require_ok().replied_after)
        kernel.run("value").require_result(repr(f"value {number}"))


@measure("assist", rounds=10)
def assist(kernel):
    """is_complete, inspect, complete; the first five of each are not counted."""
    kernel.run("import os").require_ok()
    code = "import os\nos.pa"
    asked = {
        "is_complete": ({"code": "1+1"}, lambda content: content["status"] == "complete"),
        "inspect": (
            {"code": "print", "cursor_pos": 5, "detail_level": 0},
            lambda content: content["found"] and "print" in content["data"]["text/plain"],
        ),
        "complete": (
            {"code": code, "cursor_pos": len(code)},
            lambda content: any(match.endswith("path") for match in content["matches"]),
        ),
    }
    for name, (content, is_right) in asked.items():
        for number in range(25):
            request = kernel.ask(f"{name}_request", content)
            require(is_right(request.reply.content), f"the {name}_reply is wrong: {str(request.reply.content)[:300]}")
            if number >= 5:
                yield name, ms(request.replied_after)


def require_text(cell, expected):
    text = cell.require_ok().text()
    require(text == expected, f"{len(text):,} characters came before idle, where {len(expected):,} were written")


@measure("lines", rounds=5)
def lines(kernel):
    cell = kernel.run(f"for i in range({LINES}): print(i)")
    require_text(cell, "".join(f"{number}\n" for number in range(LINES)))
    yield "lines.idle", ms(cell.idle_after)
    yield "lines.messages", len(cell.streams())


@measure("bulk", rounds=5)
def bulk(kernel):
    kernel.run("import sys; chunk = ('x' * 63 + '\\n') * 16_384").require_ok()
    cell = kernel.run(f"for i in range({CHUNKS}): written = sys.stdout.write(chunk)")
    require_text(cell, CHUNK * CHUNKS)
    yield "bulk", ms(cell.idle_after)


@measure("tick", rounds=3, quick_rounds=1)
def tick(kernel):
    """The clock of the cell is that of this process, too."""
    cell = kernel.run(
        f"import time\nfor i in range({TICKS}):\n    print(repr(time.perf_counter()))\n    time.sleep(0.025)"
    )
    kernel.run("1").require_ok()
    written, unfinished = 0, ""
    for message in cell.require_ok().streams():
        *lines, unfinished = (unfinished + message.content["text"]).split("\n")
        for line in lines:
            written += 1
            yield "tick", ms(message.at - float(line))
    require(written == TICKS, f"{written} of {TICKS} lines came")


@measure("image", rounds=5, prepare=lambda kernel: kernel.run(IMAGE_CELL).require_ok())
def image(kernel):
    for number in range(12):
        cell = kernel.run("picture").require_ok()
        require(base64.b64decode(cell.result()["image/png"]) == IMAGE, "the image is not the one that was shown")
        if number >= 2:
            yield "image", ms(cell.idle_after)


def interrupted(kernel, code):
    cell = kernel.run_until_output(f"import time\nprint('begun', flush=True)\n{code}")
    at = kernel.interrupt()
    kernel.finish(cell, patience=5)
    cell.require_error("KeyboardInterrupt")
    kernel.run("1+1").require_result("2")
    return ms(cell.idle.at - at)


@measure("interrupt", rounds=15, quick_rounds=3)
def interrupts(kernel):
    yield "interrupt.loop", interrupted(kernel, "while True: pass")
    yield "interrupt.sleep", interrupted(kernel, "time.sleep(60)")


@measure("control", rounds=3, quick_rounds=1)
def control_while_busy(kernel):
    cell = kernel.run_until_output(
        "import time\nprint('begun', flush=True)\nend = time.monotonic() + 1\nwhile time.monotonic() < end: pass"
    )
    asked = 0
    while cell.reply is None and asked < 20:
        request = kernel.send("kernel_info_request", channel="control")
        kernel.wait(lambda request=request: request.reply is not None)
        if cell.reply is None:
            asked += 1
            yield "control", ms(request.replied_after)
        kernel.finish(request)
    require(asked, "nothing was answered while the cell ran")
    kernel.finish(cell)
    cell.require_ok()


@measure("ten", rounds=3, quick_rounds=1, starts_kernels=True)
def ten_at_once(place):
    with contextlib.ExitStack() as stack:
        kernels = [stack.enter_context(place.kernel()) for _ in range(KERNELS)]
        began = now()
        for kernel in kernels:
            kernel.start()
        yield "ten.ready", ms(max(kernel.info.sent + kernel.answered() for kernel in kernels) - began)
        for kernel in kernels:
            warm(kernel.subscribed(), 5)
        began, ended = now(), []
        yield from run_side_by_side(kernels, ended)
        yield "ten.rate", KERNELS * CELLS_OF_TEN / (max(ended) - began)


def run_side_by_side(kernels, ended):
    """Each kernel runs its cells one after the other, all kernels at once. Yields what each cell took."""
    poller, owners, running = zmq.Poller(), {}, {}
    for kernel in kernels:
        for each in kernel.sockets:
            poller.register(each, zmq.POLLIN)
            owners[each] = kernel
        running[kernel] = [kernel.send_cell("0+1")]
    while running:
        events = poller.poll(PATIENCE * 1000)
        require(events, f"none of {len(running)} kernels answered within {PATIENCE} s")
        for kernel in {owners[each] for each, _ in events}:
            cells = running.get(kernel, [])
            kernel.receive()
            if cells and cells[-1].reply is not None and cells[-1].idle is not None:
                if len(cells) < CELLS_OF_TEN:
                    cells.append(kernel.send_cell(f"{len(cells)}+1"))
                else:
                    ended.append(now())
                    for number, cell in enumerate(running.pop(kernel)):
                        yield "ten.tail", ms(cell.require_result(str(number + 1)).replied_after)


@measure("burst", rounds=5, quick_rounds=1, starts_kernels=True)
def burst(place):
    """A notebook's cells, one after the other, in a process that is as large as one with pandas."""
    cells = 60
    with place.kernel() as kernel:
        warm(kernel.start().subscribed())
        kernel.run("def f(n): return n\nballast = [[] for _ in range(1_000_000)]").require_ok()
        began = now()
        for number in range(cells):
            kernel.run(f"f({number})").require_result(str(number))
        yield "burst", ms((now() - began) / cells)


@measure("memory", rounds=3, quick_rounds=1, starts_kernels=True)
def memory(place):
    """Of everything that the kernel started, its sandbox and its snapshots, too: the pauses are there for these."""
    with place.kernel() as kernel:
        kernel.start().subscribed().run("1+1").require_result("2")
        yield "memory.fresh", settled_pss(kernel)
        for number in range(200):
            kernel.run(f"x = {number}").require_ok()
            time.sleep(0.02)
        yield "memory.used", settled_pss(kernel)
        kernel.run("x").require_result("199")


def settled_pss(kernel):
    """Once two readings, half a second apart, differ by less than 1 %."""
    before, now_mib = 0, pss_mib(kernel.pids())
    while abs(now_mib - before) > before / 100:
        time.sleep(0.5)
        before, now_mib = now_mib, pss_mib(kernel.pids())
    return now_mib


@measure("cpu", rounds=3, quick_rounds=1, starts_kernels=True)
def cpu(place):
    cells, seconds = 1_000, 3
    with place.kernel() as kernel:
        warm(kernel.start().subscribed())
        began = cpu_seconds(kernel.pids())
        warm(kernel, cells)
        yield "cpu.cell", ms((cpu_seconds(kernel.pids()) - began) / cells)
        # Until snapshots and the like have been dealt with.
        settled_pss(kernel)
        pids = kernel.pids()
        began = thread_cpu_seconds(pids)
        time.sleep(seconds)
        used = thread_cpu_seconds(pids) - began
        yield "cpu.idle", 100 * used / seconds
        kernel.run("1+1").require_result("2")


@measure("nbconvert", rounds=5, quick_rounds=1, starts_kernels=True)
def nbconvert(place):
    """From the start of jupyter nbconvert to its end."""
    sources = [f"x{number} = {number}\nprint(x{number})\nx{number} * 2" for number in range(20)]
    empty = {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": []}
    cells = [{**empty, "id": f"cell-{number}", "source": source} for number, source in enumerate(sources)]
    name = f"bench-{place.spec.name}"
    kernels = place.directory / "jupyter" / "kernels"
    kernels.mkdir(parents=True, exist_ok=True)
    if not (kernels / name).exists():
        (kernels / name).symlink_to(place.spec.directory)
    notebook = place.directory / "work" / "cells.ipynb"
    notebook.parent.mkdir(exist_ok=True)
    kernelspec = {"name": name, "display_name": name, "language": "python"}
    notebook.write_text(
        json.dumps({"cells": cells, "metadata": {"kernelspec": kernelspec}, "nbformat": 4, "nbformat_minor": 5})
    )
    command = [sys.executable, "-m", "nbconvert", "--execute", "--to", "notebook", "--inplace", str(notebook)]
    environment = {**os.environ, "JUPYTER_PATH": str(kernels.parent)}
    began = now()
    done = subprocess.run(command, env=environment, capture_output=True, timeout=PATIENCE, cwd=notebook.parent)
    took = now() - began
    require(done.returncode == 0, f"nbconvert ended with {done.returncode}: {done.stderr.decode()[-300:]}")
    for number, cell in enumerate(json.loads(notebook.read_text())["cells"]):
        found = [output.get("text") or output["data"]["text/plain"] for output in cell["outputs"]]
        found = ["".join(text).strip() for text in found]
        require(found == [str(number), str(2 * number)], f"cell {number} of the notebook has the outputs {found}")
    yield "nbconvert", ms(took)
