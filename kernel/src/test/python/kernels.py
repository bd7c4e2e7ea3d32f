"""Kernel processes, started as Jupyter starts them, and what tests ask of processes in general. Linux only."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time
import uuid

from jupyter_client.kernelspec import KernelSpecManager

KERNEL_NAME = os.environ.get("CAPSULE_KERNEL", "capsule-python")
CHANNELS = ("shell", "iopub", "stdin", "control", "hb")

# Seconds after which a test gives up on something that should take milliseconds.
PATIENCE = 30

UNCONFINED = "unconfined" in KERNEL_NAME


def is_first_warning(message):
    """Whether a message, or an output, is what a kernel without a sandbox says with its first cell."""
    text = message.get("content", message).get("text", "")
    return UNCONFINED and isinstance(text, str) and text.startswith("[Capsule: this kernel is not sandboxed")


# Sockets that keep ports from all but who listens on them, by port.
_kept = {}


def free_ports(count):
    """Ports of the loopback interface that nobody else is given before `let_go`: kernels that started at the same time
    were given the same one, now and then, and ended at once."""
    ports = []
    for _ in range(count):
        kept = socket.socket()
        kept.bind(("127.0.0.1", 0))
        # Only from now on: who binds with this option, too, as servers do, may have the port as well.
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ports.append(kept.getsockname()[1])
        _kept[ports[-1]] = kept
    return ports


def let_go(ports):
    for port in ports:
        kept = _kept.pop(port, None)
        if kept is not None:
            kept.close()


def connection(**changes):
    """What a connection file holds; a change to None leaves that key out."""
    info = {f"{channel}_port": port for channel, port in zip(CHANNELS, free_ports(5))}
    info.update(
        ip="127.0.0.1", transport="tcp", key=uuid.uuid4().hex, signature_scheme="hmac-sha256", kernel_name=KERNEL_NAME
    )
    info.update(changes)
    return {key: value for key, value in info.items() if value is not None}


class Log:
    """What a kernel writes to its standard error, line by line as it arrives."""

    def __init__(self, stream):
        self._lines = []
        self._arrived = threading.Condition()
        self._ended = False
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream):
        for line in stream:
            with self._arrived:
                self._lines.append(line.decode(errors="replace").rstrip("\n"))
                self._arrived.notify_all()
        with self._arrived:
            self._ended = True
            self._arrived.notify_all()

    def lines(self):
        with self._arrived:
            return list(self._lines)

    def size(self):
        with self._arrived:
            return len(self._lines)

    def wait(self, pattern, after=0, timeout=PATIENCE):
        """The first line from number `after` on in which the pattern is found."""

        def found():
            return next((line for line in self._lines[after:] if re.search(pattern, line)), None)

        with self._arrived:
            if not self._arrived.wait_for(lambda: found() or self._ended, timeout) or not found():
                raise AssertionError(f"no log line with {pattern!r} after line {after} of:\n" + "\n".join(self._lines))
            return found()

    def wait_end(self, timeout=PATIENCE):
        with self._arrived:
            if not self._arrived.wait_for(lambda: self._ended, timeout):
                raise AssertionError("the log did not end")
        return self.lines()


class Kernel:
    """One kernel process on ports of its own."""

    def __init__(self, info=None, *, environment=None, home=None, directory=None, change_argv=lambda argv: argv):
        self.info = info if info is not None else connection()
        file = tempfile.NamedTemporaryFile("w", suffix=".json", prefix="connection-", delete=False)
        self.connection_file = file.name
        with file:
            file.write(self.info if isinstance(self.info, str) else json.dumps(self.info))
        spec = KernelSpecManager().get_kernel_spec(KERNEL_NAME)
        replacements = {"{connection_file}": self.connection_file, "{resource_dir}": spec.resource_dir}
        argv = [_replace(argument, replacements) for argument in spec.argv]
        self.environment = {**os.environ, **spec.env, "JPY_PARENT_PID": str(os.getpid()), **(environment or {})}
        if home is not None:
            self.environment["HOME"] = str(home)
        # A session of its own and no standard input, as jupyter_client's LocalProvisioner does it.
        self.process = subprocess.Popen(
            change_argv(argv),
            env=self.environment,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.pid = self.process.pid
        self.log = Log(self.process.stderr)
        self.output = Log(self.process.stdout)

    def alive(self):
        return self.process.poll() is None

    def kill(self):
        """Ends the kernel whatever it does. Its workers end by themselves; the tests of the lifecycle see to that."""
        if self.alive():
            self.process.kill()
        self.process.wait(PATIENCE)
        if os.path.exists(self.connection_file):
            os.unlink(self.connection_file)
        if isinstance(self.info, dict):
            let_go(self._ports())

    def _ports(self):
        # A test may have put anything in their place.
        ports = [self.info.get(f"{channel}_port") for channel in CHANNELS]
        return [port for port in ports if isinstance(port, int)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


def _replace(argument, replacements):
    for old, new in replacements.items():
        argument = argument.replace(old, new)
    return argument


def descendants(pid):
    """The process ids below a process, children before grandchildren."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            parent = _parent(int(name))
            if parent is not None:
                children.setdefault(parent, []).append(int(name))
    below, todo = [], [pid]
    while todo:
        found = children.get(todo.pop(0), [])
        below += found
        todo += found
    return below


def outside(kernel, inner):
    """The id that a process below a kernel has here, by the one that it has inside of its sandbox."""
    for pid in descendants(kernel):
        try:
            with open(f"/proc/{pid}/status") as file:
                if int(re.search(r"NSpid:.*\s(\d+)\n", file.read())[1]) == inner:
                    return pid
        except (FileNotFoundError, ProcessLookupError):
            continue  # It ended between the listing and the reading.
    raise AssertionError(f"no process below {kernel} is {inner} inside of a sandbox")


def _parent(pid):
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name, in parentheses, may hold anything; the state and the parent come after it.
            return int(file.read().rpartition(b")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None  # It ended between the listing and the reading.


def peak_memory(pid):
    """The largest resident size a process has had, in bytes."""
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(r"VmHWM:\s+(\d+) kB", file.read())[1]) * 1024


class Watch:
    """Notices the end of processes, which need not be children of this one."""

    def __init__(self, pids):
        self._descriptors = {}
        for pid in pids:
            try:
                self._descriptors[os.pidfd_open(pid)] = pid
            except ProcessLookupError:
                continue  # It is gone already, which is what is waited for.

    def survivors(self, seconds):
        """The processes that are still there after so many seconds; returns at once when there are none."""
        poll = select.poll()
        for descriptor in self._descriptors:
            poll.register(descriptor, select.POLLIN)
        deadline = time.monotonic() + seconds
        while self._descriptors:
            left = deadline - time.monotonic()
            ended = poll.poll(left * 1000) if left > 0 else []
            if not ended:
                break
            for descriptor, _ in ended:
                poll.unregister(descriptor)
                os.close(descriptor)
                del self._descriptors[descriptor]
        return sorted(self._descriptors.values())

    def kill(self):
        """Ends what is left, so that a failed test leaves nothing behind."""
        for descriptor in self._descriptors:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            os.close(descriptor)
        self._descriptors = {}
