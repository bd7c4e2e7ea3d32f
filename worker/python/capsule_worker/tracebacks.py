"""What is told of an exception. Never fails, whatever the exception is, but may be interrupted."""

import os
from collections import namedtuple

from . import sources
from .imports import standard

# A header has at most 4 MiB of ASCII, in which one byte of these texts may take six.
_MAX_NAME_BYTES = 1 << 10
_MAX_VALUE_BYTES = 64 << 10
_MAX_LINE_BYTES = 64 << 10
_MAX_REPR_BYTES = 4 << 10
_MAX_TRACEBACK_BYTES = 448 << 10

_OWN_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep
# Where frames end that are not a cell's: files and functions of engines.
RUNS_CELLS = {(_OWN_FOLDER + "execution.py", "run"), (_OWN_FOLDER + "execution.py", "_steps")}
# The file names of the plain engine's cells, and of IPython's.
_CELL = r"<cell-[0-9a-f]{8}>|<ipython-input-\d+-[0-9a-f]{12}>"
_RED, _PLAIN = "\033[0;31m", "\033[0m"

# A class of classes may have another `__name__`, and that may fail.
_name_of = type.__dict__["__name__"].__get__

Description = namedtuple("Description", "ename evalue traceback")


def describe(error, lines=None):
    """The name of the exception's class, its text, and the lines of its traceback, unless these are given."""
    name = shorten(_name_of(type(error)), _MAX_NAME_BYTES)
    value = _said(str, error, _MAX_VALUE_BYTES)
    if lines is None:
        try:
            lines = _format(error, value)
        except BaseException as failure:
            if is_interrupt(failure):
                raise
            lines = [f"{_RED}{name}{_PLAIN}: {value}"]
    return Description(name, value, _shorten_all(lines))


def lines_of_loop(context):
    """What an event loop tells its exception handler, as asyncio's own writes it, but for the error's traceback."""
    lines = [_said(str, context.get("message") or "Unhandled exception in the event loop", _MAX_VALUE_BYTES)]
    for key in sorted(context, key=str):
        if key == "source_traceback":
            lines.append(f"{key}: {_said(_stack, context[key], _MAX_LINE_BYTES)}")
        elif key not in ("message", "exception"):
            lines.append(f"{key}: {_said(repr, context[key], _MAX_REPR_BYTES)}")
    return lines


def _stack(frames):
    sources.refresh()
    lines = standard("traceback").format_list([frame for frame in frames if not _is_own(frame.filename)])
    return "Object created at (most recent call last):\n" + "".join(lines).rstrip()


def _said(say, thing, limit):
    try:
        return shorten(_with_titles(say(thing)), limit)
    except BaseException as failure:
        if is_interrupt(failure):
            raise
        return f"<{say.__name__.lstrip('_')}() of this {shorten(_name_of(type(thing)), _MAX_NAME_BYTES)} failed>"


def is_interrupt(error):
    """Whether it ends what takes long, such as the text of an error. What is derived from it a cell has raised itself."""
    return type(error) is KeyboardInterrupt


def shorten(text, limit):
    """At most `limit` bytes of UTF-8, cut out of the middle."""
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= limit:
        return data.decode("utf-8")
    half = (limit - 64) // 2
    head, tail = data[:half].decode("utf-8", "ignore"), data[-half:].decode("utf-8", "ignore")
    return f"{head} … {len(data) - 2 * half:,} bytes left out … {tail}"


def _shorten_all(lines):
    lines = [shorten(line, _MAX_LINE_BYTES) for line in lines]
    if sum(map(len, lines)) * 4 <= _MAX_TRACEBACK_BYTES:
        return lines
    sizes = [len(line.encode("utf-8")) for line in lines]
    head, tail, room = 0, len(lines), _MAX_TRACEBACK_BYTES
    while head < tail and sizes[head] + sizes[tail - 1] <= room:
        room -= sizes[head] + sizes[tail - 1]
        head, tail = head + 1, tail - 1
    return lines if head >= tail else [*lines[:head], f"  … {tail - head:,} lines left out …", *lines[tail:]]


def _format(error, value):
    traceback = standard("traceback")
    sources.refresh()
    told = traceback.TracebackException(type(error), error, _beginning(error.__traceback__))
    _drop_own_frames(told)
    if len(value) * 4 >= _MAX_VALUE_BYTES and hasattr(told, "_str"):
        told._str = value
    lines = [_with_titles(chunk[:-1] if chunk.endswith("\n") else chunk) for chunk in told.format()]
    return [_with_colour(line, type(error)) for line in lines]


def _beginning(trace):
    """Where the cell's part begins: after the frame that runs it, and frames of the event loop may come before that."""
    beginning = frame = trace
    while frame is not None:
        code = frame.tb_frame.f_code
        if (code.co_filename, code.co_name) in RUNS_CELLS:
            beginning = frame.tb_next
        frame = frame.tb_next
    while beginning is not None and _is_own(beginning.tb_frame.f_code.co_filename):
        beginning = beginning.tb_next
    return beginning


def cut_own_end(error):
    """Makes the traceback end with the last frame that is not the worker's, such as the one that called input()."""
    last = frame = error.__traceback__
    while frame is not None:
        if not _is_own(frame.tb_frame.f_code.co_filename):
            last = frame
        frame = frame.tb_next
    if last is not None:
        last.tb_next = None


def _is_own(filename):
    return filename.startswith(_OWN_FOLDER)


def _drop_own_frames(told):
    todo, seen = [told], set()
    while todo:
        told = todo.pop()
        if told is not None and id(told) not in seen:
            seen.add(id(told))
            told.stack[:] = [frame for frame in told.stack if not _is_own(frame.filename)]
            todo += [told.__cause__, told.__context__, *(getattr(told, "exceptions", None) or ())]


def _with_titles(text):
    """Names cells as people know them."""
    if "<cell-" not in text and "<ipython-input-" not in text:
        return text
    re = standard("re")

    def titled(match):
        title = sources.title(match["name"] or match["bare"])
        if title is None:
            return match[0]
        if match["line"] is None:
            return title
        function = match["function"]
        return f"{title}, line {match['line']}" + (f", in {function}" if function not in (None, "<module>") else "")

    return re.sub(
        rf'File "(?P<name>{_CELL})", line (?P<line>\d+)(?:, in (?P<function>[^\n]+))?'
        rf"|(?P<bare>{_CELL})",
        titled,
        text,
    )


def _with_colour(line, kind):
    for name in (kind.__qualname__, f"{kind.__module__}.{kind.__qualname__}"):
        if line == name or line.startswith(name + ":"):
            return _RED + name + _PLAIN + line[len(name) :]
    return line
