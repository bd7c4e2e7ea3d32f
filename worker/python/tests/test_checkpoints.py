"""Checkpoints: the variables of one worker are those of another."""

import importlib.util
import os
import sys
import tempfile
import unittest

from . import client
from .client import Worker

LIMIT = 1 << 30


class Checkpoint:
    """What a kernel keeps."""

    def __init__(self, told, blobs, printed):
        self.told = told
        self.blobs = blobs
        self.printed = printed
        self.variables = dict(zip(told["names"], told["blobs"]))
        self.unsaved = dict(zip(told["unsaved"], told["reasons"]))


class Case(unittest.TestCase):
    def worker(self, **options):
        worker = Worker(**options)
        self.addCleanup(worker.close)
        return worker

    def start_save(self, worker, limit=LIMIT):
        promise = f"c{os.urandom(4).hex()}"
        worker.send(worker.requests, {"open": "checkpoint", "id": promise, "limit": limit})
        return promise

    def save(self, worker, **options):
        cell = worker.finish(self.start_save(worker, **options))
        self.assertTrue(cell.ok, cell.header)
        blobs = {}
        for header, buffers in cell.emitted("part"):
            self.assertEqual(cell.header["resolve"], header["id"])
            blobs[header["blob"]] = blobs.get(header["blob"], b"") + buffers[0]
        return Checkpoint(cell.header, blobs, cell.text() + cell.text("stderr"))

    def saved(self, code, **options):
        """The checkpoint of a worker that has run this code."""
        worker = self.worker(**options)
        cell = worker.run(code)
        self.assertTrue(cell.ok, cell.header)
        return self.save(worker)

    def start_restore(self, worker, checkpoint):
        promise = f"r{os.urandom(4).hex()}"
        told = checkpoint.told
        wanted = {"names": told["names"], "blobs": told["blobs"], "packages": told["packages"]}
        worker.send(worker.requests, {"open": "restore", "id": promise, **wanted})
        return promise

    def supply(self, worker, promise, checkpoint, part_bytes=1000):
        """Answers until the promise is settled."""
        at = {}
        while True:
            event = worker.until(lambda event: event[0] in ("fetch", "settle"))
            if event[0] == "settle":
                return event[1]
            worker.events.remove(event)
            blob = event[1]["blob"]
            data = checkpoint.blobs[blob]
            start = at.get(blob, 0)
            at[blob] = start + part_bytes
            last = at[blob] >= len(data)
            worker.send(worker.requests, {"signal": "supply", "last": last}, data[start : start + part_bytes])

    def restore(self, worker, checkpoint, **options):
        told = self.supply(worker, self.start_restore(worker, checkpoint), checkpoint, **options)
        self.assertIn("resolve", told, told)
        return dict(zip(told["unrestored"], told["reasons"]))

    def restored(self, checkpoint, **options):
        """A worker that has the variables of the checkpoint, all of them."""
        worker = self.worker(**options)
        self.assertEqual({}, self.restore(worker, checkpoint))
        return worker

    def check(self, code, seen, look, **options):
        checkpoint = self.saved(code, **options)
        self.assertEqual({}, checkpoint.unsaved)
        self.assertEqual(seen, self.restored(checkpoint, **options).run(look).result())
        return checkpoint


