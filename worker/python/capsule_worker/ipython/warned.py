"""What becomes of the warnings of one thread."""

import warnings
from _thread import get_ident


class Warned:
    """With it, a thread's warnings have this effect. warnings.catch_warnings() is for all threads: a cell that runs
    beside, and uses it too, would be left with filters that are not its own.
    """

    def __init__(self, effect):
        self._threads = set()
        # In the place of a pattern for the text of a warning.
        self._filter = (effect, self, Warning, None, 0)

    def match(self, text):
        return get_ident() in self._threads

    def __enter__(self):
        # A cell may put others before it, or take it away.
        if not warnings.filters or warnings.filters[0] is not self._filter:
            warnings.filters.insert(0, self._filter)
        self._threads.add(get_ident())

    def __exit__(self, *_):
        self._threads.discard(get_ident())
        if not self._threads:
            try:
                warnings.filters.remove(self._filter)
            except ValueError:
                pass  # a cell has put back its own
