"""The namespace of the cells: one dict for the session's life, which is that of the module __main__."""

import builtins
import sys

from .imports import standard

_MAX_OUTPUTS = 1_000
_FORGOTTEN_AT_ONCE = 200


def own_variables(names, hidden):
    """Those of a namespace that are not the history's, Python's own, or hidden ones that nobody has replaced."""
    re = standard("re")
    history = re.compile(r"In|Out|_[io]h|_dh|_{1,3}|_i{1,3}|_i?\d+|__\w+__").fullmatch
    return {
        name: value
        for name, value in list(names.items())
        if isinstance(name, str) and not history(name) and not (name in hidden and hidden[name] is value)
    }


class Namespace:
    """Keeps `In Out _ih _oh _ __ ___ _i _ii _iii _3 _i3` as IPython does. Main thread only."""

    def __init__(self):
        module = type(sys)("__main__", "The notebook.")
        module.__builtins__ = builtins
        sys.modules["__main__"] = module
        self.dict = module.__dict__
        self._inputs = [""]
        self._outputs = {}
        self._last_values = {"_": "", "__": "", "___": ""}
        self.dict.update(self._last_values, _i="", _ii="", _iii="")
        self._hidden = {}
        self.protect()

    def hide(self, **values):
        """Adds what is no variable of a person's."""
        self._hidden.update(values)
        self.dict.update(values)

    def variables(self):
        return own_variables(self.dict, self._hidden)

    def protect(self):
        """Puts back what a cell has replaced or deleted."""
        names = self.dict
        names["In"] = names["_ih"] = self._inputs
        names["Out"] = names["_oh"] = self._outputs

    def add_input(self, text, count):
        """Before the cell runs. A new worker in an old session begins with a count over 1."""
        inputs = self._inputs
        previous = inputs[-1] if inputs else ""
        inputs.extend([""] * (count + 1 - len(inputs)))
        inputs[count] = text
        names = self.dict
        names["_iii"], names["_ii"], names["_i"] = names.get("_ii", ""), names.get("_i", ""), previous
        names[f"_i{count}"] = text

    def add_output(self, value, count):
        names = self.dict
        if value is self._outputs:
            return
        # None of the three is touched once a cell has given one of them a meaning of its own.
        untouched = all(names.get(name, last) is last for name, last in self._last_values.items())
        # In builtins it is gettext's.
        if untouched and "_" not in builtins.__dict__:
            self._last_values = {"_": value, "__": self._last_values["_"], "___": self._last_values["__"]}
            names.update(self._last_values)
        names[f"_{count}"] = value
        self._outputs[count] = value
        if len(self._outputs) > _MAX_OUTPUTS:
            self._forget_outputs()

    def _forget_outputs(self):
        for count in list(self._outputs)[:_FORGOTTEN_AT_ONCE]:
            value = self._outputs.pop(count)
            if self.dict.get(f"_{count}") is value:
                del self.dict[f"_{count}"]
