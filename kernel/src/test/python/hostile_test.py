"""Hostile cells through the real kernel, in every sandbox that this machine offers, and without one.

A cell says in words what became of what it tried; then the host is looked at. `CAPSULE_HOSTILE=L1_root` runs only that.
"""

import ast
import ctypes
import json
import os
import re
import secrets
import socket
import stat
import subprocess
import unittest
from pathlib import Path

import seccomp
from confined import (
    NONE,
    ROOT,
    TIERS,
    Place,
    as_user,
    banner,
    cell_users,
    dump,
    missing,
    mounts,
    processes_of,
    survivors,
    users,
)
from hostile_cells import CELLS, FRAMES, STUBBORN, tools_path
from kernels import PATIENCE, Watch, descendants, free_ports, let_go
from wire import Client

# Young calls, which have one number on all architectures and none in an older libseccomp.
YOUNG_CALLS = {"fchmodat2": 452, "statmount": 457, "listmount": 458, "open_tree_attr": 467}

TOKEN_NAME = "CAPSULE_HOSTILE_TOKEN"

# What the launching environment, the canaries and the key are told by: this much of them in a row is no chance.
REVEALING = 12

PRELUDE = "from tools import *\n"

# A process of the same user, and what such a process may have: shared memory, a queue. It ends with its input.
VICTIM = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
key, launcher, shm = int(sys.argv[1]), sys.argv[2].encode(), sys.argv[3]
segment = libc.shmget(key, 4096, 0o1000 | 0o600)
queue = libc.mq_open(b"/capsule-hostile-" + launcher, os.O_CREAT | os.O_RDWR, 0o600, None)
with open(shm, "w") as file:
    file.write("shared")