@unittest.skipUnless(importlib.util.find_spec("cloudpickle"), "cloudpickle is not installed")
class WithCloudpickle(Case):
    def test_values_come_back(self):
        self.check(
            "import math, os.path as paths\na = [1, 'zwei', 3.0]\nb = {'k': (1, 2)}\nc = None\nbig = bytes(5_000_000)",
            "([1, 'zwei', 3.0], {'k': (1, 2)}, None, 5000000, 3.141592653589793, True)",
            "a, b, c, len(big), math.pi, paths is __import__('os').path",
        )

    def test_classes_with_their_instances(self):
        self.check(
            "class Point:\n    made = 0\n    def __init__(self, x): self.x = x; Point.made += 1\n"
            "    def double(self): return Point(2 * self.x)\n"
            "class Pixel(Point):\n    def double(self): return super().double()\n"
            "p = Pixel(3); others = [Point(1), p]",
            "(6, True, True, 3)",
            "p.double().x, type(p) is Pixel and isinstance(p, Point), others[1] is p, Point.made",
        )

    def test_a_class_that_is_no_variable_is_one_class(self):
        self.check(
            "def make():\n    class Hidden: pass\n    return Hidden\nmade = make(); a = made(); b = [made()]; del made",
            "True",
            "type(a) is type(b[0])",
        )

    def test_enumerations_data_classes_and_named_tuples(self):
        self.check(
            "import enum, dataclasses, collections\nclass Color(enum.Enum):\n    RED = 1\nred = Color.RED\n"
            "@dataclasses.dataclass\nclass Item:\n    name: str\n    tags: list = dataclasses.field(default_factory=list)\n"
            "item = Item('x', ['t'])\nPair = collections.namedtuple('Pair', 'a b')\npair = Pair(1, 2)",
            "(True, Item(name='x', tags=['t']), Pair(a=1, b=2), True)",
            "red is Color.RED, item, pair, item == Item('x', ['t'])",
        )

    @unittest.skipUnless(importlib.util.find_spec("pandas"), "pandas is not installed")
    def test_data_frames(self):
        checkpoint = self.check(
            "import pandas as pd, numpy as np\ndf = pd.DataFrame({'a': np.arange(3), 'b': list('xyz')})\ncolumn = df['a']\n"
            "array = np.arange(1_000_000); view = [array]\nother = np.arange(4)\n"
            "columns = np.asfortranarray(np.ones((1000, 1000)))",
            "(3, 'xyz', 499999500000, True, 6, (1000, 1000), True)",
            "int(df['a'].sum()), ''.join(df.b), int(array.sum()), view[0] is array, int(other.sum()), columns.shape, "
            "columns.flags.f_contiguous",
        )
        self.assertLessEqual({"numpy", "pandas"}, set(checkpoint.told["packages"]))
        # What merely uses the same types is not thrown together.
        self.assertNotEqual(checkpoint.variables["array"], checkpoint.variables["other"])


class Identity(Case):
    def test_variables_that_hold_each_other(self):
        checkpoint = self.check(
            "a = [1]\nb = {'a': a}\nc = (a, b)\nsame = a",
            "(True, True, True, True)",
            "b['a'] is a, c[0] is a, c[1] is b, same is a",
        )
        self.assertEqual(3, len(set(checkpoint.variables.values())))

    def test_circles(self):
        self.check(
            "a = []\nb = [a]\na.append(b)\nself_held = {}\nself_held['me'] = self_held",
            "(True, True, True)",
            "a[0] is b, b[0] is a, self_held['me'] is self_held",
        )

    def test_what_is_shared_and_no_variable(self):
        """Pickles of one variable each made two of it: an optimizer then changed weights that were no model's."""
        checkpoint = self.check(
            "shared = [0]\nmodel = {'weights': shared}\noptimizer = [shared]\ndel shared\nother = [[0]]",
            "{'weights': [5]}",
            "optimizer[0][0] = 5; model",
        )
        self.assertEqual(checkpoint.variables["model"], checkpoint.variables["optimizer"])
        self.assertNotEqual(checkpoint.variables["model"], checkpoint.variables["other"])

    def test_functions_that_share_a_cell(self):
        self.check(
            "def counter():\n    n = 0\n    def up():\n        nonlocal n; n += 1\n    def get(): return n\n    return up, get\n"
            "up, get = counter(); up()",
            "2",
            "up(); get()",
        )

    def test_what_was_made_for_the_pickle_is_not_shared(self):
        # An object that lives for a moment has the address of the next one.
        checkpoint = self.check(
            "import collections\nmany = [collections.OrderedDict(a=1) for _ in range(50)]\n"
            "more = [collections.OrderedDict(b=2) for _ in range(50)]",
            "(50, 50)",
            "len(many), len(more)",
        )
        self.assertNotEqual(checkpoint.variables["many"], checkpoint.variables["more"])


