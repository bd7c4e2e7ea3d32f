"""The codec against the golden frames, which every implementation reads, and its reader against hostile ones."""

import json
import os
import unittest

from capsule_worker import frames, messagepack
from capsule_worker.frames import FrameError

_VECTORS = os.path.join(os.path.dirname(__file__), "..", "..", "vectors")

_ENCODINGS = {
    "hex_json": (frames.encode_json, frames.decode_json),
    "hex_msgpack": (messagepack.encode, messagepack.decode),
}


def _vectors(name):
    with open(os.path.join(_VECTORS, name), encoding="ascii") as file:
        return json.load(file)


class GoldenFrames(unittest.TestCase):
    def test_are_decoded_in_both_encodings(self):
        for vector in _vectors("frames.json"):
            for key, (_, decode) in _ENCODINGS.items():
                with self.subTest(vector["name"], encoding=key):
                    parser = frames.Parser(decode)
                    parser.feed(bytes.fromhex(vector[key]))
                    header, buffers = parser.take()
                    self.assertEqual(list(header.items()), list(vector["header"].items()))
                    self.assertEqual([bytes(buffer).hex() for buffer in buffers], vector["buffers_hex"])
                    self.assertIsNone(parser.take())

    def test_are_encoded_to_the_byte_in_both_encodings(self):
        for vector in _vectors("frames.json"):
            buffers = [bytes.fromhex(text) for text in vector["buffers_hex"]]
            for key, (encode, _) in _ENCODINGS.items():
                with self.subTest(vector["name"], encoding=key):
                    parts = frames.encode(vector["header"], buffers, encode)
                    self.assertEqual(b"".join(parts).hex(), vector[key])

    def test_of_the_kernel_are_known_and_of_the_worker_are_not_for_a_worker(self):
        for vector in _vectors("frames.json"):
            with self.subTest(vector["name"]):
                if vector["name"].startswith("kernel"):
                    frames.kind_of(vector["header"], vector["buffers_hex"])
                elif "reject" not in vector["header"]:
                    with self.assertRaises(FrameError):
                        frames.kind_of(vector["header"], vector["buffers_hex"])

    def test_are_found_in_bytes_that_arrive_one_by_one(self):
        vectors = _vectors("frames.json")
        parser = frames.Parser()
        found = []
        for byte in b"".join(bytes.fromhex(vector["hex_json"]) for vector in vectors):
            parser.feed(bytes([byte]))
            frame = parser.take()
            if frame is not None:
                found.append(frame[0])
        self.assertEqual(found, [vector["header"] for vector in vectors])

    def test_bad_ones_are_refused(self):
        for vector in _vectors("bad.json"):
            with self.subTest(vector["name"]):
                parser = frames.Parser()
                parser.feed(bytes.fromhex(vector["hex"]))
                with self.assertRaises(FrameError):
                    frame = parser.take()
                    self.assertIsNotNone(frame, "waits for the rest of it")
                    frames.kind_of(*frame)


class MessagePack(unittest.TestCase):
    def test_numbers_and_lengths_survive_at_the_edges_of_their_forms(self):
        edges = [(1 << bits) + more for bits in (5, 7, 8, 15, 16, 31, 32, 63) for more in (-1, 0)]
        for value in [0, 1.5, (1 << 64) - 1, *edges, *(-edge for edge in edges), -33]:
            self.assertEqual(messagepack.decode(messagepack.encode(value)), value)
        for length in (0, 15, 16, 31, 32, 255, 256, 65535, 65536):
            for value in ("x" * length, [None] * length, {str(number): True for number in range(length)}):
                self.assertEqual(messagepack.decode(messagepack.encode(value)), value)

    def test_refuses_what_json_does_not_have(self):
        bad = {
            "binary": "c40100",
            "extension": "d40100",
            "never used": "c1",
            "key that is no string": "810102",
            "key twice": "82a16101a16102",
            "not a number": "cb7ff8000000000000",
            "infinity": "ca7f800000",
            "more than one value": "c0c0",
            "nothing": "",
            "cut short": "a561",
            "invalid UTF-8": "a1ff",
            "a list of four billion": "ddffffffff",
            "a map of four billion": "dfffffffff",
            "too deep": "91" * 65 + "c0",
            "a million deep": "91" * 1_000_000 + "c0",
        }
        for name, data in bad.items():
            with self.subTest(name), self.assertRaises(FrameError):
                messagepack.decode(bytes.fromhex(data))

    def test_refuses_to_write_what_json_does_not_have(self):
        for value in ({1: 2}, b"x", {1, 2}, object()):
            with self.subTest(value), self.assertRaises(TypeError):
                messagepack.encode(value)
