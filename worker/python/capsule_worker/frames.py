"""The frame codec and its strict reader (worker/PROTOCOL.md, sections 2 to 5). No descriptors, no threads."""

# The C half of the json package. The package itself would bring `re` and `enum` into every worker's boot: 5 ms of 12.
from _json import encode_basestring_ascii, make_encoder, make_scanner

# What the kernel may send at most; what a worker may send is told by the kernel's hello.
MAX_HEADER_BYTES = 4 << 20
MAX_BUFFERS_BYTES = 1 << 30
MAX_BUFFERS = 1_024
MAX_ID_CHARS = 64
MAX_DEPTH = 64
MAX_NUMBER_CHARS = 32

_MAX_TOTAL_BYTES = 4 + MAX_HEADER_BYTES + MAX_BUFFERS_BYTES
_READ_BYTES = 64 << 10
_MAX_READ_BYTES = 1 << 20


class FrameError(Exception):
    """The kernel broke the protocol: the worker cannot go on."""


# JSON


def _object(pairs):
    result = dict(pairs)
    if len(result) != len(pairs):
        raise FrameError("JSON object has a key twice")
    return result


def _short(text):
    if len(text) > MAX_NUMBER_CHARS:
        raise FrameError(f"JSON number of {len(text)} characters is over the limit of {MAX_NUMBER_CHARS}")
    return text


def _integer(text):
    return int(_short(text))


def _float(text):
    return finite(float(_short(text)))


def finite(number):
    if number - number != 0:
        raise FrameError(f"{number} is not a number that a header may hold")
    return number


def _constant(name):
    raise FrameError(f"{name} is not JSON")


class _Strict:
    """Where the C scanner reads its settings from."""

    strict = True
    object_hook = None
    object_pairs_hook = staticmethod(_object)
    parse_int = staticmethod(_integer)
    parse_float = staticmethod(_float)
    parse_constant = staticmethod(_constant)


def _refuse(value):
    raise TypeError(f"a header cannot hold a {type(value).__name__}")


_scan = make_scanner(_Strict)
_write = make_encoder(None, _refuse, encode_basestring_ascii, None, ":", ",", False, False, False)


def encode_json(value):
    """ASCII without spaces."""
    return "".join(_write(value, 0)).encode("ascii")


def decode_json(data):
    """The one JSON value in `data` (UTF-8). Raises FrameError unless it is exactly that and within the limits."""
    try:
        text = str(data, "utf-8").strip(" \t\n\r")
        value, end = _scan(text, 0)
    except StopIteration:
        raise FrameError("JSON value is missing") from None
    except (ValueError, RecursionError, SystemError) as error:
        # SystemError: before Python 3.12 the scanner has no exception to raise as long as nobody has imported json.
        raise FrameError(f"invalid JSON: {error}") from None
    if end != len(text):
        raise FrameError("more than one JSON value")
    # Only who has that many brackets, some perhaps inside of strings, can be too deep.
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(value)
    return value


def _check_depth(value):
    level, depth = [value], 0
    while level:
        containers = [item for item in level if isinstance(item, (dict, list))]
        depth += bool(containers)
        if depth > MAX_DEPTH:
            raise FrameError(f"JSON is nested deeper than {MAX_DEPTH}")
        level = [inner for item in containers for inner in (item.values() if isinstance(item, dict) else item)]


# Frames


def encode(header, buffers=(), encode_header=encode_json):
    """The parts of a frame: its head, then the buffers as they are. The key `buffers` is added to the header."""
    if buffers:
        header = {**header, "buffers": [len(buffer) for buffer in buffers]}
    text = encode_header(header)
    total = 4 + len(text) + sum(map(len, buffers))
    return [total.to_bytes(4, "big") + len(text).to_bytes(4, "big") + text, *buffers]


class Parser:
    """Finds frames in bytes as they arrive. Holds what came and allocates nothing on an announced length."""

    def __init__(self, decode_header=decode_json):
        self.decode_header = decode_header
        self._data = bytearray()

    def feed(self, data):
        self._data += data

    def wanted(self):
        """How many bytes to ask for next."""
        if len(self._data) < 8:
            return _READ_BYTES
        missing = 4 + int.from_bytes(self._data[:4], "big") - len(self._data)
        return min(max(missing, _READ_BYTES), _MAX_READ_BYTES)

    def has_frame(self):
        """Whether there is a whole frame to take, or a wrong one."""
        data = self._data
        return len(data) >= 8 and len(data) - 4 >= int.from_bytes(data[:4], "big")

    def take(self):
        """The next whole frame as (header, buffers), None when more bytes are needed. Raises FrameError."""
        data = self._data
        if len(data) < 8:
            return None
        total = int.from_bytes(data[:4], "big")
        header_length = int.from_bytes(data[4:8], "big")
        if not 4 <= total <= _MAX_TOTAL_BYTES:
            raise FrameError(f"frame of {total} bytes is not from 4 to {_MAX_TOTAL_BYTES}")
        if header_length > min(total - 4, MAX_HEADER_BYTES):
            raise FrameError(f"header of {header_length} bytes in a frame of {total}; the limit is {MAX_HEADER_BYTES}")
        end = 4 + total
        if len(data) < end:
            return None
        # The buffers stay views of these bytes; what follows gets bytes of its own.
        self._data = data[end:]
        view = memoryview(data)
        header = self.decode_header(view[8 : 8 + header_length])
        if type(header) is not dict:
            raise FrameError("header is not an object")
        return header, _split(view[8 + header_length : end], header.pop("buffers", ()))


