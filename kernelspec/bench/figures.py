"""What is measured, and what each figure of Capsule may be."""

from typing import NamedTuple

# All ratios are to it: Debian's ipykernel.
REFERENCE = "python3"

PLAIN = "capsule-plain"
IPYTHON = "capsule-ipython"


class Bound(NamedTuple):
    """The most that a figure may be, or the least where more is better: times that of another kernel, or by itself."""

    limit: float
    of: str = REFERENCE


class Figure(NamedTuple):
    name: str
    title: str
    unit: str = "ms"
    plain: tuple = ()
    ipython: tuple = ()
    quantile: float = 0.5
    more_is_better: bool = False

    def bounds(self, kernel):
        return {PLAIN: self.plain, IPYTHON: self.ipython}.get(kernel, ())


def _at(limit, **others):
    """The bound to the reference, to other kernels, and by itself."""
    names = {"xpython_raw": "xpython-raw", "absolute": ""}
    return (Bound(limit), *(Bound(each, names.get(name, name)) for name, each in others.items()))


FIGURES = {
    figure.name: figure
    for figure in (
        Figure("start.ready", "spawn → kernel_info_reply", "ms", _at(0.45), _at(0.45)),
        Figure("start.result", "spawn → first result", "ms", _at(0.55), _at(1.0)),
        Figure("restart", "restart → ready", "ms", _at(0.50), _at(0.50)),
        Figure(
            "execute.reply",
            "execute → reply",
            "ms",
            _at(0.12, xpython_raw=1.0, absolute=5),
            _at(0.22, xpython=0.5, absolute=5),
        ),
        Figure("execute.idle", "execute → idle"),
        Figure("pause.reply", "execute → reply, after 20 ms idle"),
        Figure("pause.idle", "execute → idle, after 20 ms idle"),
        Figure("assign", "x = n → reply"),
        Figure("call", "f(n) → reply"),
        Figure("burst", "60 × f(n) in a row, 80 MB in use: each"),
        Figure("tail", "execute → reply, p99, after 3,000 cells", "ms", _at(0.35), _at(0.6), quantile=0.99),
        Figure("await", "await → reply", "ms", _at(0.14, absolute=10), _at(0.28, absolute=10)),
        Figure(
            "pipeline",
            "1,000 pipelined cells",
            "1/s",
            _at(15, absolute=1000),
            _at(6, absolute=1000),
            more_is_better=True,
        ),
        Figure("input", "input() round trip", "ms", _at(0.18), _at(0.26)),
        Figure("is_complete", "is_complete", "ms", _at(0.30), _at(0.60)),
        Figure("inspect", "inspect", "ms", _at(0.30), _at(0.60)),
        Figure("complete", "complete, warm", "ms", _at(0.10), _at(0.60)),
        Figure("lines.idle", "100,000 lines → idle", "ms", _at(0.25), _at(0.25)),
        Figure("lines.messages", "100,000 lines, messages", "", (Bound(60, ""),), (Bound(60, ""),)),
        Figure("bulk", "50 MB → idle", "ms", _at(0.65), _at(0.65)),
        Figure("tick", "age of a ticking line", "ms", _at(0.02), _at(0.02)),
        Figure("image", "1 MB image → idle", "ms", _at(0.28), _at(0.35)),
        Figure("interrupt.loop", "interrupt of a loop → idle", "ms", _at(0.35), _at(0.9)),
        Figure("interrupt.sleep", "interrupt of a sleep → idle"),
        Figure("control", "kernel_info on control while busy", "ms", _at(0.10), _at(0.10)),
        Figure("ten.ready", "10 kernels at once: all ready", "ms", _at(0.6), _at(1.0)),
        Figure("ten.rate", "10 kernels at once: cells", "1/s", _at(2), _at(1.3), more_is_better=True),
        Figure("ten.tail", "10 kernels at once: reply, p99", "ms", _at(0.5), _at(0.8), quantile=0.99),
        Figure("memory.fresh", "PSS, fresh", "MiB", _at(1.1), _at(1.6)),
        Figure("memory.used", "PSS, after 200 cells", "MiB", _at(1.3), _at(1.8)),
        Figure("cpu.cell", "CPU per cell"),
        Figure("cpu.idle", "idle CPU", "%"),
        Figure("nbconvert", "nbconvert of 20 cells", "ms", _at(0.82), _at(0.90)),
    )
}
