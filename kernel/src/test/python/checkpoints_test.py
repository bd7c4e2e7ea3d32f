"""Checkpoints: the variables of one kernel are those of another, and a file that is not as it was made changes nothing."""

import glob
import os
import shutil
import stat
import subprocess
import tempfile
import unittest

from kernels import Kernel
from wire import Client

SETUP = """
import math, numpy as np, pandas as pd
df = pd.DataFrame({'a': np.arange(4), 'b': list('wxyz')})
held = {'df': df}
class Point:
    def __init__(self, x): self.x = x
    def double(self): return factor * self.x
factor = 2
point = Point(3)
add = lambda n: n + factor
def later(): return factor
generator = (n for n in range(3))
"""
LOOK = "int(df.a.sum()), held['df'] is df, point.double(), add(1), math.floor(2.5), type(point) is Point"
SEEN = "(6, True, 6, 3, 2, True)"


class Case(unittest.TestCase):
    def setUp(self):
        self.home = self.directory("home-")
        self.work = self.directory("work-")

    def directory(self, prefix):
        made = tempfile.mkdtemp(prefix=prefix)
        self.addCleanup(shutil.rmtree, made, ignore_errors=True)
        return made

    def start(self, *options, directory=None, **more):
        """A client of a kernel that works in a directory."""
        kernel = Kernel(home=self.home, directory=directory or self.work, change_argv=lambda argv: [*argv, *options],
                        **more)  # fmt: skip
        self.addCleanup(kernel.kill)
        client = Client(kernel.info)
        self.addCleanup(client.close)
        client.kernel = kernel
        return client

    def ok(self, client, code, **options):
        done = client.execute(code, **options)
        self.assertEqual("ok", done.status, done.told())
        return done

    def refused(self, client, code, why):
        done = client.execute(code)
        self.assertEqual("error", done.status, done.told())
        self.assertRegex(done.content["evalue"], why)
        return done

    def files(self):
        return glob.glob(self.home + "/.local/share/capsule/checkpoints/*/*")

    def saved(self, name="one", code=SETUP):
        """A client whose variables are saved, and the file."""
        client = self.start()
        self.ok(client, code)
        self.ok(client, f"%checkpoint {name}")
        (file,) = [file for file in self.files() if file.endswith(f"/{name}.checkpoint")]
        return client, file

    def tool(self, *arguments, status=0):
        command = [os.environ["CAPSULE_JAVA"], "-jar", os.environ["CAPSULE_JAR"], "checkpoint", *arguments]
        done = subprocess.run(command, env={**os.environ, "HOME": self.home}, capture_output=True, text=True, timeout=60)
        self.assertEqual(status, done.returncode, done.stdout + done.stderr)
        return done.stdout + done.stderr


class Unreadable(Case):
    def test_a_place_that_cannot_be_read_is_an_error(self):
        """The thread that looked for the checkpoint ended by an exception, and its cell never did."""
        place = os.path.join(self.home, ".local/share/capsule/checkpoints")
        os.makedirs(os.path.dirname(place))
        open(place, "w").close()
        client = self.start()
        self.refused(client, "%restore one", "cannot be read")
        self.ok(client, "kept = 1")


class Kept(Case):
    """Must hold 7."""

    def test_variables_are_restored_in_another_kernel(self):
        first = self.start()
        self.ok(first, SETUP)
        said = self.ok(first, "%checkpoint one").text()
        self.assertRegex(said, r'Checkpoint "one": 10 variables, [\d,]+ bytes')
        self.assertIn("generator (generator): TypeError: cannot pickle 'generator' object", said)
        second = self.start()
        self.ok(second, "mine = 1")
        said = self.ok(second, "%restore one").text()
        self.assertRegex(said, r"Restored 10 variables of the checkpoint made [-\d]+ [:\d]+ in " + self.work)
        self.assertNotIn("Versions differ", said)
        self.assertEqual(SEEN, self.ok(second, LOOK).result())
        self.assertEqual("(10, 13, False)", self.ok(second, "factor = 10\nlater(), add(3), 'mine' in globals()").result())
        # The first goes on as it was.
        self.assertEqual(SEEN, self.ok(first, LOOK).result())

    def test_files_are_the_users_alone(self):
        _, file = self.saved()
        self.assertEqual(0o600, stat.S_IMODE(os.stat(file).st_mode))
        self.assertEqual(0o700, stat.S_IMODE(os.stat(os.path.dirname(file)).st_mode))
        self.assertEqual([file], self.files())

    def test_a_crash_after_it_goes_back_to_what_was_restored(self):
        self.saved()
        client = self.start()
        self.ok(client, "%restore one")
        while "Of the present state" in self.ok(client, "%snapshots", store_history=False).text():
            pass
        done = self.refused(client, "import os; del df; os._exit(3)", "variables are as they were after %restore one")
        self.assertEqual("WorkerDied", done.content["ename"])
        self.assertEqual(SEEN, self.ok(client, LOOK).result())
        # The history of states began with it.
        self.refused(client, "%undo 5", "fewer than 5 cells")

    def test_the_user_code_in_it_can_be_interrupted(self):
        client = self.start()
        self.ok(client, "class Slow:\n    def __reduce__(self):\n        print('now', flush=True)\n        while True: pass\n"
                        "slow = Slow(); mine = 1")  # fmt: skip
        running = client.start("%checkpoint one")
        client.wait_text(running, "now")
        client.finish(client.send("interrupt_request", channel="control"))
        self.assertEqual("KeyboardInterrupt", client.finish(running).content["ename"])
        self.assertEqual([], self.files())
        self.assertEqual("1", self.ok(client, "mine").result())

    def test_the_user_code_in_it_can_crash(self):
        client = self.start()
        self.ok(client, "import os\nclass Bad:\n    def __reduce__(self): os._exit(3)\nbad = Bad(); mine = 1")
        self.refused(client, "%checkpoint one", "exited with code 3")
        self.assertEqual([], self.files())
        self.assertEqual("1", self.ok(client, "mine").result())

    def test_a_kernel_starts_with_one_and_takes_one_at_its_end(self):
        _, file = self.saved()
        for wanted in ("one", file):
            client = self.start("--restore", wanted, "--checkpoint-on-shutdown", "last")
            done = self.ok(client, LOOK)
            self.assertEqual(SEEN, done.result())
            self.assertIn("Restored 10 variables", done.text("stderr"))
            self.ok(client, "late = 5")
            client.request("shutdown_request", {"restart": False}, channel="control")
            client.kernel.process.wait(30)
            again = self.start("--restore", "last")
            self.assertEqual("5", self.ok(again, "late").result())

    def test_none_is_taken_at_the_end_while_a_cell_runs(self):
        client = self.start("--checkpoint-on-shutdown", "last")
        running = client.start("print('now', flush=True)\nwhile True: pass")
        client.wait_text(running, "now")
        client.send("shutdown_request", {"restart": False}, channel="control")
        client.kernel.process.wait(30)
        self.assertEqual([], self.files())
        client.kernel.log.wait('no checkpoint "last" is taken: a cell is running')

    def test_a_kernel_starts_although_there_is_none(self):
        client = self.start("--restore", "absent")
        done = self.ok(client, "6 * 7")
        self.assertEqual("42", done.result())
        self.assertIn('there is no checkpoint "absent"', done.text("stderr"))


