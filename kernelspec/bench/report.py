"""Results as a table, next to the bounds of Capsule's figures."""

from figures import FIGURES, IPYTHON, PLAIN, REFERENCE

CAPSULE = (PLAIN, IPYTHON)


def value(results, kernel, name):
    """None when it was not measured."""
    return results["kernels"].get(kernel, {}).get(name, {}).get("value")


def ratio(results, kernel, name, of=REFERENCE):
    """None when one of the two was not measured."""
    own, other = value(results, kernel, name), value(results, of, name)
    return own / other if own is not None and other else None


def verdicts(results, kernel, name):
    """A bound, what was found of it, and whether it is met; None when the other kernel was not measured."""
    figure = FIGURES[name]
    for bound in figure.bounds(kernel):
        found = ratio(results, kernel, name, bound.of) if bound.of else value(results, kernel, name)
        met = None
        if found is not None:
            met = found >= bound.limit if figure.more_is_better else found <= bound.limit
        yield bound, found, met


def table(results):
    kernels = list(results["kernels"])
    rows = [["", "", *kernels]]
    for name, figure in FIGURES.items():
        if any(value(results, kernel, name) is not None for kernel in kernels):
            rows.append([figure.title, figure.unit, *(_cell(results, kernel, name) for kernel in kernels)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows)


def _cell(results, kernel, name):
    found = value(results, kernel, name)
    if found is None:
        return "–"
    words = [number(found)]
    times = ratio(results, kernel, name)
    if kernel != REFERENCE and times is not None:
        words.append(f"× {times:.2f}")
    for bound, _, met in list(verdicts(results, kernel, name))[:1]:
        sign = "≥" if FIGURES[name].more_is_better else "≤"
        words.append(f"({sign} {bound.limit:g} {'met' if met else 'NOT MET'})")
    return " ".join(words)


def number(value):
    """With three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def misses(results):
    """One line for each bound that is not met, and not the one that the table shows."""
    for kernel in CAPSULE:
        for name, figure in FIGURES.items():
            for bound, found, met in list(verdicts(results, kernel, name))[1:]:
                if met is False:
                    least = "at least" if figure.more_is_better else "at most"
                    of = f" × {bound.of}" if bound.of else f" {figure.unit}".rstrip()
                    yield f"{kernel}: {figure.title}: {number(found)}{of}, where it should be {least} {bound.limit:g}"


def text(results):
    machine = results["machine"]
    parts = [
        table(results),
        f"× is the ratio to {REFERENCE} (ipykernel). {machine['cores']} cores of {machine['processor']}, "
        f"{machine['system']}, load {results['load before'][0]:.1f} before and {results['load after'][0]:.1f} after; "
        + ", ".join(f"{kernel}: {version}" for kernel, version in results["versions"].items()),
    ]
    if results["quick"]:
        parts.append("Few rounds, as --quick asks for: the figures are rough.")
    parts += ["Not met: " + line for line in misses(results)]
    # A kernel that cannot do something is asked twice.
    failures = {(problem["kernel"], problem["measure"]): problem for problem in results["problems"]}
    parts += ["Failed: {kernel}, {measure}: {problem}".format(**problem) for problem in failures.values()]
    return "\n\n".join(parts[:2]) + "\n" + "\n".join(parts[2:])
