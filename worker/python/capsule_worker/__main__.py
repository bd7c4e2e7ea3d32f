"""Starts the worker: `python3 .../capsule_worker/__main__.py` or `python3 -m capsule_worker`."""

import os
import sys


def _isolate():
    """Makes the package importable, and nothing else of its folder or of the notebook's.

    Python has put a folder in front of its library: this one (run as a file), or the notebook's (run with -m). A file
    there that is called like a module of the library must not take its place while the worker boots.
    """
    here = os.path.dirname(os.path.realpath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry) != here]
    if __package__:
        # Python has found the package by itself, from the notebook's folder, which comes back when all is loaded.
        sys.path[:] = [entry for entry in sys.path if entry and os.path.realpath(entry) != os.getcwd()]
    else:
        sys.path.insert(0, os.path.dirname(here))
        import capsule_worker  # noqa: F401 - its parts are found through its own path from now on

        del sys.path[0]


if __name__ == "__main__":
    # Nothing in this file may need more than an old Python can read.
    if sys.version_info < (3, 9):
        sys.exit(
            "Capsule needs Python 3.9 or later, and this is %d.%d.%d; "
            "install it with another: capsule install --python PATH" % tuple(sys.version_info[:3])
        )
    _isolate()
    from capsule_worker.worker import main

    main()
