"""The texts of cells as files that are in no folder: for tracebacks, warnings, debuggers and inspect.getsource().

A name depends on the text alone, since code compiled once may run in several cells. A text that defines something is kept for
ever; of the others, those that ran last.
"""

import sys
from binascii import crc32
from collections import OrderedDict
from types import CodeType

_names = {}  # by text
_texts = {}  # by name
_counts = {}  # by name: the execution count under which the text ran last
_compiled = {}  # by name: what a client sent, where it is compiled as something else
_passing = OrderedDict()  # the names of those that define nothing, the one that ran last at the end
_told = None

_MAX_PASSING = 1_000

# What does not outlive the code that it is in.
_PASSING = ("<listcomp>", "<setcomp>", "<dictcomp>")


def watch_imports(watch):
    watch.when_loaded("linecache", lambda _: refresh())


def add(text):
    """The file name of this text."""
    name = _names.get(text)
    if name is None:
        number = crc32(text.encode("utf-8", "surrogatepass"))
        while (name := f"<cell-{number:08x}>") in _texts:
            number += 1
        _names[text] = name
        _texts[name] = text
        if _told is not None:
            _told(name, text)
        linecache = sys.modules.get("linecache")
        if linecache is not None:
            _tell(linecache, name)
    return name


def compiled(name, text):
    """The text that a client sent has been compiled, in a form of its own, under this name, which is not one of ours."""
    _compiled[name] = text
    if _told is not None:
        _told(name, text)


def defines(*codes):
    """Whether what is defined in one of these may outlive it."""
    for code in codes:
        for constant in code.co_consts:
            if type(constant) is CodeType and (constant.co_name not in _PASSING or defines(constant)):
                return True
    return False


def passes(name):
    """The text of this name, which has just been compiled, defines nothing. The names that are forgotten for it."""
    _passing[name] = None
    _passing.move_to_end(name)
    forgotten = []
    while len(_passing) > _MAX_PASSING:
        old, _ = _passing.popitem(last=False)
        _forget(old)
        forgotten.append(old)
    return forgotten


def _forget(name):
    _names.pop(_texts.pop(name, None), None)
    _counts.pop(name, None)
    _compiled.pop(name, None)
    linecache = sys.modules.get("linecache")
    if linecache is not None:
        linecache.cache.pop(name, None)
        # Of IPython, which restores from it what linecache was made to forget.
        getattr(linecache, "_ipython_cache", {}).pop(name, None)


def watch(told):
    """Has told(name, text) called for each text that gets a name, or nothing for None."""
    global _told
    _told = told


def cells():
    """The texts as clients sent them, by the names under which they are compiled."""
    return [*list(_texts.items()), *list(_compiled.items())]


def lines_left_out(name):
    """How many empty lines at the beginning of the text are not in what is compiled."""
    text = _compiled.get(name, "")
    return len(text[: len(text) - len(text.lstrip())].split("\n")) - 1


def ran(name, count):
    _counts[name] = count
    try:
        _passing.move_to_end(name)
    except KeyError:
        pass  # it defines something


def title(name):
    """How people know the file: `Cell In[3]`. None if it is no cell."""
    if name.startswith("<ipython-input-"):
        return f"Cell In[{name.split('-')[2]}]"
    return f"Cell In[{_counts[name]}]" if name in _counts else None


def refresh():
    """Tells linecache all texts that it does not know, or was made to forget."""
    linecache = sys.modules["linecache"]
    for name in _texts:
        if name not in linecache.cache:
            _tell(linecache, name)


def _tell(linecache, name):
    text = _texts[name]
    # No time of change: linecache.checkcache() then leaves it alone.
    linecache.cache[name] = (len(text), None, [line + "\n" for line in text.split("\n")], name)
