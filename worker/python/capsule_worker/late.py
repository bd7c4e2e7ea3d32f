"""Text in frames: of threads and tasks that outlive their cell, and of subshells (worker/PROTOCOL.md, section 4)."""

from _thread import RLock
from collections import deque
from time import monotonic

from .executions import OutputLimit

# After so many frames within this time, what is written goes into one at its end, unless there is too much of it. Who says
# some lines and then ends the process, loses none. For ever, the kernel allows more (worker/PROTOCOL.md, section 2).
_MAX_BURST = 20
_PAUSE_SECONDS = 0.025
_MAX_HELD_BYTES = 32 << 10
# Of text in one frame; and in one that the control thread sends, with its header less than a page.
_MAX_FRAME_BYTES = 16 << 20
_MAX_OFFERED_BYTES = 3 << 10


class LateText:
    """Holds text for the blink of an eye, so that many lines are few frames. Any thread.

    A line leaves at once if not many have just left. Else it waits for a write that is due, or for the control thread, which
    has to be there for interrupts, and so never waits here.
    """

    def __init__(self, connection):
        self._connection = connection
        # Called when the control thread is to look at `seconds_left`.
        self.wake = None
        # (name of the stream, execution, bytes). Who writes does not wait for who sends.
        self._held = deque()
        self._held_bytes = 0
        # Held from when text is taken until it is sent, so that none overtakes it.
        self._sending = RLock()
        self._is_sending = False
        # When the next frame may be sent, and whether the control thread is to do it.
        self._due = 0
        # How many frames came within this pause, and when it is over; and how many the last sending took.
        self._burst = 0
        self._burst_over = 0
        self._sent = 0
        self._armed = False

    def add(self, name, execution, text):
        """Raises OutputLimit."""
        data = text.encode("utf-8", "backslashreplace")
        refusal = None
        with self._connection.shield:
            self._held.append((name, execution, data))
            self._held_bytes += len(data)
            if "\n" in text or self._is_much():
                refusal = self.hasten()
        if refusal is not None:
            raise refusal

    def hasten(self):
        """Sends what is held as soon as a frame is due. Returns the error of text that is over a limit, and is dropped."""
        if not self._held:
            return None
        if monotonic() >= self._due or self._is_much():
            return self.send()
        self._arm()
        return None

    def _is_much(self):
        # Of many executions, each of which has its frames.
        return self._held_bytes > min(_MAX_HELD_BYTES * max(1, self._sent), _MAX_FRAME_BYTES)

    def _arm(self):
        if not self._armed:
            self._armed = True
            self.wake()

    def send(self):
        """Sends what is held now: before what must not overtake it. Returns as `hasten` does."""
        # In this order: what is taken is being sent.
        if not self._held and not self._is_sending:
            return None
        if self._connection.writes_here:
            # Another thread may have the lock, and wait for the end of that write.
            self._arm()
            return None
        with self._connection.shield, self._sending:
            return self._send(True)

    # Control thread

    def seconds_left(self):
        """How long what is held may still be. None if nobody waits for it."""
        return max(0, self._due - monotonic()) if self._armed else None

    def offer(self):
        """Sends what is due, as far as it need not wait for anybody."""
        if monotonic() < self._due or not (self._held or self._armed):
            return
        if self._sending.acquire(False):
            try:
                self._send(False)
            finally:
                self._sending.release()
        else:
            self._due = monotonic() + _PAUSE_SECONDS

    # With the lock

    def _send(self, waits):
        # It may be a finalizer's, within another.
        before, self._is_sending = self._is_sending, True
        # Before the look at what there is: who adds to it later arms again.
        self._armed = False
        taken = self._take()
        some = bool(taken)
        try:
            return self._send_all(taken, waits)
        finally:
            if taken:
                self._held.extendleft(reversed(taken))
                self._held_bytes += sum(len(data) for *_, data in taken)
                self._armed = True
            if some:
                self._due = self._next_due(bool(taken))
            self._is_sending = before

    def _next_due(self, is_left):
        now = monotonic()
        if now >= self._burst_over:
            self._burst, self._burst_over = 0, now + _PAUSE_SECONDS
        self._burst += self._sent
        if self._burst < _MAX_BURST and not is_left:
            return now
        return now + _PAUSE_SECONDS * max(1, self._burst / _MAX_BURST)

    def _take(self):
        """What is held, as one piece for each stream of an execution."""
        self._held_bytes = 0
        joined = {}
        for _ in range(len(self._held)):
            name, execution, data = self._held.popleft()
            joined.setdefault((name, execution), []).append(data)
        return deque((name, execution, b"".join(parts)) for (name, execution), parts in joined.items())

    def _send_all(self, taken, waits):
        """Leaves in `taken` what could not be sent."""
        refusal = None
        self._sent = 0
        size = min(_MAX_FRAME_BYTES if waits else _MAX_OFFERED_BYTES, self._connection.buffers_limit)
        while taken:
            name, execution, data = taken.popleft()
            data, rest = _cut(data, size)
            frame = self._connection.encode({"emit": "stream", "id": execution.id, "name": name}, [data])
            sent = sum(map(len, frame))
            try:
                execution.check(sent)
            except OutputLimit as error:
                refusal = error
                continue
            if rest:
                taken.appendleft((name, execution, rest))
            if waits:
                self._connection.write(frame)
            elif not self._connection.offer(frame):
                taken.appendleft((name, execution, data))
                break
            execution.charge(sent)
            self._sent += 1
        return refusal

    def forget(self):
        """In a forked child: what is held is the parent's."""
        self._held.clear()
        self._sending = RLock()
        self._is_sending = False


def _cut(data, size):
    """The first `size` bytes of UTF-8, or less where they end within a character, and the rest."""
    if len(data) <= size:
        return data, b""
    while data[size] & 0xC0 == 0x80:
        size -= 1
    return data[:size], data[size:]
