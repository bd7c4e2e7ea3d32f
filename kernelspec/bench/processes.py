"""What Linux says of a kernel's processes: which they are, their memory, processor time and descriptors."""

import os
import select
import signal
import time

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_GONE = (FileNotFoundError, ProcessLookupError)


def tree(pid):
    """A process, all below it, and all of its session, as long as they are there."""
    children, sessions = {}, {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = _stat(int(name))
            if fields is not None:
                children.setdefault(int(fields[1]), []).append(int(name))
                sessions.setdefault(int(fields[3]), []).append(int(name))
    found, todo = [], [pid, *sessions.get(pid, [])]
    while todo:
        each = todo.pop()
        if each not in found:
            found.append(each)
            todo += children.get(each, [])
    return found


def pss_mib(pids):
    """The proportional set size: what several processes share is divided among them. A process whose memory may not
    be read is an error, for it must not count as none.
    """
    kib = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as file:
                kib += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
        except _GONE:
            continue  # it has ended
    return kib / 1024


def rss_mib(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def cpu_seconds(pids):
    """Of the processes and of those children of theirs that have ended and were waited for; to the 10 ms."""
    fields = [each for each in map(_stat, pids) if each is not None]
    return sum(int(number) for each in fields for number in each[11:15]) / _TICKS_PER_SECOND


def thread_cpu_seconds(pids):
    """Of the threads there are now; to the microsecond, which an idle process needs."""
    nanoseconds = 0
    for pid in pids:
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
                    nanoseconds += int(file.read().split()[0])
        except _GONE:
            continue  # it has ended
    return nanoseconds / 1e9


def descriptors(pids):
    count = 0
    for pid in pids:
        try:
            count += len(os.listdir(f"/proc/{pid}/fd"))
        except _GONE:
            continue  # it has ended
    return count


def _stat(pid):
    """The fields of /proc/PID/stat from the state on, or None when the process has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name, in parentheses, may hold anything.
            return file.read().rpartition(b")")[2].split()
    except _GONE:
        return None


class Watch:
    """Notices the end of processes, and ends those that are left."""

    def __init__(self, pids):
        self._descriptors = {}
        for pid in pids:
            try:
                self._descriptors[os.pidfd_open(pid)] = pid
            except ProcessLookupError:
                continue  # it has ended

    def survivors(self, seconds):
        """Those that are still there after so many seconds; returns at once when there are none."""
        poll = select.poll()
        for descriptor in self._descriptors:
            poll.register(descriptor, select.POLLIN)
        deadline = time.monotonic() + seconds
        while self._descriptors:
            ended = poll.poll(max(0, deadline - time.monotonic()) * 1000)
            if not ended:
                break
            for descriptor, _ in ended:
                poll.unregister(descriptor)
                os.close(descriptor)
                del self._descriptors[descriptor]
        return sorted(self._descriptors.values())

    def kill(self):
        for descriptor in self._descriptors:
            try:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it has ended meanwhile
            os.close(descriptor)
        self._descriptors = {}
