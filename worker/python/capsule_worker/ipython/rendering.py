"""Makes IPython's tracebacks quicker and lets them leave no more than a little behind: what it makes anew for each frame,
it finds made, its own source is not read, and what was found out of the last errors is forgotten.

What is shown is the same.
"""

import os
import sys
from functools import lru_cache

import IPython
from IPython.core import ultratb

# How many pieces of source the library `executing` remembers, and in how many places it has seen them run. It would keep
# all there ever were.
_MAX_REMEMBERED = 100

_FOLDER = os.path.dirname(IPython.__file__) + os.sep


@lru_cache(maxsize=None)
def prepare():
    """Before the first traceback. Takes some milliseconds."""
    try:
        import stack_data
        from stack_data import core
    except ImportError:
        return  # IPython 7, which has other ways
    if not hasattr(core, "_pygmented_with_ranges") or not hasattr(stack_data, "style_with_executing_node"):
        return
    _remember_few(stack_data.Source)
    core._pygmented_with_ranges = _highlighted
    stack_data.style_with_executing_node = _style_kept(stack_data.style_with_executing_node)
    if hasattr(ultratb, "Terminal256Formatter"):
        ultratb.Terminal256Formatter = _formatter_kept(ultratb.Terminal256Formatter)
    _lexer()


def _remember_few(source):
    module = sys.modules[source.__base__.__module__]
    functions = getattr(source, "statements_at_line", None), getattr(module, "statement_containing_node", None)
    cleared = [function.cache_clear for function in functions if hasattr(function, "cache_clear")]
    for name in ("__executing_cache", "__source_cache_with_lines"):
        setattr(source, name, _Few(cleared))


class _Few(dict):
    def __init__(self, cleared):
        super().__init__()
        self._cleared = cleared

    def __setitem__(self, key, value):
        if len(self) >= _MAX_REMEMBERED:
            self.clear()
            for clear in self._cleared:
                clear()
        super().__setitem__(key, value)


def skip_own_frames(handler):
    """Has IPython's own frames, of which nothing is shown, left out before their source is read, which is long, and not
    after.
    """
    get_records = getattr(handler, "get_records", None)
    if get_records is None:
        return

    def get_wanted_records(etb, context, tb_offset):
        while tb_offset > 0 and _is_own(etb) and not _comes_again(etb):
            etb, tb_offset = etb.tb_next, tb_offset - 1
        return get_records(etb, context, tb_offset)

    handler.get_records = get_wanted_records


def _is_own(trace):
    return trace.tb_next is not None and trace.tb_frame.f_code.co_filename.startswith(_FOLDER)


def _comes_again(trace):
    """Whether the same line of the same code is in the traceback once more: then it may count as repeated."""
    code, line, trace = trace.tb_frame.f_code, trace.tb_lineno, trace.tb_next
    while trace is not None:
        if trace.tb_frame.f_code is code and trace.tb_lineno == line:
            return True
        trace = trace.tb_next
    return False


@lru_cache(maxsize=None)
def _lexer():
    from pygments.lexers import get_lexer_by_name

    class Marking(type(get_lexer_by_name("python3"))):
        """Of which pygments makes the tables when it makes the first instance."""

        marked = ()

        def get_tokens(self, text):
            position = 0
            for kind, value in super().get_tokens(text):
                here = kind.ExecutingNode if any(start <= position < end for start, end in self.marked) else kind
                position += len(value)
                yield here, value

    Marking()
    return Marking


def _highlighted(formatter, code, ranges):
    """The lines of a piece of code in colours, with the background of what is being executed."""
    from pygments import highlight

    lexer = _lexer()(stripnl=False)
    lexer.marked = ranges
    try:
        text = highlight(code, lexer, formatter)
    except Exception:
        text = code  # better without colours than not at all
    return text.splitlines()


def _style_kept(make):
    kept = {}

    def style_with_executing_node(style, modifier):
        known = kept.get((style, modifier))
        # Somebody may have changed it.
        if known is None or known[0] != getattr(style, "styles", None):
            known = kept[style, modifier] = dict(getattr(style, "styles", ())), make(style, modifier)
        return known[1]

    return style_with_executing_node


def _formatter_kept(kind):
    kept = {}

    class Terminal256Formatter(kind):
        """Has the colours that the last one of its style has found."""

        def _setup_styles(self):
            known = kept.get(self.style)
            if known is None:
                super()._setup_styles()
                kept.clear()
                kept[self.style] = self.style_string, self.best_match
            else:
                self.style_string, self.best_match = map(dict, known)

    return Terminal256Formatter