print(segment, queue, flush=True)
sys.stdin.read()
libc.shmctl(segment, 0, None)
libc.mq_unlink(b"/capsule-hostile-" + launcher)
os.unlink(shm)
"""


def call_numbers():
    arch = seccomp.Arch()
    text = "".join(path.read_text() for path in Path(tools_path()).parent.glob("*.py"))
    names = set(re.findall(r"call\(\s*b?'(\w+)'", text)) | set(re.findall(r"call, '(\w+)'", text))
    names |= set(re.findall(r'_call\("(\w+)"', text)) | {"iopl", "ioperm", "modify_ldt"}
    names |= {"process_vm_readv", "process_vm_writev", "clone", "fchmodat2", "chroot"}
    return {name: YOUNG_CALLS.get(name) or seccomp.resolve_syscall(arch, name) for name in names}


class Listeners:
    """Services of the host on its loopback. What they hear is what a cell has reached."""

    def __init__(self, place, name):
        self.name = f"capsule-hostile-{os.getpid()}-{name}"
        self.home_socket = str(place.home / "service.sock")
        self.workspace_socket = str(place.workspace / "service.sock")
        self._sockets = [
            self._listening(socket.AF_INET, ("127.0.0.1", 0)),
            self._listening(socket.AF_INET6, ("::1", 0)) if socket.has_ipv6 else socket.socket(),
            self._listening(socket.AF_UNIX, "\0" + self.name),
            self._listening(socket.AF_UNIX, self.home_socket),
            self._listening(socket.AF_UNIX, self.workspace_socket),
        ]
        self._datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._datagrams.bind(("127.0.0.1", 0))
        self._datagrams.setblocking(False)
        for path in (self.home_socket, self.workspace_socket):
            os.chmod(path, 0o777)
            place.give(path)

    @staticmethod
    def _listening(family, address):
        made = socket.socket(family)
        made.bind(address)
        made.listen(100)
        made.setblocking(False)
        return made

    def facts(self):
        return {
            "TCP_PORT": self._sockets[0].getsockname()[1],
            "TCP6_PORT": self._sockets[1].getsockname()[1],
            "UDP_PORT": self._datagrams.getsockname()[1],
            "ABSTRACT": self.name,
            "HOME_SOCKET": self.home_socket,
        }

    def heard(self):
        """How much came since the last time."""
        count = 0
        for each in self._sockets:
            try:
                while True:
                    each.accept()[0].close()
                    count += 1
            except (BlockingIOError, OSError):
                continue
        try:
            while True:
                self._datagrams.recv(100)
                count += 1
        except BlockingIOError:
            return count

    def close(self):
        for each in (*self._sockets, self._datagrams):
            each.close()


class Stage:
    """A user's files, with canaries; the services and processes beside; and a kernel of one tier."""

    def __init__(self, name, tier, uid):
        self.tier = tier
        self.uid = uid
        self.token = secrets.token_hex(20)
        self.place = Place(uid)
        self.canaries()
        self.listeners = Listeners(self.place, name)
        self.shm = f"/dev/shm/capsule-hostile-{secrets.token_hex(8)}"
        self.key = secrets.randbelow(1 << 30) + 1
        self.victim = subprocess.Popen(
            [*as_user(uid), "/usr/bin/python3", "-c", VICTIM, str(self.key), str(os.getpid()), self.shm],
            env={TOKEN_NAME: self.token, "PATH": os.environ["PATH"]},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
        )
        self.segment = int(self.victim.stdout.readline().split()[0])
        self.kernel = self.client = None
        [self.offered_port] = free_ports(1)
        let_go([self.offered_port])
        self.mounts = mounts()
        self.core_pattern = Path("/proc/sys/kernel/core_pattern").read_text()

    def canaries(self):
        place = self.place
        self.secrets = []

        def canary(name, mode=0o644):
            text = f"canary {secrets.token_hex(20)}\n"
            self.secrets.append(text.split()[1])
            return place.file(name, text, mode)

        for name in (
            "home/.ssh/id_rsa",
            "home/.ssh/authorized_keys",
            "home/.bashrc",
            "home/.profile",
            "home/.jupyter/jupyter_server_config.json.bak",
            "home/.local/share/jupyter/notebook_secret",
            "home/.local/share/jupyter/runtime/kernel-1.json",
            "home/.local/share/capsule/other.txt",
            "home/.local/state/capsule/audit-1.jsonl",
            "home/.config/capsule/canary.txt",
            "work/neighbour.txt",
            "work/spare.txt",
            "work/notebooks/.envrc",
            "work/notebooks/.ssh/key",
            "work/notebooks/.jupyter/token",
        ):
            canary(name, 0o600)
        for name in ("config", "hooks/pre-commit"):
            place.file("work/notebooks/.git/" + name, "unchanged\n", 0o755)
        for name in (".vscode/tasks.json", ".idea/workspace.xml", "jupyter_server_config.py", "data.txt"):
            place.file("work/notebooks/" + name, "unchanged\n")
        place.file("work/notebooks/jupyter_notebook_config.json", "{}\n")
        place.directory("work/notebooks/room")
        place.directory("work/notebooks/facts")
        place.file("work/notebooks/tools.py", Path(tools_path()).read_text())
        self.canary = canary("home/secret.txt", 0o600)
        os.setxattr(self.canary, "user.canary", self.secrets[-1].encode())
        self.tmp_file = Path("/tmp") / f"capsule-canary-{secrets.token_hex(8)}.txt"
        self.tmp_file.write_text(f"canary {secrets.token_hex(20)}\n")
        self.secrets.append(self.tmp_file.read_text().split()[1])
        self.tmp_file.chmod(0o644)

    def start(self):
        # In the workspace, what Python keeps of the tools would be a change.
        environment = {TOKEN_NAME: self.token, "PYTHONPYCACHEPREFIX": str(self.place.directory("pycache"))}
        self.kernel = self.place.kernel(self.tier, environment=environment)
        # What forged frames may name is not all in the schemas.
        self.client = Client(self.kernel.info, validating=False)
        place = self.place
        facts = {
            "HOME": str(place.home),
            "CANARY": str(self.canary),
            "TMP_FILE": str(self.tmp_file),
            "CONNECTION": self.kernel.connection_file,
            "JAR": str(place.program / "capsule.jar"),
            "KERNEL": self.kernel.pid,
            "LAUNCHER": os.getpid(),
            "VICTIM": self.victim.pid,
            "KERNEL_PORTS": [value for name, value in self.kernel.info.items() if name.endswith("_port")],
            "OFFERED_PORT": self.offered_port,
            "SHM_KEY": self.key,
            "SHM_ID": self.segment,
            "SHM_FILE": self.shm,
            "TOKEN_NAME": TOKEN_NAME,
            "ROOM": "room",
            "ALLOWED_CAPABILITIES": 2 if self.tier == "L3" and self.uid == ROOT else 0,
            "calls": call_numbers(),
            **self.listeners.facts(),
        }
        place.file("work/notebooks/facts/facts.json", json.dumps(facts))
        self.client.execute("1")
        self.before = self.look()

    def look(self):
        """All that no cell may change."""
        seen = {}
        for top in (self.place.home, self.place.base / "work", self.tmp_file):
            for path in (top, *top.rglob("*")):
                about = path.lstat()
                times = about.st_mtime_ns if path.name not in ("room", "capsule", "work", "notebooks", "state") else None
                seen[str(path)] = (about.st_mode, about.st_uid, about.st_gid, about.st_ino, about.st_nlink, times)
                # The kernel's own, which it goes on writing.
                if path.name.startswith(("history.sqlite", "sandbox")) or path.name == "audit.jsonl":
                    seen[str(path)] = ()
                elif stat.S_ISREG(about.st_mode):
                    seen[str(path)] += (path.read_bytes(), tuple(os.listxattr(path)))
        for pid in (self.kernel.pid, self.victim.pid):
            seen[f"process {pid}"] = _process(pid)
        return {name: value for name, value in seen.items() if value != ()}

    def discard(self):
        if self.client is not None:
            self.client.close()
            self.kernel.kill()
        self.client = self.kernel = None

    def remove(self):
        self.discard()
        self.victim.communicate(timeout=PATIENCE)
        self.listeners.close()
        self.tmp_file.unlink()
        self.place.remove()


