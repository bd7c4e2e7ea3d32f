"""What an object looks like: its MIME bundle, and how that travels in a frame (worker/PROTOCOL.md, section 4)."""

import sys
from types import BuiltinFunctionType, FunctionType, ModuleType

from . import frames, tracebacks
from .imports import standard

_METHODS = {
    "_repr_html_": "text/html",
    "_repr_markdown_": "text/markdown",
    "_repr_svg_": "image/svg+xml",
    "_repr_png_": "image/png",
    "_repr_jpeg_": "image/jpeg",
    "_repr_latex_": "text/latex",
    "_repr_json_": "application/json",
    "_repr_javascript_": "application/javascript",
    "_repr_pdf_": "application/pdf",
}
# None of their instances has a method above.
PLAIN = frozenset(
    (int, float, complex, bool, str, bytes, bytearray, range, list, tuple, dict, set, frozenset, type(None), slice)
    + (FunctionType, BuiltinFunctionType, ModuleType)
)
_NOBODY_HAS_THIS = "_ipython_canary_method_should_not_exist_"

_WIDTH = 79
_MAX_ITEMS = 1_000


def bundle(value, include=None, exclude=None):
    """(data, metadata) by MIME type; None if the object has displayed itself."""
    data, metadata = {}, {}
    if type(value) not in PLAIN and not isinstance(value, type):
        if _call(value, "_ipython_display_") is not None:
            return None
        _add_bundle(data, metadata, _call(value, "_repr_mimebundle_", include=include, exclude=exclude))
        for name, mime in _METHODS.items():
            if mime not in data:
                _add(data, metadata, mime, _call(value, name))
    if "text/plain" not in data:
        data["text/plain"] = _plain(value)
    for mime in list(data):
        if (include and mime not in include) or (exclude and mime in exclude):
            del data[mime]
            metadata.pop(mime, None)
    return data, metadata


def _call(value, name, **arguments):
    """What the method returns, None if there is none. Its errors are shown and count as none."""
    method = _method(value, name)
    if method is None:
        return None
    try:
        result = method(**arguments)
    except NotImplementedError:
        return None
    except Exception as error:
        _warn(value, name, error)
        result = None
    # What has begun to display itself is not displayed once more.
    return True if name == "_ipython_display_" else result


def _method(value, name):
    try:
        method = getattr(value, name, None)
        # Mocks and proxies have methods of any name.
        if callable(method) and getattr(value, _NOBODY_HAS_THIS, None) is None:
            return method
    except Exception:
        pass  # its __getattr__ fails: it has no methods for us
    return None


def _warn(value, name, error):
    lines = tracebacks.describe(error).traceback
    print(f"{type(value).__name__}.{name}() failed:", *lines, sep="\n", file=sys.stderr)


def _add(data, metadata, mime, result):
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict):
        result, metadata[mime] = result
    if result is not None:
        data[mime] = result


def _add_bundle(data, metadata, result):
    if isinstance(result, tuple) and len(result) == 2:
        result, more = result
        metadata.update(more or {})
    if result:
        data.update(result)


# Plain text


def _plain(value):
    try:
        return pretty(value) if type(value) in _CONTAINERS else repr(value)
    except Exception as error:
        _warn(value, "__repr__", error)
        return object.__repr__(value)


_SETS = (set, frozenset)
_CONTAINERS = {list: "[]", tuple: "()", dict: "{}", set: "{}", frozenset: ("frozenset({", "})")}


def pretty(value, column=0, within=()):
    """repr, with the items of a container on lines of their own when it does not fit into one, and sets sorted."""
    kind = type(value)
    if kind not in _CONTAINERS or not value or id(value) in within:
        return repr(value)  # which knows what to say of a container in itself
    width = _WIDTH - column
    if kind not in _SETS and len(value) * 3 <= width + 2:
        text = repr(value)
        if len(text) <= width:
            return text
    opening, closing = _CONTAINERS[kind]
    items = _items(value, column + len(opening), (*within, id(value)))
    if kind in _SETS and sum(map(len, items)) + 2 * len(items) + len(opening) <= width:
        return opening + ", ".join(items) + closing
    if kind is tuple and len(items) == 1:
        closing = "," + closing
    return opening + (",\n" + " " * (column + len(opening))).join(items) + closing


def _items(value, column, within):
    if type(value) in _SETS and len(value) <= _MAX_ITEMS:
        try:
            value = sorted(value)
        except Exception:
            pass  # not comparable: in any order
    items = []
    for item in value:
        if len(items) == _MAX_ITEMS:
            items.append("...")
            break
        text = pretty(item, column, within)
        if type(value) is dict:
            text += ": "
            text += pretty(value[item], column + len(text.rpartition("\n")[2]), within)
        items.append(text)
    return items


# Frames


def encode(data, metadata):
    """(mimes, forms, buffers) of a frame. Raises ValueError or TypeError for what no frame can hold."""
    forms, buffers = [], []
    for mime, value in data.items():
        if not isinstance(mime, str):
            raise TypeError(f"a MIME type is a string, not {mime!r}")
        if isinstance(value, str) and not _is_json(mime):
            forms.append("text")
            buffers.append(value.encode("utf-8", "backslashreplace"))
        elif isinstance(value, (bytes, bytearray, memoryview)):
            forms.append("base64")
            buffers.append(bytes(value))
        else:
            forms.append("json")
            buffers.append(json_bytes(value, mime))
    buffers.append(json_bytes(metadata, "metadata") if metadata else b"{}")
    return list(data), forms, buffers


def _is_json(mime):
    return mime == "application/json" or mime.endswith("+json")


def json_bytes(value, what):
    """A value of a cell as JSON: NaN and infinities are null, numbers of other libraries are numbers."""
    json = standard("json")
    try:
        try:
            text = json.dumps(value, allow_nan=False, separators=(",", ":"), default=_simpler)
        except ValueError:
            # NaN, or a value that contains itself, which fails once more.
            text = json.dumps(_without_nan(value), allow_nan=False, separators=(",", ":"), default=_simpler)
        data = text.encode("ascii")
        frames.decode_json(data)
        return data
    except (TypeError, ValueError, RecursionError, frames.FrameError) as error:
        raise ValueError(f"{what} cannot be sent as JSON: {error}") from None


def _simpler(value):
    if isinstance(value, (bytes, bytearray)):
        return standard("base64").b64encode(value).decode("ascii")
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return _without_nan(value.tolist())
    if hasattr(value, "__index__"):
        return value.__index__()
    if hasattr(value, "__float__"):
        return _without_nan(float(value))
    if hasattr(value, "__iter__"):
        return list(value)
    raise TypeError(f"{type(value).__name__} is not a JSON type")


def _without_nan(value):
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return value
