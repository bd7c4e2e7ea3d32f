"""Writes frames.json and bad.json (worker/PROTOCOL.md, section 10): `python3 worker/vectors/generate.py`.

The frames are put together here by hand and not by any implementation, so that no implementation proves itself.
"""

import json
import os
import struct

ID = "3f2a"
CODE = "print('hé')\n\U0001f40d = 1".encode()
PNG = b"\x89PNG\r\n\x1a\n\x00\xff"


def u32(number):
    return number.to_bytes(4, "big")


def frame(header, buffers):
    return u32(4 + len(header) + sum(map(len, buffers))) + u32(len(header)) + header + b"".join(buffers)


def as_json(value):
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode()


def as_msgpack(value):
    """Only what the headers below hold: lengths up to 2**16 - 1, integers from -32 to 2**32 - 1."""
    if value is None or isinstance(value, bool):
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        if -32 <= value < 0:
            return struct.pack("b", value)
        if value < 1 << 7:
            return struct.pack("B", value)
        if value < 1 << 8:
            return b"\xcc" + struct.pack("B", value)
        if value < 1 << 16:
            return b"\xcd" + struct.pack(">H", value)
        return b"\xce" + struct.pack(">I", value)
    if isinstance(value, str):
        data = value.encode()
        if len(data) < 32:
            return bytes([0xA0 | len(data)]) + data
        if len(data) < 1 << 8:
            return b"\xd9" + bytes([len(data)]) + data
        return b"\xda" + struct.pack(">H", len(data)) + data
    size = len(value)
    if isinstance(value, list):
        head = bytes([0x90 | size]) if size < 16 else b"\xdc" + struct.pack(">H", size)
        return head + b"".join(map(as_msgpack, value))
    head = bytes([0x80 | size]) if size < 16 else b"\xde" + struct.pack(">H", size)
    return head + b"".join(as_msgpack(key) + as_msgpack(item) for key, item in value.items())


def good(name, header, *buffers):
    complete = {**header, "buffers": [len(buffer) for buffer in buffers]} if buffers else header
    return {
        "name": name,
        "hex_json": frame(as_json(complete), buffers).hex(),
        "hex_msgpack": frame(as_msgpack(complete), buffers).hex(),
        "header": header,
        "buffers_hex": [buffer.hex() for buffer in buffers],
    }


def execute(**changes):
    header = {
        "open": "execute",
        "id": ID,
        "request": "4d3c-1",
        "execution_count": 3,
        "silent": False,
        "store_history": True,
        "allow_stdin": True,
        "user_expressions": {},
    }
    return {**header, **changes}