class Functions(Case):
    def test_see_the_namespace_they_are_restored_into(self):
        self.check(
            "x = 1\ndef read(): return x\ntwice = lambda: 2 * read()\ndef write():\n    global y\n    y = 7",
            "(5, 10, 7)",
            "x = 5\nwrite()\nread(), twice(), y",
        )

    def test_keep_what_they_have(self):
        self.check(
            "def f(a, b=[1], *, c: int = 3):\n    'Says.'\n    return a, b, c\nf.note = 'n'\n",
            "((0, [1], 3), 'n', 'Says.', {'c': <class 'int'>}, 'f')",
            "f(0), f.note, f.__doc__, f.__annotations__, f.__qualname__",
        )

    def test_that_call_themselves_from_a_closure(self):
        self.check(
            "def outer():\n    def down(n): return n and down(n - 1)\n    return down\ndown = outer()\nheld = [down]",
            "(0, True)",
            "down(5), held[0] is down",
        )

    def test_cell_that_is_empty(self):
        self.check(
            "def outer():\n    if False: late = 1\n    def get(): return late\n    return get\nget = outer()",
            "'NameError'",
            "try: get()\nexcept NameError as error: told = type(error).__name__\ntold",
        )

    def test_of_another_python_are_refused(self):
        checkpoint = self.saved("def f(): pass\na = 1")
        from importlib.util import MAGIC_NUMBER

        blob = checkpoint.variables["f"]
        self.assertIn(MAGIC_NUMBER, checkpoint.blobs[blob])
        checkpoint.blobs[blob] = checkpoint.blobs[blob].replace(MAGIC_NUMBER, b"\x01\x02\r\n")
        lost = self.restore(self.worker(), checkpoint)
        self.assertEqual({"f": "ImportError: it was compiled by another version of Python"}, lost)