def _split(view, lengths):
    if type(lengths) not in (list, tuple) or len(lengths) > MAX_BUFFERS:
        raise FrameError(f"buffers is not a list of at most {MAX_BUFFERS} lengths")
    buffers = []
    start = 0
    for length in lengths:
        if type(length) is not int or not 0 <= length <= len(view) - start:
            raise FrameError(f"buffer of {length!r} bytes does not fit into the {len(view) - start} that are left")
        buffers.append(view[start : start + length])
        start += length
    if start != len(view):
        raise FrameError(f"frame has {len(view) - start} bytes after its last buffer")
    return buffers


# What the kernel may say: by shape and kind, the keys with their types and the number of buffers, None for any.
_FROM_KERNEL = {
    ("signal", "hello"): ({"protocol": int, "encodings": list, "limits": dict}, 0),
    ("signal", "cancel"): ({"id": str}, 0),
    ("signal", "flush"): ({"buffering": str}, 0),
    ("signal", "delivered"): ({"id": str}, 0),
    ("signal", "shutdown"): ({}, 0),
    ("signal", "begin"): ({}, 0),
    ("signal", "kill"): ({"pid": int, "number": int}, 0),
    ("signal", "inputs"): ({"counts": list}, None),
    ("signal", "rest"): ({}, 0),
    ("signal", "end_subshell"): ({"subshell": str}, 0),
    ("open", "execute"): (
        {
            "id": str,
            "request": str,
            "execution_count": int,
            "silent": bool,
            "store_history": bool,
            "allow_stdin": bool,
            "user_expressions": dict,
        },
        1,
    ),
    ("open", "complete"): ({"id": str, "cursor": int}, 1),
    ("open", "inspect"): ({"id": str, "cursor": int, "detail": int}, 1),
    ("open", "is_complete"): ({"id": str}, 1),
    ("open", "comm"): ({"id": str, "kind": str, "request": str}, None),
    ("open", "snapshot"): ({"id": str}, 0),
    ("open", "checkpoint"): ({"id": str, "limit": int}, 0),
    ("open", "restore"): ({"id": str, "names": list, "blobs": list, "packages": list}, 0),
    ("signal", "supply"): ({"last": bool}, 1),
    ("open", "debug"): ({"id": str}, 1),
    ("resolve", None): ({"resolve": str, "value": str}, 0),
    ("reject", None): ({"reject": str, "ename": str, "evalue": str}, 0),
}
_SHAPES = ("signal", "open", "emit", "resolve", "reject")


def limit(limits, name):
    """One of the kernel's limits, in bytes. Raises FrameError."""
    value = limits.get(name)
    if type(value) is not int or value < 1:
        raise FrameError(f"limit {name} of hello is not a number of bytes")
    return value


def kind_of(header, buffers):
    """(shape, kind) of a frame from the kernel; the kind of a resolve or reject is None. Raises FrameError."""
    shapes = [shape for shape in _SHAPES if shape in header]
    if len(shapes) != 1:
        raise FrameError(f"header has not exactly one of {', '.join(_SHAPES)}")
    shape = shapes[0]
    kind = None if shape in ("resolve", "reject") else header[shape]
    if not isinstance(kind, (str, type(None))) or (shape, kind) not in _FROM_KERNEL:
        raise FrameError(f"unknown {shape} {kind!r}")
    keys, buffer_count = _FROM_KERNEL[shape, kind]
    for key, expected in keys.items():
        value = header.get(key)
        if type(value) is not expected:
            raise FrameError(f"{key} of {kind or shape} is not {expected.__name__}")
        if key in ("id", "resolve", "reject") and len(value) > MAX_ID_CHARS:
            raise FrameError(f"id of {len(value)} characters is over the limit of {MAX_ID_CHARS}")
    if buffer_count is not None and len(buffers) != buffer_count:
        raise FrameError(f"{kind or shape} has {len(buffers)} buffers, not {buffer_count}")
    return shape, kind