def _process(pid):
    """What the system gives a process, and that it is not stopped."""
    libc = ctypes.CDLL(None)
    status = Path(f"/proc/{pid}/status").read_text()
    statistics = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (
        Path(f"/proc/{pid}/limits").read_text(),
        re.search("Cpus_allowed:.*", status)[0],
        Path(f"/proc/{pid}/oom_score_adj").read_text(),
        statistics[16],  # nice
        statistics[0] in ("T", "t", "Z"),
        libc.syscall(seccomp.resolve_syscall(seccomp.Arch(), "ioprio_get"), 1, pid),
        os.sched_getscheduler(pid),
    )


def said(exchange):
    """What came of a cell, in words."""
    if exchange.status == "ok":
        result = exchange.result()
        return set(ast.literal_eval(result).split()) if result else {"forged"}
    ename, evalue = exchange.content["ename"], exchange.content["evalue"]
    if ename != "WorkerDied":
        return {ename}
    if "broke the frame protocol" in evalue:
        return {"violation"}
    if "did not stop within" in evalue:
        return {"killed"}
    cause = re.search(r"killed by (\w+)|exited with code (\d+)", evalue)
    return {"died", cause[1] or cause[2]} if cause else {"WorkerDied:", evalue}


class Cells(unittest.TestCase):
    """All cells in one tier as one user. After a failure the kernel is replaced, so that one failure stays one."""

    tier = NONE
    uid = ROOT
    stage = None
    stubborn = None
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.mounts = mounts()
        cls.stage = Stage(cls.__name__, cls.tier, cls.uid)
        cls.stubborn = None

    @classmethod
    def tearDownClass(cls):
        cls.stage.remove()

    def setUp(self):
        if self.stage.kernel is None:
            self.stage.start()
        self.stage.listeners.heard()

    def run(self, result=None):
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before and self.stage.kernel is not None:
            print(f"--- log of the kernel of {self.id()}", *self.stage.kernel.log.lines()[-40:], sep="\n", flush=True)
            self.stage.discard()
        return result

    def perform(self, cell):
        client = self.stage.client
        seen = len(client.everything)
        for step in cell.steps[:-1]:
            client.execute(PRELUDE + step.strip())
        exchange = client.execute(PRELUDE + cell.steps[-1].strip())
        words = said(exchange)
        allowed = cell.allowed(self.tier)
        if self.tier == NONE and self.uid != ROOT:
            allowed |= set("EPERM EACCES refused".split())
        self.assertLessEqual(words, allowed, f"\n{exchange.told()}")
        if cell.after is not None:
            cell.after(self)
        if cell.spoils or words & {"forged", "Forged"}:
            client.execute("import os; os._exit(0)")
        # The cell may have ended its worker later than itself; then this one finds another.
        if client.execute("6 * 7").result() != "42":
            self.assertEqual("42", client.execute("6 * 7").result(), "the next cell does not run")
        self.assert_nothing_is_told(client.everything[seen:])
        self.assert_unharmed()

    def assert_nothing_is_told(self, messages):
        if self.tier == NONE:
            return
        text = "".join(map(dump, messages))
        for name, secret in (
            ("the connection's key", self.stage.kernel.info["key"]),
            ("the launching environment", self.stage.token),
            *[("a canary", secret) for secret in self.stage.secrets],
        ):
            told = [at for at in range(len(secret) - REVEALING + 1) if secret[at : at + REVEALING] in text]
            self.assertEqual([], told, f"{name} has left the sandbox")

    def assert_unharmed(self):
        stage = self.stage
        if self.tier == NONE:
            stage.listeners.heard()
        else:
            self.assertEqual(0, stage.listeners.heard(), "a service of the host was reached")
        self.assertTrue(stage.kernel.alive())
        now = stage.look()
        changed = {
            name: (stage.before.get(name), now.get(name))
            for name in {*stage.before, *now}
            if stage.before.get(name) != now.get(name)
        }
        self.assertEqual({}, changed)
        privileged = [str(path) for path in stage.place.base.rglob("*") if path.lstat().st_mode & 0o6000]
        self.assertEqual([], privileged, "set-uid or set-gid files")
        self.assertEqual(stage.core_pattern, Path("/proc/sys/kernel/core_pattern").read_text())
        self.assertEqual(self.mounts, mounts())

    # What cells' `after` asks.

    def assert_no_daemon(self):
        """None of the worker that has died; the next worker is there already."""
        left = []
        kernel = self.stage.kernel
        for pid in {*processes_of(cell_users(kernel, self.uid)), *descendants(kernel.pid)}:
            try:
                if Path(f"/proc/{pid}/comm").read_text().strip() == "hostile-left":
                    left.append(pid)
            except (FileNotFoundError, ProcessLookupError):
                continue  # It has ended meanwhile.
        self.assertEqual([], Watch(left).survivors(2))

    def assert_nobody_listens(self):
        """A port that a cell listens on is its own sandbox' port."""
        with socket.socket() as made:
            reached = made.connect_ex(("127.0.0.1", self.stage.offered_port)) == 0
        self.assertEqual(self.tier == NONE, reached)

    # Cells with a kernel of their own

    def perform_stubborn(self, cell):
        """All of them wait for their ends at the same time, which take some seconds each."""
        cls = type(self)
        if cls.stubborn is None:
            kernels = {each.name: self.stage.place.kernel(self.tier, environment={}) for each in STUBBORN}
            cls.stubborn = {name: (kernel, Client(kernel.info)) for name, kernel in kernels.items()}
            for each in STUBBORN:
                kernel, client = cls.stubborn[each.name]
                kernel.started = client.start(PRELUDE + each.steps[0].strip())
            for each in STUBBORN:
                kernel, client = cls.stubborn[each.name]
                client.wait_text(kernel.started, "now")
                client.request("interrupt_request", channel="control")
        kernel, client = cls.stubborn[cell.name]
        try:
            exchange = client.finish(kernel.started)
            self.assertLessEqual(said(exchange), cell.allowed(self.tier), exchange.told())
            self.assertEqual("42", client.execute("6 * 7").result())
            self.assert_unharmed()
        finally:
            client.close()
            kernel.kill()

    def leaves_nothing(self):
        """Daemons, which have another parent and a session of their own, end with the kernel, too."""
        stage = self.stage
        daemon = "subprocess.run(['setsid', '-f', 'sleep', '1000'])"
        self.assertEqual("ok", stage.client.execute(f"import subprocess\nfor _ in range(3): {daemon}").status)
        kernel = stage.kernel
        cells = {*processes_of(cell_users(kernel, self.uid))} - {stage.victim.pid, kernel.pid}
        self.assertGreater(len(cells), 3, "the daemons are not among what is looked for")
        kernel.process.kill()
        kernel.process.wait(PATIENCE)
        self.assertEqual([], survivors(kernel, self.uid, 2, spared={stage.victim.pid}))
        # The library of SQLite's driver is not the workers'.
        left = [name for name in os.listdir(stage.place.temporary) if not name.startswith("sqlite-")]
        self.assertEqual([], left)
        self.assertEqual(self.mounts, mounts())
        stage.discard()