class Refused(Case):
    def check(self, file, why):
        client = self.start()
        self.ok(client, "mine = [1]")
        self.refused(client, "%restore one", "nothing was changed.*" + why)
        self.assertEqual("[1]", self.ok(client, "mine").result())

    def test_truncated(self):
        _, file = self.saved()
        os.truncate(file, os.path.getsize(file) - 1000)
        self.check(file, "cut short")

    def test_tampered(self):
        _, file = self.saved()
        with open(file, "r+b") as opened:
            opened.seek(200)
            byte = opened.read(1)
            opened.seek(200)
            opened.write(bytes([byte[0] ^ 1]))
        self.check(file, "checksum")

    def test_of_a_later_version(self):
        _, file = self.saved()
        with open(file, "rb") as opened:
            data = opened.read()
        self.assertIn(b'{"format":1,', data)
        with open(file, "wb") as opened:
            opened.write(data.replace(b'{"format":1,', b'{"format":2,'))
        # Its CRC is wrong as well, which is no matter: in either way it is refused.
        self.check(file, "format 2|damaged")

    def test_made_elsewhere(self):
        _, file = self.saved()
        client = self.start(directory=self.directory("other-"))
        self.ok(client, "mine = 1")
        self.refused(client, "%restore one", f"made elsewhere .{self.work}.*--restore {file}")
        self.assertEqual("1", self.ok(client, "mine").result())

    def test_one_that_ends_the_worker(self):
        client = self.start()
        self.ok(client, "import os\nclass Bad:\n    def __reduce__(self): return os._exit, (3,)\nbad = Bad(); fine = 1")
        self.ok(client, "%checkpoint one")
        self.refused(client, "%restore one", "nothing was changed: the worker exited with code 3")
        self.assertEqual("1", self.ok(client, "fine").result())

    def test_a_disk_that_does_not_take_it(self):
        def limited(argv):
            return ["/bin/sh", "-c", 'ulimit -S -f 4000 && exec "$@"', "sh", *argv]

        kernel = Kernel(home=self.home, directory=self.work, change_argv=limited)
        self.addCleanup(kernel.kill)
        client = Client(kernel.info)
        self.addCleanup(client.close)
        self.ok(client, "small = [1]")
        self.ok(client, "%checkpoint one")
        (before,) = self.files()
        self.ok(client, "large = bytes(10_000_000)")
        self.refused(client, "%checkpoint one", "no checkpoint was made.*it cannot be written to .*: .* Make room")
        self.assertEqual([before], self.files())
        self.assertEqual([], glob.glob(os.path.dirname(before) + "/.*"))
        self.assertEqual("[1]", self.ok(client, "small").result())
        self.ok(client, "%restore one")
        self.assertEqual("False", self.ok(client, "'large' in globals()").result())

    def test_names_that_are_none(self):
        client = self.start()
        for name in ("../up", "a/b", ".hidden", "", "x" * 65):
            done = client.execute(f"%checkpoint {name}")
            self.assertEqual("UsageError", done.content["ename"], name)
        self.assertEqual([], self.files())


class Tool(Case):
    def test_lists_shows_and_deletes(self):
        _, file = self.saved()
        self.assertRegex(self.tool("list"), "one .* 10 variables  " + self.work)
        shown = self.tool("show", "one")
        self.assertRegex(shown, r"point +Point +[\d,]+ bytes")
        self.assertRegex(shown, "generator +generator +not saved: TypeError")
        self.assertRegex(shown, r"package +pandas \d")
        self.assertIn("every checksum fits", shown)
        self.tool("delete", "one")
        self.assertEqual([], self.files())
        self.assertIn("There are no checkpoints", self.tool("list"))
        self.assertIn('there is no checkpoint "one"', self.tool("show", "one", status=1))

    def test_shows_no_control_characters(self):
        self.saved(code="globals()['\\x1b[31mred\\u202e'] = 1\n" + "Odd = type('\\x1b[2J', (), {}); odd = Odd()")
        shown = self.tool("show", "one")
        self.assertIn("?[31mred?", shown)
        self.assertNotIn("\x1b", shown + self.tool("list"))
