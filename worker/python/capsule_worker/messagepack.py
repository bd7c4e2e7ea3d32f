"""The header map in MessagePack (worker/PROTOCOL.md, section 5): what JSON can say, in its shortest forms."""

import struct

from .frames import MAX_DEPTH, FrameError, finite


def encode(value):
    out = bytearray()
    _write(out, value)
    return bytes(out)


def _write(out, value):
    if value is None:
        out.append(0xC0)
    elif isinstance(value, bool):
        out.append(0xC3 if value else 0xC2)
    elif isinstance(value, int):
        _write_integer(out, value)
    elif isinstance(value, float):
        out += struct.pack(">Bd", 0xCB, finite(value))
    elif isinstance(value, str):
        data = value.encode("utf-8", "backslashreplace")
        _write_length(out, len(data), (0xA0, 31), (0xD9, 0xDA, 0xDB))
        out += data
    elif isinstance(value, (list, tuple)):
        _write_length(out, len(value), (0x90, 15), (None, 0xDC, 0xDD))
        for item in value:
            _write(out, item)
    elif isinstance(value, dict):
        _write_length(out, len(value), (0x80, 15), (None, 0xDE, 0xDF))
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"a header cannot hold a key that is a {type(key).__name__}")
            _write(out, key)
            _write(out, item)
    else:
        raise TypeError(f"a header cannot hold a {type(value).__name__}")


def _write_integer(out, value):
    if 0 <= value < 0x80:
        out.append(value)
    elif -32 <= value < 0:
        out.append(value + 0x100)
    else:
        for code, size in ((0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8)) if value >= 0 else _SIGNED:
            try:
                out += code.to_bytes(1, "big") + value.to_bytes(size, "big", signed=value < 0)
                return
            except OverflowError:
                continue
        raise FrameError(f"integer of {value.bit_length()} bits is over the limit of 64")


_SIGNED = ((0xD0, 1), (0xD1, 2), (0xD2, 4), (0xD3, 8))


def _write_length(out, length, short, long):
    code, most = short
    if length <= most:
        out.append(code | length)
        return
    for code, size in zip(long, (1, 2, 4)):
        if code is not None and length < 1 << (8 * size):
            out.append(code)
            out += length.to_bytes(size, "big")
            return
    raise FrameError(f"length {length} is over the limit of 2**32 - 1")


def decode(data):
    """The one value in `data`. Raises FrameError unless it is exactly that and within the limits."""
    reader = _Reader(bytes(data))
    value = reader.value(0)
    if reader.position != len(reader.data):
        raise FrameError("more than one MessagePack value")
    return value


class _Reader:
    def __init__(self, data):
        self.data = data
        self.position = 0

    def take(self, size):
        start = self.position
        if size > len(self.data) - start:
            raise FrameError(f"MessagePack ends inside a value of {size} bytes")
        self.position = start + size
        return self.data[start : self.position]

    def unsigned(self, size):
        return int.from_bytes(self.take(size), "big")

    def value(self, depth):
        code = self.unsigned(1)
        if code < 0x80:
            return code
        if code >= 0xE0:
            return code - 0x100
        if code < 0x90:
            return self.map(code & 15, depth + 1)
        if code < 0xA0:
            return self.list(code & 15, depth + 1)
        if code < 0xC0:
            return self.text(code & 31)
        if code in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[code]
        if code in (0xCA, 0xCB):
            return finite(struct.unpack(">f" if code == 0xCA else ">d", self.take(4 if code == 0xCA else 8))[0])
        if 0xCC <= code <= 0xCF:
            return self.unsigned(1 << (code - 0xCC))
        if 0xD0 <= code <= 0xD3:
            return int.from_bytes(self.take(1 << (code - 0xD0)), "big", signed=True)
        if 0xD9 <= code <= 0xDB:
            return self.text(self.unsigned(1 << (code - 0xD9)))
        if code in (0xDC, 0xDD):
            return self.list(self.unsigned(2 << (code - 0xDC)), depth + 1)
        if code in (0xDE, 0xDF):
            return self.map(self.unsigned(2 << (code - 0xDE)), depth + 1)
        raise FrameError(f"MessagePack type 0x{code:02x} is not one that JSON has")

    def text(self, length):
        try:
            return str(self.take(length), "utf-8")
        except UnicodeDecodeError as error:
            raise FrameError(f"invalid UTF-8: {error}") from None

    # Both grow as their items come: the announced length is not to be believed.

    def list(self, length, depth):
        if depth > MAX_DEPTH:
            raise FrameError(f"MessagePack is nested deeper than {MAX_DEPTH}")
        result = []
        while len(result) < length:
            result.append(self.value(depth))
        return result

    def map(self, length, depth):
        if depth > MAX_DEPTH:
            raise FrameError(f"MessagePack is nested deeper than {MAX_DEPTH}")
        result = {}
        for _ in range(length):
            key = self.value(depth)
            if not isinstance(key, str) or key in result:
                raise FrameError(f"key {key!r} is not a string or comes twice")
            result[key] = self.value(depth)
        return result
