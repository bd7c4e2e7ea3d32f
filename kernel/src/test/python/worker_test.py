"""The tests of the Python worker itself, which need no kernel."""

from pathlib import Path

WORKER = Path(__file__).resolve().parents[4] / "worker" / "python"


def load_tests(loader, _tests, _pattern):
    return loader.discover(str(WORKER / "tests"), top_level_dir=str(WORKER))
