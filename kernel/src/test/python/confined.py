"""Kernels in a sandbox of a given tier, as root and as an ordinary user, each with files of its own. Linux only."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager
from kernels import KERNEL_NAME, PATIENCE, Kernel, Watch, descendants
from wire import Client

TIERS = ("L1", "L2", "L3")
NONE = "none"

ROOT = 0
# Without a name, and nobody else's: whatever has it is of this test.
ORDINARY = 61_000 + os.getpid() % 4_000

# The kernel's own arithmetic (Identity.java): the users that the cells of root's kernels run as.
FIRST_DEDICATED = 1_879_048_192
DEDICATED_COUNT = 1 << 22
DEDICATED_TURNS = 64


def users():
    """Whom kernels can be run as here, by name."""
    if os.getuid() == ROOT:
        return {"root": ROOT, "user": ORDINARY}
    return {"user": os.getuid()}


def as_user(uid):
    """The beginning of a command line that is run by somebody else."""
    if uid == os.getuid():
        return []
    return ["/usr/bin/setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"]


class Place:
    """A directory for one user's kernels, with a home and a workspace; and the program, which everybody can read."""

    def __init__(self, uid):
        self.uid = uid
        self.base = Path(tempfile.mkdtemp(prefix="confined-")).resolve()
        self.base.chmod(0o755)
        self.home = self.directory("home", 0o700)
        self.workspace = self.directory("work/notebooks", 0o755)
        # Where Java makes temporary files, so that it can be seen whose they are.
        self.temporary = self.directory("temporary", 0o1777)
        self.program = self.base / "program"
        jar = next(argument for argument in specification().argv if argument.endswith(".jar"))
        shutil.copytree(Path(jar).parent, self.program)

    def directory(self, name, mode=0o755):
        path = self.base / name
        for each in (*reversed([p for p in path.parents if p.is_relative_to(self.base)]), path):
            if not each.exists():
                each.mkdir()
                self.give(each)
        path.chmod(mode)
        return path

    def file(self, name, text="", mode=0o644):
        path = self.base / name
        self.directory(str(path.parent.relative_to(self.base)))
        path.write_text(text)
        self.give(path)
        path.chmod(mode)
        return path

    def give(self, path):
        if self.uid != os.getuid():
            os.chown(path, self.uid, self.uid)

    def kernel(self, tier, *, python=None, environment=None, workspace=None, network=None):
        """Starts a kernel for this user, in its workspace."""

        def changed(argv):
            self.give(next(argument for argument in argv if "connection-" in argument))
            argv = [
                str(self.program / "capsule.jar") if argument.endswith("capsule.jar") else argument for argument in argv
            ]
            if python is not None:
                argv[argv.index("--python") + 1] = str(python)
            java, *options = argv
            options = [f"-Djava.io.tmpdir={self.temporary}", *options, "--sandbox", tier]
            options += ["--network", network] if network else []
            # After the user has changed, for its home may be closed even to root's own tools.
            return [*as_user(self.uid), "/usr/bin/env", "-C", str(workspace or self.workspace), java, *options]

        return Kernel(change_argv=changed, home=self.home, environment=environment)

    def remove(self):
        shutil.rmtree(self.base)


def specification():
    return KernelSpecManager().get_kernel_spec(KERNEL_NAME)


def banner(client):
    return client.request("kernel_info_request").content["banner"]


def missing(kernel, tier):
    """Why this kernel's machine lacks the tier that it was asked for, in the kernel's own words; or None."""
    with Client(kernel.info) as client:
        said = banner(client)
    if re.search(rf"\bsandbox {tier}\b|NOT SANDBOXED", said):
        return None
    return said[said.find("no cell can be run") :]


def cell_users(kernel, uid):
    """The users that cells of a kernel run as: all that these have running is the kernel's."""
    if uid != ROOT:
        return {uid}
    return {FIRST_DEDICATED + turn * DEDICATED_COUNT + kernel.pid % DEDICATED_COUNT for turn in range(DEDICATED_TURNS)}


def processes_of(uids):
    """The processes of some users, by id with their command lines. Zombies are none."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/status") as file:
                status = file.read()
            with open(f"/proc/{name}/cmdline", "rb") as file:
                command = file.read().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue  # It has ended meanwhile.
        if int(re.search(r"^Uid:\s+(\d+)", status, re.M)[1]) in uids and "\nState:\tZ" not in status:
            found[int(name)] = command or re.search(r"^Name:\s+(.*)", status)[1]
    return found


def survivors(kernel, uid, seconds, spared=()):
    """What is left of a kernel's processes, after so many seconds at the most."""
    if uid == os.getuid() and uid != ROOT:
        # The user has other things running.
        pids = descendants(kernel.pid)
    else:
        pids = [pid for pid in processes_of(cell_users(kernel, uid)) if pid not in spared]
    watch = Watch(pids)
    left = watch.survivors(seconds)
    watch.kill()
    return left


def mounts():
    with open("/proc/self/mountinfo") as file:
        return file.read().splitlines()


def run(command, uid=None, **options):
    """Runs a program to its end; returns what it said."""
    done = subprocess.run(
        [*as_user(os.getuid() if uid is None else uid), *map(str, command)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        **options,
    )
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def dump(message):
    """All of a message that a client sees, as text."""
    return json.dumps(
        {key: value for key, value in message.items() if key not in ("buffers", "identities")}, default=str
    )
