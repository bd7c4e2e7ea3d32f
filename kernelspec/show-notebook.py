"""Prints the code cells of an executed notebook with their outputs: show-notebook.py FILE."""

import json
import os
import re
import sys


def text(value):
    """Notebooks keep long text as a string or as a list of its lines."""
    return value if isinstance(value, str) else "".join(value)


def lines_of(output):
    """The output as text for a terminal."""
    kind = output["output_type"]
    if kind == "stream":
        return text(output["text"])
    if kind == "error":
        return "\n".join(output["traceback"]) or "%s: %s" % (output["ename"], output["evalue"])
    data = output["data"]
    pictures = [mime for mime in data if mime.startswith("image/") or mime == "text/html"]
    plain = text(data["text/plain"]) if "text/plain" in data else ""
    return "\n".join(([plain] if plain else []) + ["[%s, shown in a notebook]" % mime for mime in pictures])


def show(notebook, out, colour):
    dim, normal = ("\033[2m", "\033[0m") if colour else ("", "")
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code" or not cell["source"]:
            continue
        prompt = "In [%s]: " % (cell["execution_count"] or " ")
        source = text(cell["source"]).rstrip().split("\n")
        out.write("\n")
        for line in source:
            out.write(dim + prompt + line + normal + "\n")
            prompt = " " * (len(prompt) - 2) + ": "
        for output in cell["outputs"]:
            printed = lines_of(output)
            if not colour:
                printed = re.sub(r"\033\[[0-9;]*m", "", printed)
            out.write(printed if printed.endswith("\n") or not printed else printed + "\n")


def main(path):
    # A notebook is UTF-8 and may hold what the terminal's encoding lacks.
    sys.stdout.reconfigure(errors="replace")
    with open(path, encoding="utf-8") as file:
        show(json.load(file), sys.stdout, sys.stdout.isatty() and "NO_COLOR" not in os.environ)


if __name__ == "__main__":
    main(sys.argv[1])