GOOD = [
    good(
        "kernel: hello",
        {
            "signal": "hello",
            "protocol": 1,
            "encodings": ["json", "msgpack"],
            "limits": {"header": 4194304, "buffers": 268435456},
        },
    ),
    good("kernel: execute", execute(), CODE),
    good("kernel: execute nothing, silently", execute(silent=True, store_history=False, allow_stdin=False), b""),
    good(
        "kernel: execute with user expressions and a large count",
        execute(execution_count=70000, user_expressions={"a": "x + 1", "\u00e4\U0001f600": '"\\\n\t\u0001'}),
        b"x = 1",
    ),
    good("kernel: complete", {"open": "complete", "id": ID, "cursor": 300}, "é".encode() * 300),
    good("kernel: inspect", {"open": "inspect", "id": ID, "cursor": 5, "detail": 1}, b"print"),
    good("kernel: is_complete", {"open": "is_complete", "id": "x" * 64}, b"for i in range(3):"),
    good("kernel: checkpoint", {"open": "checkpoint", "id": ID, "limit": 3 << 30}),
    good(
        "kernel: restore",
        {"open": "restore", "id": ID, "names": ["a", "b", "größe"], "blobs": [1, 0, 1], "packages": ["numpy"]},
    ),
    good("kernel: supply", {"signal": "supply", "last": False}, b"\x80\x05\x00\xff"),
    good("kernel: supply of nothing", {"signal": "supply", "last": True}, b""),
    good(
        "kernel: comm, with buffers",
        {"open": "comm", "id": ID, "kind": "msg", "request": "4d3c-2"},
        '{"comm_id":"c1","data":{"ü":[1]}}'.encode(),
        b"{}",
        PNG,
        b"",
    ),
    good(
        "kernel: comm, opened",
        {"open": "comm", "id": ID, "kind": "open", "request": "4d3c-3"},
        b'{"comm_id":"c1","target_name":"t","data":{}}',
        b'{"version":"2.1.0"}',
    ),
    good("kernel: execute in a subshell", execute(store_history=False, subshell="9c1e"), CODE),
    good("kernel: complete in a subshell", {"open": "complete", "id": ID, "cursor": 2, "subshell": "9c1e"}, b"pr"),
    good(
        "kernel: comm in a subshell",
        {"open": "comm", "id": ID, "kind": "close", "request": "4d3c-4", "subshell": "9c1e"},
        b'{"comm_id":"c1","data":{}}',
        b"{}",
    ),
    good("kernel: end_subshell", {"signal": "end_subshell", "subshell": "9c1e"}),
    good("kernel: rest", {"signal": "rest"}),
    good("kernel: cancel", {"signal": "cancel", "id": ID}),
    good("kernel: flush, then by line", {"signal": "flush", "buffering": "line"}),
    good("kernel: flush, then in blocks", {"signal": "flush", "buffering": "block"}),
    good("kernel: delivered", {"signal": "delivered", "id": ID}),
    good(
        "kernel: debug",
        {"open": "debug", "id": ID},
        '{"type":"request","seq":1,"command":"evaluate","arguments":{"expression":"\u00e9"}}'.encode(),
    ),
    good("kernel: shutdown", {"signal": "shutdown"}),
    good("kernel: answer", {"resolve": "i1", "value": "J\u00fcrgen \U0001f600 " + "x" * 300}),
    good("kernel: refusal", {"reject": "i1", "ename": "KeyboardInterrupt", "evalue": ""}),
    good(
        "worker: hello",
        {
            "signal": "hello",
            "protocol": 1,
            "encoding": "json",
            "pid": 17,
            "language": {"name": "python", "version": "3.11.2"},
            "implementation": "capsule_worker 0.1.0",
            "offers": ["execute", "complete", "inspect", "is_complete", "checkpoint", "restore"],
        },
    ),
    good("worker: ready", {"signal": "ready"}),
    good("worker: part", {"emit": "part", "id": ID, "blob": 2}, b"\x80\x05\x00\xff"),
    good("worker: fetch", {"emit": "fetch", "id": ID, "blob": 300}),
    good(
        "worker: checkpoint",
        {
            "resolve": ID,
            "names": ["a", "größe"],
            "types": ["list", "int"],
            "blobs": [0, 1],
            "unsaved": ["g"],
            "unsaved_types": ["generator"],
            "reasons": ["TypeError: cannot pickle 'generator' object"],
            "packages": ["numpy"],
            "versions": ["1.24.2"],
            "followed": True,
        },
    ),
    good(
        "worker: restored",
        {"resolve": ID, "unrestored": ["a"], "reasons": ["ValueError: no"], "packages": ["numpy"], "versions": ["1.26.0"]},
    ),
    good(
        "worker: result",
        {"emit": "result", "id": ID, "mimes": ["text/plain"], "forms": ["text"]},
        "'\U0001f40d'".encode(),
        b"{}",
    ),
    good(
        "worker: display in every form",
        {
            "emit": "display",
            "id": ID,
            "mimes": ["image/png", "text/html", "application/json", "text/plain"],
            "forms": ["base64", "text", "json", "text"],
            "display_id": "d1",
            "ack": True,
        },
        PNG,
        "<b>ü</b>".encode(),
        b'{"a":[1,null]}',
        b"",
        b'{"image/png":{"width":10}}',
    ),
    good(
        "worker: display of nothing, late",
        {"emit": "display", "id": ID, "mimes": [], "forms": []},
        b"{}",
    ),
    good(
        "worker: update_display",
        {"emit": "update_display", "id": ID, "mimes": ["text/plain"], "forms": ["text"], "display_id": "d1"},
        b"2",
        b"{}",
    ),
    good("worker: late stdout", {"emit": "stream", "id": ID, "name": "stdout"}, "täck\n".encode()),
    good("worker: late stderr", {"emit": "stream", "id": ID, "name": "stderr"}, b""),
    good(
        "worker: comm, opened",
        {"emit": "comm", "id": ID, "kind": "open", "comm_id": "c1", "target_name": "jupyter.widget", "ack": True},
        b'{"state":{"value":5}}',
        b'{"version":"2.1.0"}',
    ),
    good(
        "worker: comm, with buffers",
        {"emit": "comm", "id": ID, "kind": "msg", "comm_id": "c1"},
        b"{}",
        b"{}",
        PNG,
        b"",
    ),
    good("worker: comm, closed", {"emit": "comm", "id": ID, "kind": "close", "comm_id": "c1"}, b"{}", b"{}"),
    good("worker: revived", {"signal": "revived", "pid": 19, "comms": {"c1": "jupyter.widget"}}),
    good("worker: revived, without open ends", {"signal": "revived", "pid": 19, "comms": {}, "cut": 2}),
    good("worker: clear_output", {"emit": "clear_output", "id": ID, "wait": True, "ack": True}),
    good(
        "worker: input",
        {"open": "input", "id": "i1", "execution": ID, "prompt": "Name? \u65e5\u672c", "password": False},
    ),
    good("worker: executed", {"resolve": ID}, b"{}", b"[]"),
    good("worker: completed", {"resolve": ID, "matches": ["os.pardir", "os.path"], "start": 0, "end": 5}),
    good(
        "worker: twenty completions",
        {"resolve": ID, "matches": [f"n{number}" for number in range(20)], "start": 200, "end": 201},
    ),
    good(
        "worker: inspected", {"resolve": ID, "found": True, "mimes": ["text/plain"], "forms": ["text"]}, b"doc", b"{}"
    ),
    good("worker: not found", {"resolve": ID, "found": False, "mimes": [], "forms": []}, b"{}"),
    good(
        "worker: debugged",
        {"resolve": ID},
        b'{"type":"response","seq":2,"request_seq":1,"success":true,"command":"evaluate","body":{"result":"1"}}',
    ),
    good("worker: debug_event", {"signal": "debug_event"}, b'{"type":"event","seq":3,"event":"stopped","body":{}}'),
    good("worker: incomplete", {"resolve": ID, "status": "incomplete", "indent": "    "}),
    good("worker: complete", {"resolve": ID, "status": "complete"}),
    good(
        "worker: failed",
        {
            "reject": ID,
            "ename": "ZeroDivisionError",
            "evalue": "division by zero",
            "traceback": ["Traceback (most recent call last):", "\u001b[0;31mZeroDivisionError\u001b[0m"],
        },
    ),
]


