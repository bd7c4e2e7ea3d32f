"""Drawings of results, as SVG for light pages and dark ones. Also: python3 plots.py RESULTS.json >FILE.svg"""

import json
import math
import sys
from html import escape

from figures import FIGURES, IPYTHON, PLAIN, REFERENCE
from report import ratio, verdicts

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.small { font-size: 11px; fill: #57606a } .grid { stroke: #d0d7de } .one { stroke: #57606a }
.capsule-plain { fill: #54a3ff; stroke: #54a3ff } .capsule-ipython { fill: #b392f0; stroke: #b392f0 }
.xpython { fill: #bc4c00 } .xpython-raw { fill: #bf8700 } .bound { stroke: #24292f; stroke-width: 2 }
.line { fill: none; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .small { fill: #8d96a0 } .grid { stroke: #3d444d } .one { stroke: #8d96a0 }
  .capsule-plain { fill: #1f6feb; stroke: #1f6feb } .capsule-ipython { fill: #8957e5; stroke: #8957e5 }
  .xpython { fill: #db6d28 } .xpython-raw { fill: #d29922 } .bound { stroke: #e6edf3 }
}
"""
WIDTH = 860
LEFT = 270
RIGHT = 60
ROW = 34
TOP = 52


def bars(results):
    """The ratios to the reference, on a scale of factors; shorter is better."""
    capsule = [kernel for kernel in (PLAIN, IPYTHON) if kernel in results["kernels"]]
    peers = [kernel for kernel in ("xpython", "xpython-raw") if kernel in results["kernels"]]
    names = [name for name in FIGURES if any(_times(results, kernel, name) for kernel in capsule)]
    shown = [_times(results, kernel, name) for name in names for kernel in capsule + peers]
    low, high = _decades([each for each in shown if each])

    def x(times):
        return LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(times) - low) / (high - low)

    height = TOP + ROW * len(names) + 20
    parts = []
    for power in range(low, high + 1):
        place = x(10**power)
        kind = "one" if power == 0 else "grid"
        parts.append(f'<line class="{kind}" x1="{place:.1f}" x2="{place:.1f}" y1="{TOP - 6}" y2="{height - 18}"/>')
        parts.append(_text(place, height - 4, f"× {10.0**power:g}", "small", "middle"))
    for row, name in enumerate(names):
        top = TOP + ROW * row
        title = FIGURES[name].title + (", time" if FIGURES[name].more_is_better else "")
        parts.append(_text(LEFT - 8, top + 17, title, "", "end"))
        for number, kernel in enumerate(capsule):
            times = _times(results, kernel, name)
            if times is None:
                continue
            y = top + 2 + 13 * number
            parts.append(f'<rect class="{kernel}" x="{LEFT}" y="{y}" width="{x(times) - LEFT:.1f}" height="11"/>')
            parts.append(_text(x(times) + 5, y + 10, f"{times:.2g}", "small"))
            for bound, _, _ in verdicts(results, kernel, name):
                if bound.of == REFERENCE:
                    place = x(1 / bound.limit if FIGURES[name].more_is_better else bound.limit)
                    parts.append(f'<line class="bound" x1="{place:.1f}" x2="{place:.1f}" y1="{y - 1}" y2="{y + 12}"/>')
        for kernel in peers:
            times = _times(results, kernel, name)
            if times is not None:
                parts.append(f'<circle class="{kernel}" cx="{x(times):.1f}" cy="{top + 14}" r="4"/>')
    title = _text(0, 14, "Times that of ipykernel: shorter is better. The upright mark is what it may be at most", "")
    return _svg(height, [title, *_legend(capsule + peers), *parts])


def _times(results, kernel, name):
    """Of rates the inverse, so that less is always better; None of what is neither time nor size."""
    found = ratio(results, kernel, name) if FIGURES[name].unit else None
    return 1 / found if found and FIGURES[name].more_is_better else found or None


def _decades(values):
    low = math.floor(math.log10(min(values, default=0.1)))
    return min(low, -1), max(math.ceil(math.log10(max(values, default=1))), 0)


def lines(results):
    """Memory and latency over the minutes of a soak, one above the other."""
    samples, height, parts = results["samples"], 130, []
    panels = (
        ("PSS, MiB", "RSS of the front, MiB"),
        ("execute → reply, p99, ms", "execute → reply, median, ms"),
        ("descriptors", "processes"),
    )
    left, end = 50, max([sample["minutes"] for sample in samples], default=1)
    for number, panel in enumerate(panels):
        bottom = TOP + (height + 30) * (number + 1) - 30
        most = max((sample[name] for name in panel for sample in samples), default=1) * 1.1
        for part in (0, 0.5, 1):
            y = bottom - part * height
            parts.append(f'<line class="grid" x1="{left}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(_text(left - 6, y + 4, f"{part * most:.3g}", "small", "end"))
        for kind, name in zip((PLAIN, IPYTHON), panel):
            points = " ".join(
                f"{left + (WIDTH - left) * sample['minutes'] / end:.1f},{bottom - height * sample[name] / most:.1f}"
                for sample in samples
            )
            parts.append(f'<polyline class="{kind} line" style="fill: none" points="{points}"/>')
        for kind, name, place in zip((PLAIN, IPYTHON), panel, (left + 8, left + 268)):
            parts += [
                f'<rect class="{kind}" x="{place}" y="{bottom - height - 14}" width="10" height="10"/>',
                _text(place + 15, bottom - height - 5, name, "small"),
            ]
    title = f"{results['soak']} at full load for {end:.0f} minutes"
    return _svg(TOP + (height + 30) * len(panels), [_text(0, 14, title, ""), *parts])


def _legend(kernels):
    parts = []
    for number, kernel in enumerate(kernels):
        place = LEFT + 120 * number
        parts.append(f'<rect class="{kernel}" x="{place}" y="24" width="10" height="10"/>')
        parts.append(_text(place + 15, 33, kernel, "small"))
    return parts


def _text(x, y, text, kind, anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(height, parts):
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
    return "\n".join([head, f"<style>{STYLE}</style>", *parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        found = json.load(file)
    print(lines(found) if "samples" in found else bars(found), end="")