class Failures(Case):
    def test_what_cannot_be_saved_is_named_with_the_reason(self):
        checkpoint = self.saved("g = (n for n in [1])\nholder = {'g': g}\nround_it = [holder]\nimport _thread\n"
                                "lock = _thread.allocate_lock()\nfine = 1\ntexts = ['x']")  # fmt: skip
        self.assertEqual({"fine", "texts", "_thread"}, set(checkpoint.variables))
        self.assertRegex(checkpoint.unsaved["g"], "TypeError: cannot pickle 'generator' object")
        self.assertEqual("it refers to g, which cannot be saved", checkpoint.unsaved["holder"])
        self.assertEqual("it refers to holder, which cannot be saved", checkpoint.unsaved["round_it"])
        self.assertIn("lock", checkpoint.unsaved)
        types = dict(zip(checkpoint.told["unsaved"], checkpoint.told["unsaved_types"]))
        self.assertEqual("generator", types["g"])
        self.restored(checkpoint)

    def test_one_that_cannot_be_loaded_costs_itself_and_those_that_refer_to_it(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(folder + "/absent.py", "w") as file:
                file.write("class Thing:\n    pass\n")
            checkpoint = self.saved(
                "import absent\nthing = absent.Thing()\nheld = [thing]\nfine = [1]", environment={"PYTHONPATH": folder}
            )
        worker = self.worker()
        lost = self.restore(worker, checkpoint)
        self.assertEqual({"absent", "thing", "held"}, set(lost))
        self.assertEqual("ModuleNotFoundError: No module named 'absent'", lost["thing"])
        self.assertEqual("it refers to thing, which could not be restored", lost["held"])
        self.assertEqual("([1], False)", worker.run("fine, 'thing' in globals()").result())

    def test_what_fails_only_the_second_time(self):
        checkpoint = self.saved(
            "import copyreg\ntimes = []\nclass Odd(list): pass\nOdd.__module__ = 'builtins'\n"
            "def reduce(odd):\n    times.append(1)\n    if len(times) > 1: raise ValueError('not twice')\n    return list, ()\n"
            "copyreg.pickle(Odd, reduce)\nodd = Odd(); holder = [odd]\ndel Odd\nfine = 'x'"
        )
        self.assertEqual("ValueError: not twice", checkpoint.unsaved["odd"])
        self.assertEqual("it refers to odd, which cannot be saved", checkpoint.unsaved["holder"])
        self.assertEqual("'x'", self.restored(checkpoint).run("fine").result())

    def test_over_the_limit(self):
        worker = self.worker()
        worker.run("large = b'x' * 100_000\nsmall = 1")
        cell = worker.finish(self.start_save(worker, limit=50_000))
        self.assertEqual("CheckpointError", cell.ename)
        self.assertRegex(cell.header["evalue"], "over the limit of 50,000 bytes.* The largest: large 100,")
        self.assertEqual([], cell.emitted("part"))
        self.assertEqual("1", worker.run("small").result())

    def test_too_many(self):
        worker = self.worker()
        worker.run("globals().update((f'v{n}', n) for n in range(10_001))")
        cell = worker.finish(self.start_save(worker))
        self.assertRegex(cell.header["evalue"], "10,001 variables are over the limit of 10,000")

    def test_interrupted(self):
        slow = "class Slow(list):\n    def __reduce_ex__(self, protocol):\n        print('now', flush=True)\n        while True: pass\n"
        worker = self.worker()
        worker.run(slow + "slow = Slow()\na = 1")
        promise = self.start_save(worker)
        worker.until_text("now")
        worker.signal("cancel", id=promise)
        cell = worker.finish(promise)
        self.assertEqual("KeyboardInterrupt", cell.ename)
        self.assertEqual("1", worker.run("a").result())

    def test_followed_no_further(self):
        checkpoint = self.saved("many = [[] for _ in range(250_000)]\nfine = [1]")
        self.assertFalse(checkpoint.told["followed"])
        self.assertEqual({}, checkpoint.unsaved)


class WithoutCloudpickle(Case):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        with open(folder.name + "/cloudpickle.py", "w") as file:
            file.write("raise ImportError('not here')\n")
        self.environment = {"PYTHONPATH": folder.name}

    def test_functions_are_saved_and_classes_are_not(self):
        checkpoint = self.saved(
            "x = 2\ndef f(): return x\nadd = lambda a: a + x\nclass Point: pass\np = Point()\nvalues = [1, f]",
            environment=self.environment,
        )
        self.assertEqual({"Point", "p"}, set(checkpoint.unsaved))
        self.assertRegex(checkpoint.unsaved["Point"], "needs the package cloudpickle")
        self.assertEqual("(2, 5, True)", self.restored(checkpoint).run("f(), add(3), values[1] is f").result())


class Restoring(Case):
    def test_history_is_not_saved(self):
        worker = self.worker()
        worker.run("41 + 1")
        worker.run("kept = _")
        self.assertEqual({"kept"}, set(self.save(worker).variables))

    def test_a_large_value_in_small_parts(self):
        checkpoint = self.saved("large = bytearray(range(256)) * 40_000\ntext = 'é' * 3_000_000")
        worker = self.worker()
        self.assertEqual({}, self.restore(worker, checkpoint, part_bytes=100_000))
        self.assertEqual("(True, 3000000)", worker.run("large == bytearray(range(256)) * 40_000, len(text)").result())

    def test_code_that_is_not_a_pickle(self):
        checkpoint = self.saved("a = [1]\nb = [2]")
        checkpoint.blobs[checkpoint.variables["a"]] = b"nonsense"
        self.assertEqual({"a"}, set(self.restore(self.worker(), checkpoint)))

    def test_interrupted(self):
        checkpoint = self.saved("def wait():\n    print('now', flush=True)\n    while True: pass\n"
                                "class Slow:\n    def __reduce__(self): return wait, ()\n"
                                "import copyreg\nslow = Slow()")  # fmt: skip
        if "slow" in checkpoint.unsaved:
            self.skipTest("needs cloudpickle")
        worker = self.worker()
        promise = self.start_restore(worker, checkpoint)
        for _ in range(len(checkpoint.blobs)):
            event = worker.until(lambda event: event[0] == "fetch")
            worker.events.remove(event)
            worker.send(worker.requests, {"signal": "supply", "last": True}, checkpoint.blobs[event[1]["blob"]])
            if event[1]["blob"] == checkpoint.variables["slow"]:
                break
        worker.until_text("now")
        worker.signal("cancel", id=promise)
        self.assertEqual("KeyboardInterrupt", worker.finish(promise).ename)


@unittest.skipUnless(importlib.util.find_spec("IPython"), "IPython is not installed")
class OnIPython(Case):
    def setUp(self):
        self.addCleanup(setattr, client, "ENGINE", client.ENGINE)
        client.ENGINE = "ipython"

    def test_hidden_names_and_histories_are_not_saved(self):
        checkpoint = self.saved("1 + 1\nmine = [3]\ndef f(): return mine")
        self.assertEqual({"mine", "f"}, set(checkpoint.variables))
        worker = self.restored(checkpoint)
        self.assertEqual("([4], True)", worker.run("mine[0] = 4\nf(), f.__globals__ is globals()").result())


if __name__ == "__main__":
    sys.exit(unittest.main())
