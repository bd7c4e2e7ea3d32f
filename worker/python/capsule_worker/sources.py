"""The texts of cells as files that are in no folder: for tracebacks, warnings, debuggers and inspect.getsource().

A name depends on the text alone, since code compiled once may run in several cells.
"""

from binascii import crc32

_names = {}  # by text
_texts = {}  # by name
_counts = {}  # by name: the execution count under which the text ran last
_cache = None  # linecache's, once something has imported it


def watch_imports(watch):
    watch.when_loaded("linecache", _linecache_loaded)


def _linecache_loaded(linecache):
    global _cache
    _cache = linecache.cache
    refresh()


def add(text):
    """The file name of this text."""
    name = _names.get(text)
    if name is None:
        number = crc32(text.encode("utf-8", "surrogatepass"))
        while (name := f"<cell-{number:08x}>") in _texts:
            number += 1
        _names[text] = name
        _texts[name] = text
        if _cache is not None:
            refresh()
    return name


def ran(name, count):
    _counts[name] = count


def title(name):
    """How people know the file: `Cell In[3]`. None if it is no cell."""
    return f"Cell In[{_counts[name]}]" if name in _counts else None


def refresh():
    """Tells linecache all texts that it does not know, or has been made to forget."""
    for name, text in _texts.items():
        if name not in _cache:
            # No time of change: linecache.checkcache() then leaves it alone.
            _cache[name] = (len(text), None, [line + "\n" for line in text.split("\n")], name)