def bad(name, data, why):
    return {"name": name, "hex": data.hex(), "why": why}


def answer(more, *buffers):
    """A frame that both directions know, with more in its header."""
    return frame(b'{"resolve":"r1","value":"v"' + more + b"}", buffers)


BAD = [
    bad("total of nothing", u32(0) + u32(0), "total counts the header's length too: 4 is the least"),
    bad("total too small", u32(3) + u32(0), "total counts the header's length too: 4 is the least"),
    bad("total too large", u32((1 << 30) + (8 << 20)) + u32(2) + b"{}", "over every limit"),
    bad("2 GB announced", u32(1 << 31) + u32(20) + b'{"resolve":', "over every limit, to be refused before it comes"),
    bad("4 GB announced", u32(0xFFFFFFFF) + u32(0xFFFFFFFF), "lengths are unsigned and over every limit"),
    bad("header longer than the limit", u32(6 << 20) + u32(5 << 20) + b"{", "a header has at most 4 MiB"),
    bad("header beyond total", u32(20) + u32(21) + b'{"resolve":"r1"}xxxxx', "the header ends after the frame"),
    bad("no header", u32(4) + u32(0), "the header is empty"),
    bad("buffers too short", answer(b',"buffers":[2]', b"abc"), "one byte belongs to no buffer"),
    bad("bytes without buffers", answer(b"", b"abc"), "three bytes belong to no buffer"),
    bad("buffers too long", answer(b',"buffers":[2,2]', b"abc"), "the second buffer ends after the frame"),
    bad("negative buffer", answer(b',"buffers":[4,-1]', b"abc"), "a length is not negative"),
    bad("fractional buffer", answer(b',"buffers":[3.0]', b"abc"), "a length is an integer"),
    bad("huge buffer", answer(b',"buffers":[9223372036854775807,3]', b"abc"), "the buffer ends after the frame"),
    bad("enormous buffer", answer(b',"buffers":[18446744073709551619]', b"abc"), "no length has more than 64 bits"),
    bad("buffer length in a string", answer(b',"buffers":["3"]', b"abc"), "a length is an integer"),
    bad("buffer length true", answer(b',"buffers":[true,2]', b"abc"), "a length is an integer"),
    bad("buffers not a list", answer(b',"buffers":{"0":3}', b"abc"), "buffers is a list"),
    bad("1,025 buffers", answer(b',"buffers":[' + b",".join([b"0"] * 1025) + b"]"), "the limit is 1,024"),
    bad("header is a list", frame(b'["resolve","r1"]', []), "a header is a map"),
    bad("header is a string", frame(b'"resolve"', []), "a header is a map"),
    bad("header is cut short", frame(b'{"resolve":"r1","value":"v"', []), "invalid JSON"),
    bad("two headers", frame(b'{"resolve":"r1","value":"v"}{}', []), "more than one JSON value"),
    bad("control character in a string", answer(b',"x":"\x01"'), "invalid JSON"),
    bad("invalid UTF-8", answer(b',"x":"\xff\xfe"'), "a header is UTF-8"),
    bad("overlong UTF-8", answer(b',"x":"\xc0\xaf"'), "a header is UTF-8"),
    bad("single quotes", frame(b"{'resolve':'r1','value':'v'}", []), "invalid JSON"),
    bad("comma at the end", answer(b","), "invalid JSON"),
    bad("NaN", answer(b',"x":NaN'), "not JSON"),
    bad("Infinity", answer(b',"x":[-Infinity]'), "not JSON"),
    bad("key twice", answer(b',"value":"w"'), "duplicate key"),
    bad("key twice, deeper", answer(b',"x":[{"a":1,"a":2}]'), "duplicate key"),
    bad("depth 65", answer(b',"x":' + b"[" * 64 + b"]" * 64), "the limit is 64, the header itself being the first"),
    bad("depth 1,000", answer(b',"x":' + b"[" * 999 + b"]" * 999), "the limit is 64"),
    bad("depth 3,000", answer(b',"x":' + b'{"a":' * 2_999 + b"1" + b"}" * 2_999), "the limit is 64"),
    bad("number of 40 digits", answer(b',"x":' + b"9" * 40), "the limit is 32 characters"),
    bad("fraction of 40 digits", answer(b',"x":0.' + b"3" * 38), "the limit is 32 characters"),
    bad("no shape", frame(b'{"id":"a"}', []), "a header has exactly one shape"),
    bad("two shapes", frame(b'{"resolve":"r1","value":"v","signal":"ready"}', []), "a header has exactly one shape"),
    bad("unknown signal", frame(b'{"signal":"nonsense"}', []), "unknown kind"),
    bad("unknown open", frame(b'{"open":"nonsense","id":"a"}', []), "unknown kind"),
    bad("unknown emit", frame(b'{"emit":"nonsense","id":"a"}', []), "unknown kind"),
    bad("kind is a number", frame(b'{"signal":1}', []), "a kind is a string"),
    bad("kind is a list", frame(b'{"open":["input"],"id":"a"}', []), "a kind is a string"),
    bad("id is a number", frame(b'{"resolve":1,"value":"v"}', []), "an id is a string"),
    bad("id is null", frame(b'{"resolve":null,"value":"v"}', []), "an id is a string"),
    bad("id of 65 characters", frame(as_json({"resolve": "x" * 65, "value": "v"}), []), "the limit is 64 characters"),
    bad("kernel: execute without id", frame(as_json({**execute(id=None), "buffers": [1]}), [b"1"]), "id is missing"),
    bad("kernel: execute without code", frame(as_json(execute()), []), "the code is missing"),
    bad(
        "kernel: execute with a fractional count",
        frame(as_json({**execute(execution_count=1.5), "buffers": [1]}), [b"1"]),
        "execution_count is an integer",
    ),
    bad(
        "kernel: execute with silent 0",
        frame(as_json({**execute(silent=0), "buffers": [1]}), [b"1"]),
        "silent is a boolean",
    ),
    bad("kernel: complete without cursor", frame(b'{"open":"complete","id":"a","buffers":[0]}', []), "no cursor"),
    bad("kernel: debug without a request", frame(b'{"open":"debug","id":"a"}', []), "the request is missing"),
    *[
        bad("worker: debug_event " + what, frame(b'{"signal":"debug_event","buffers":[%d]}' % len(data), [data]), why)
        for what, data, why in (
            ("that is no JSON", b"{", "an event is one JSON object"),
            ("that is a list", b"[]", "an event is one JSON object"),
            ("with text behind it", b'{"type":"event"}{}', "an event is one JSON object"),
            ("without a type", b"{}", "its type is event"),
            ("that is a response", b'{"type":"response"}', "its type is event"),
            ("with a key twice", b'{"type":"event","type":"event"}', "a key occurs once"),
            ("that is too deep", b'{"type":"event","body":' + b"[" * 64 + b"]" * 64 + b"}", "the depth is at most 64"),
        )
    ],
    bad("kernel: cancel without id", frame(b'{"signal":"cancel"}', []), "id is missing"),
    bad("kernel: refusal without evalue", frame(b'{"reject":"i1","ename":"E"}', []), "evalue is missing"),
    bad(
        "worker: input without id",
        frame(b'{"open":"input","execution":"a","prompt":"","password":false}', []),
        "id is missing",
    ),
    bad(
        "worker: input with a wrong type",
        frame(b'{"open":"input","id":"i1","execution":"a","prompt":"","password":"no"}', []),
        "password is a boolean",
    ),
    bad(
        "worker: emit for an id of 65 characters",
        frame(as_json({"emit": "clear_output", "id": "x" * 65, "wait": False}), []),
        "the limit is 64 characters",
    ),
    bad(
        "worker: display without metadata",
        frame(b'{"emit":"display","id":"a","mimes":["text/plain"],"forms":["text"],"buffers":[1]}', [b"1"]),
        "a bundle has one buffer for each MIME type and one for metadata",
    ),
    bad(
        "worker: display with an unknown form",
        frame(b'{"emit":"display","id":"a","mimes":["text/plain"],"forms":["xml"],"buffers":[1,2]}', [b"1", b"{}"]),
        "a form is text, base64 or json",
    ),
    bad(
        "worker: display of broken JSON",
        frame(b'{"emit":"display","id":"a","mimes":["a/json"],"forms":["json"],"buffers":[1,2]}', [b"{", b"{}"]),
        "a value in the form json is JSON",
    ),
    bad(
        "worker: stream with an unknown name",
        frame(b'{"emit":"stream","id":"a","name":"stdlog","buffers":[1]}', [b"x"]),
        "a stream is stdout or stderr",
    ),
    bad("worker: stream without text", frame(b'{"emit":"stream","id":"a","name":"stdout"}', []), "the text is missing"),
]


def write(name, vectors):
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), name), "w", encoding="ascii") as file:
        json.dump(vectors, file, ensure_ascii=True, indent=1)
        file.write("\n")


if __name__ == "__main__":
    write("frames.json", GOOD)
    write("bad.json", BAD)
