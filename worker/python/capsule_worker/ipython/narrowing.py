"""Has jedi look only at those names of a module or class that begin as the completion does.

It finds out of every name whether it can be defined at all, and drops most of them only then: for `os.pa` that is five
sixths of the time.
"""

import sys
from copy import copy
from threading import local


class _Wanted(local):
    # How a name must begin for which the thread looks.
    beginning = ""


_wanted = _Wanted()


def install():
    """Once, when jedi is loaded. A jedi that is made in another way is left as it is."""
    completion, filters = sys.modules.get("jedi.api.completion"), sys.modules.get("jedi.inference.filters")
    kind = getattr(completion, "Completion", None)
    used = getattr(filters, "_AbstractUsedNamesFilter", None)
    if kind is None or used is None or not hasattr(kind, "complete") or not hasattr(used, "values"):
        return
    complete, values = kind.complete, used.values

    def complete_narrowly(self):
        before = _wanted.beginning
        _wanted.beginning = _beginning(self)
        try:
            return complete(self)
        finally:
            _wanted.beginning = before

    def wanted_values(self):
        beginning = _wanted.beginning
        if beginning and _is_for(completion):
            self = copy(self)
            self._used_names = {name: of for name, of in self._used_names.items() if name.startswith(beginning)}
        return values(self)

    kind.complete, used.values = complete_narrowly, wanted_values


def _beginning(completion):
    case_matters = not sys.modules["jedi.settings"].case_insensitive_completion
    return getattr(completion, "_like_name", "") if case_matters and not getattr(completion, "_fuzzy", True) else ""


def _is_for(completion):
    """Whether the values of a filter are for the completion itself, perhaps through filters made of others. jedi asks
    for all values in other places too, such as for the fields of a dataclass.
    """
    frame = sys._getframe(2)
    while frame.f_code.co_name in ("values", "<listcomp>", "<genexpr>"):
        frame = frame.f_back
    code = frame.f_code
    return code.co_filename == completion.__file__ or code.co_name == "completion_names"