def _combination(tier, user, uid, also_frames=True):
    """The tests of one tier and user, in the order in which they are run."""
    made = type(f"{tier}_{user}", (Cells,), {"tier": tier, "uid": uid})
    cells = [cell for cell in CELLS if (tier != NONE or cell.runs_bare) and (also_frames or cell not in FRAMES)]
    for cell in cells:
        setattr(made, cell.name, lambda self, cell=cell: self.perform(cell))
    for cell in STUBBORN:
        setattr(made, cell.name, lambda self, cell=cell: self.perform_stubborn(cell))
    names = [cell.name for cell in cells]
    if tier != NONE:
        # Those without a sandbox are what other tests of interrupts, and of ends, have.
        names += [*[cell.name for cell in STUBBORN], "leaves_nothing"]
    return [made(name) for name in names]


def _absent(tier, user, why):
    """One test in place of all that cannot be run, which says why. It fails where the tier has to be."""

    def test(self):
        if tier == "L1" and user == "root" and os.path.exists("/usr/bin/bwrap"):
            self.fail(f"root has bubblewrap here, but no {tier}: {why}")
        print(why)

    name = "is_missing_because_" + re.sub(r"\W+", "_", why)[:120]
    return [type(f"{tier}_{user}", (unittest.TestCase,), {name: test})(name)]


