"""Much of everything: lines, bytes, code, cells, and clients that do not read."""

import hashlib
import re
import time

from kernels import peak_memory
from wire import Client, KernelCase

# Seconds for what takes a few on a quiet machine.
LONG = 100
GIBIBYTE = 1 << 30

NOTE = re.compile(r"(\d[\d,]*) lines? dropped")


class Floods(KernelCase):
    environment = None

    def setUp(self):
        super().setUp()
        self.client.validating = False

    def tearDown(self):
        # Nothing of a flood is of use to the next test.
        if self.client is not None:
            self.client.everything.clear()
            self.client.published.clear()
            self.client.validating = True

    def test_a_client_that_stalls_gets_every_line_or_is_told_and_always_idle(self):
        lines, width = 20_000, 2048
        code = (
            "import time\nend = time.monotonic() + 4\n"
            f"for i in range({lines}):\n"
            f"    print(str(i).ljust({width - 1}, '.'), flush=True)\n"
            "time.sleep(max(0, end - time.monotonic()))"
        )
        running = self.client.start(code)
        # The cell takes at least 4 s, and not before its reply does this client read anything that is published.
        self.client.poller.unregister(self.client.iopub)
        self.client.wait(lambda: running in self.client.replies, "the reply", LONG)
        self.client.poller.register(self.client.iopub, 1)
        text = self.client.finish(running, timeout=LONG).text()
        got = [int(number) for number in re.findall(r"^(\d+)\.+$", text, re.MULTILINE)]
        dropped = sum(int(number.replace(",", "")) for number in NOTE.findall(text))
        self.assertEqual(sorted(set(got)), got, "lines out of order or twice")
        self.assertEqual(lines, len(got) + dropped)
        self.assert_runs()

    def test_a_client_that_never_reads_slows_nobody_and_costs_bounded_memory(self):
        code = "line = 'x' * 999_999\nfor _ in range({}): print(line)"

        def seconds(megabytes):
            start = time.monotonic()
            done = self.assert_ok(self.client.execute(code.format(megabytes), timeout=LONG))
            self.assertEqual(megabytes * 1_000_000, sum(len(c["text"]) for c in done.contents("stream")))
            self.client.everything.clear()
            self.client.published.clear()
            return time.monotonic() - start

        seconds(50)
        alone = seconds(100)
        deaf = Client(self.kernel.info, subscribed=False, receive_limit=1)
        self.addCleanup(deaf.close)
        deaf.iopub.setsockopt(9, 4096)  # ZMQ_RCVBUF: what the system would read for it is not the kernel's to keep
        deaf.subscribe()
        accompanied = seconds(100)
        self.assertLess(accompanied, 3 * alone + 1)
        for _ in range(5):
            seconds(100)
        self.assertLess(peak_memory(self.kernel.pid), GIBIBYTE)
        # When it reads at last, the end of the cell is there.
        last = self.client.execute("'last'").request
        deaf.validating = False
        deaf.wait(lambda: last in deaf._idle, "idle of the last cell", LONG)

    def test_as_much_code_as_is_taken(self):
        characters = (64 << 20) - 1000
        code = f"text = '{'x' * characters}'; len(text)"
        done = self.assert_ok(self.client.execute(code, timeout=LONG))
        self.assertEqual(str(characters), done.result())
        self.assertEqual(code, done.contents("execute_input")[0]["code"])

    def test_a_hundred_megabytes_of_output_arrive_whole(self):
        code = "import sys\nfor i in range(1_600_000): sys.stdout.write(f'{i:062d}é\\n')"
        done = self.assert_ok(self.client.execute(code, timeout=LONG))
        expected = hashlib.sha256()
        for i in range(1_600_000):
            expected.update(f"{i:062d}é\n".encode())
        self.assertEqual(expected.hexdigest(), hashlib.sha256(done.text().encode()).hexdigest())

    def test_a_hundred_megabytes_in_one_write_arrive_whole(self):
        done = self.assert_ok(self.client.execute("import os; print('y' * 100_000_000)", timeout=LONG))
        expected = hashlib.sha256(b"y" * 100_000_000 + b"\n")
        self.assertEqual(expected.hexdigest(), hashlib.sha256(done.text().encode()).hexdigest())

    def test_a_large_result_arrives_whole(self):
        done = self.assert_ok(self.client.execute("b'z' * 20_000_000", timeout=LONG))
        self.assertEqual("b'" + "z" * 20_000_000 + "'", done.result())

    def test_a_thousand_queued_cells(self):
        count = self.client.execute("None").content["execution_count"]
        requests = [self.client.start(f"print({index}); -{index}") for index in range(1000)]
        for index, request in enumerate(requests):
            done = self.assert_ok(self.client.finish(request, timeout=LONG))
            self.assertEqual(
                (f"{index}\n", f"{-index}", count + index + 1),
                (done.text(), done.result(), done.content["execution_count"]),
            )

    def test_many_displays(self):
        code = "from capsule_worker import display\nfor i in range(5000): display(i)"
        done = self.assert_ok(self.client.execute(code, timeout=LONG))
        shown = [content["data"]["text/plain"] for content in done.contents("display_data")]
        self.assertEqual([str(i) for i in range(5000)], shown)
