"""What objects look like, found out faster where IPython's formatters have nothing to say but what repr() says."""

from IPython.core.formatters import DisplayFormatter, PlainTextFormatter
from IPython.lib.pretty import _repr_pprint

from .. import formatting

_TABLES = ("singleton_printers", "type_printers", "deferred_printers")
# Of these, IPython's text is their repr(), and that is one line.
_ONE_LINE = frozenset((int, float, bool, str, type(None)))


class Formatter(DisplayFormatter):
    """Asks for all that an object says of itself, as IPython's does, but not those that cannot say anything."""

    def __init__(self, **traits):
        super().__init__(**traits)
        self._asked = []
        self._settings = []
        text = self.formatters["text/plain"]
        self._print_float = text.type_printers.get(float)
        self._print_text = type(text).__call__

    def format(self, obj, include=None, exclude=None):
        if include is None and exclude is None and type(obj) in formatting.PLAIN and not self._is_special(obj):
            text = self._text(self.formatters["text/plain"], obj)
            return ({} if text is None else {"text/plain": text}), {}
        return super().format(obj, include=include, exclude=exclude)

    def _is_special(self, obj):
        """Whether somebody has told IPython how to show just this, or its type, other than as text."""
        asked = [self.ipython_display_formatter, self.mimebundle_formatter, *self.formatters.values()]
        if asked != self._asked:
            self._asked = asked
            others = [formatter for formatter in asked if not isinstance(formatter, PlainTextFormatter)]
            self._settings = [_settings(formatter) for formatter in others]
        for settings in self._settings:
            if settings["type_printers"] or settings["singleton_printers"] or settings["deferred_printers"]:
                if _has_printer(settings, obj):
                    return True
        return False

    def _text(self, formatter, obj):
        kind = type(obj)
        is_usual = type(formatter) is PlainTextFormatter and PlainTextFormatter.__call__ is self._print_text
        if kind in _ONE_LINE and is_usual:
            settings = _settings(formatter)
            usual = _repr_pprint
            if kind is float:
                usual = self._print_float if settings.get("float_format", "%r") == "%r" else None
            printers = settings["singleton_printers"], settings["type_printers"], settings["deferred_printers"]
            if _printer(kind, id(obj), *printers) is usual:
                try:
                    return repr(obj)
                except ValueError:
                    pass  # of an integer that is too long: IPython says so
        return formatter(obj)


def _settings(formatter):
    """A formatter's printers by kind, and what else is set: its traits without what it costs to ask for them."""
    settings = formatter._trait_values
    for name in _TABLES:
        if name not in settings:
            getattr(formatter, name)
    return settings


def _has_printer(settings, obj):
    types = type(obj).__mro__
    known, later = settings["type_printers"], settings["deferred_printers"]
    if id(obj) in settings["singleton_printers"] or any(kind in known for kind in types):
        return True
    return bool(later) and any((kind.__module__, kind.__name__) in later for kind in types)


def _printer(kind, identity, singletons, types, later):
    """What prints an object of a built-in type, None if that is not clear."""
    if identity in singletons:
        return singletons[identity]
    if kind in types:
        return types[kind]
    return None