class Nested(unittest.TestCase):
    """Two kernels, of which the one's workspace holds the other's: a notebook in a directory, another in one below."""

    def where_cells_work_is_not_for_others_to_change(self):
        """A worker that was started anew found its workspace by its path, in which the cells of the outer workspace had
        put a link; so it got a directory of the home instead, to write into."""
        for user, uid in users().items():
            for tier in TIERS:
                with self.subTest(tier=tier, user=user):
                    self.swap(Place(uid), tier)

    def swap(self, place, tier):
        self.addCleanup(place.remove)
        inner = place.directory("work/inner/bin")
        program = place.file("home/bin/program", "unchanged")
        with (
            place.kernel(tier, workspace=inner.parent.parent) as first,
            place.kernel(tier, workspace=inner) as second,
            Client(first.info) as outside,
            Client(second.info) as inside,
        ):
            if "no cell can be run" in banner(inside):
                return
            self.assertEqual("'kept'", inside.execute("open('file', 'w').write('kept'); open('file').read()").result())
            swap = f"import os; os.rename('inner', 'away'); os.symlink({str(place.home)!r}, 'inner')"
            self.assertEqual("ok", outside.execute(swap).status)
            inside.execute("import os; os._exit(0)")
            planted = inside.execute("open('program', 'w').write('planted'); open('file').read()")
            self.assertIn(planted.result(), ("'kept'", None))
            self.assertEqual("unchanged", program.read_text(), "written outside of every workspace")
            self.assertEqual(["program"], os.listdir(program.parent))


class Table(unittest.TestCase):
    """What the suite itself has to hold."""

    def has_a_hundred_cells(self):
        self.assertGreaterEqual(len(CELLS) + len(STUBBORN), 100)

    def says_why_where_a_cell_is_not_run_without_a_sandbox(self):
        for cell in CELLS:
            if not cell.runs_bare:
                self.assertGreater(len(cell.bare.reason), 10, cell.name)


def load_tests(_loader, _tests, _pattern):
    suite = unittest.TestSuite([Table("has_a_hundred_cells"), Table("says_why_where_a_cell_is_not_run_without_a_sandbox")])
    wanted = os.environ.get("CAPSULE_HOSTILE", "")
    if wanted in ("", "Nested"):
        suite.addTest(Nested("where_cells_work_is_not_for_others_to_change"))
    chosen = [
        (tier, user, uid)
        for user, uid in users().items()
        for tier in TIERS
        if wanted in ("", f"{tier}_{user}") or wanted == tier
    ]
    places = [Place(uid) for _, _, uid in chosen]
    kernels = [place.kernel(tier) for place, (tier, _, _) in zip(places, chosen)]
    also_frames = True
    for place, kernel, (tier, user, uid) in zip(places, kernels, chosen):
        why = missing(kernel, tier)
        kernel.kill()
        if why is None:
            suite.addTests(_combination(tier, user, uid, also_frames))
            # What frames can do does not depend on the sandbox, and most of it costs a worker.
            also_frames = False
        else:
            suite.addTests(_absent(tier, user, why))
    for place in places:
        place.remove()
    # The most that anybody can do.
    user, uid = next(iter(users().items()))
    if wanted in ("", f"{NONE}_{user}"):
        suite.addTests(_combination(NONE, user, uid))
    if ROOT not in users().values():
        suite.addTests(_absent("L1", "root", "the tests are not run by root"))
    return suite

