"""A worker that dies or talks nonsense costs its cell: the error names the cause, the front lives, the next runs."""

from kernels import Kernel, Watch, descendants, outside, peak_memory
from wire import Client, KernelCase

# Finds where the worker writes its frames, as code that means harm would: the pipes among the high descriptors.
FIND_PIPES = """
import fcntl, os, struct, time
def pipes():
    for descriptor in sorted(int(name) for name in os.listdir('/proc/self/fd')):
        try:
            target = os.readlink(f'/proc/self/fd/{descriptor}')
        except OSError:
            continue
        if descriptor >= 200 and target.startswith('pipe:'):
            if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY:
                yield descriptor
def tell(data):
    for descriptor in pipes():
        while data:
            data = data[os.write(descriptor, data):]
        return
    raise LookupError('no pipe to the kernel')
"""


class Crashes(KernelCase):
    def fails(self, code, cause, **options):
        """The cell's error names the cause and what became of the state; the front is the same process as before."""
        done = self.client.execute(code, **options)
        self.assertEqual("error", done.status)
        self.assertRegex(done.told(), cause)
        self.assertRegex(done.told(), "(?i)variables|state|fresh|lost")
        self.assertEqual(1, len(done.contents("error")))
        self.assertTrue(self.kernel.alive())
        self.assert_runs()
        return done

    def test_an_exit(self):
        self.fails("import os; os._exit(3)", r"\b3\b")

    def test_an_exit_without_an_error(self):
        self.fails("import os; os._exit(0)", r"(?i)exit\D+\b0\b")

    def test_output_before_the_end_is_shown(self):
        done = self.fails("import os\nprint('last words', flush=True)\nos._exit(3)", r"\b3\b")
        self.assertEqual("last words\n", done.text())

    def test_a_segmentation_fault(self):
        self.fails("import ctypes; ctypes.string_at(0)", "SIGSEGV")

    def test_a_kill(self):
        self.fails("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL")

    def test_an_abort(self):
        self.fails("import os; os.abort()", "SIGABRT")

    def test_closed_descriptors(self):
        self.fails("import os; os.closerange(0, 4096); input()", "(?i)clos|end|exit|descriptor|stopped")

    def test_closed_output_costs_no_worker(self):
        self.client.execute("import os; before = os.getpid(); os.close(1); os.close(2)")
        self.assert_runs()

    def test_garbage_in_the_frames(self):
        self.fails(FIND_PIPES + "tell(b'garbage ' * 10_000); time.sleep(60)", "(?i)protocol|frame")

    def test_a_little_garbage_in_the_frames(self):
        code = FIND_PIPES + "tell(struct.pack('>II', 6, 2) + b'{]'); time.sleep(60)"
        self.fails(code, "(?i)protocol|frame")

    def test_a_frame_of_two_gigabytes(self):
        code = FIND_PIPES + "tell(struct.pack('>II', 2**31, 20) + b'{' * 20); time.sleep(60)"
        self.fails(code, "(?i)2147483648|limit")

    def test_a_header_of_two_gigabytes(self):
        code = FIND_PIPES + "tell(struct.pack('>II', 2**31 + 4, 2**31)); time.sleep(60)"
        self.fails(code, "2147483652|(?i:limit)")

    def test_json_a_million_deep(self):
        header = """header = b'{"emit":"stream","x":' + b'[' * 1_000_000 + b']' * 1_000_000 + b'}'\n"""
        code = FIND_PIPES + header + "tell(struct.pack('>II', len(header) + 4, len(header)) + header); time.sleep(60)"
        self.fails(code, "(?i)deep|depth|nest|limit")

    def test_frames_that_are_none(self):
        for header in (
            '{"emit":"no such kind","id":"1"}',
            '{"signal":"no such kind"}',
            '{"open":"input","id":"x"}',
            '{"open":"execute","id":"x"}',
            '{"emit":"stream","id":5,"name":"stdout","buffers":[1]}',
            '{"emit":"stream","id":"x","name":"stdout","buffers":[-1]}',
            '{"emit":"stream","id":"x","name":"stdout","buffers":[1000000]}',
            '{"resolve":"x","reject":"x"}',
            '{"a":NaN}',
            '{"a":1}',
            "{}",
            "[]",
            "",
        ):
            with self.subTest(header=header):
                self.fails(FIND_PIPES + self.telling(header) + "; time.sleep(60)", "(?i)protocol|frame")

    def test_frames_that_lie(self):
        """Well-formed, but of no promise that is open, or out of turn: the cell may fail for it, and nothing else."""
        for header in (
            '{"resolve":"no such promise"}',
            '{"reject":"no such promise","ename":"E","evalue":"v","traceback":[]}',
            '{"emit":"clear_output","id":"no such promise","wait":false}',
            '{"signal":"ready"}',
            '{"signal":"hello","protocol":1,"encoding":"json","pid":1,"language":{"name":"python","version":"3"}}',
            '{"open":"input","id":"x","execution":"no such promise","prompt":"?","password":false}',
        ):
            with self.subTest(header=header):
                done = self.client.execute(FIND_PIPES + self.telling(header))
                if done.status == "error":
                    self.assertRegex(done.told(), "(?i)protocol|frame")
                self.assertTrue(self.kernel.alive())
                # The lie may be met only now, when the cell has ended.
                self.client.execute("1")
                self.assert_runs()

    def telling(self, header):
        return f"header = {header.encode()!r}\ntell(struct.pack('>II', len(header) + 4, len(header)) + header)"

    def test_endless_frames(self):
        code = (
            "header = b'{\"emit\":\"stream\",\"id\":\"nobody\",\"name\":\"stdout\",\"buffers\":[1]}'\n"
            "frame = struct.pack('>II', len(header) + 5, len(header)) + header + b'x'\n"
            "while True: tell(frame * 1000)"
        )
        # Nobody is subscribed: what this is about is how much the kernel reads, not how much a client can.
        with Kernel() as kernel, Client(kernel.info, subscribed=False) as client:
            running = client.start(FIND_PIPES + code)
            client.wait(lambda: running in client.replies, "the reply", 60)
            self.assertRegex(client.replies[running]["content"]["evalue"], "(?i)protocol|frame")
            self.assertLess(peak_memory(kernel.pid), 1 << 30)
            client.subscribe()
            self.assertEqual("42", client.execute("6 * 7").result())

    def test_a_death_between_two_cells(self):
        self.assert_ok(self.client.execute("import os; worker = os.getpid(); worker"))
        worker = int(self.client.execute("worker").result())
        watch = Watch([outside(self.kernel.pid, worker)])
        done = self.client.execute("import threading; threading.Timer(0.1, os._exit, [7]).start()")
        self.assertEqual("ok", done.status)
        self.assertEqual([], watch.survivors(10))
        # The first cell after it may be told; it must not hang, and the one after it runs.
        self.client.execute("1")
        self.assert_runs()

    def test_a_death_while_a_question_is_open(self):
        running = self.client.start("import os, threading\nprint(os.getpid())\ninput('? ')", allow_stdin=True)
        request = self.client.next_input_request()
        self.client.wait_text(running, "\n")
        worker = int(self.client.published[running][-1]["content"]["text"])
        Watch([outside(self.kernel.pid, worker)]).kill()
        done = self.client.finish(running)
        self.assertRegex(done.told(), "SIGKILL")
        self.send_stale_answer("late", parent=request)
        self.assert_runs()
        self.assertEqual("'fresh'", self.client.execute("input()", answers=["fresh"]).result())

    def test_a_death_during_a_completion(self):
        self.client.execute(
            "import os\nclass Trap:\n    def __dir__(self): os._exit(5)\n    def __getattr__(self, name): os._exit(5)\n"
            "trap = Trap()"
        )
        self.client.request("complete_request", {"code": "trap.", "cursor_pos": 5})
        self.assert_runs()

    def test_what_is_queued_behind_a_crash_is_aborted_or_runs(self):
        failing = self.client.start("import os; input(); os._exit(3)", allow_stdin=True)
        queued = self.client.start("'queued'")
        self.client.answer("")
        self.assertEqual("error", self.client.finish(failing).status)
        self.assertEqual("aborted", self.client.finish(queued).status)
        self.assert_runs()

    def test_nothing_is_left_of_the_workers_that_crashed(self):
        self.assert_runs()
        before, _ = self.processes()
        for _ in range(5):
            self.fails("import os, subprocess\nsubprocess.Popen(['sleep', '1000'])\nos._exit(3)", r"\b3\b")
        after, workers = self.processes()
        self.assertEqual(before, after)
        self.assertLess(workers, 24, "a supervisor, a live process, and at most 16 snapshots, some just being made")

    def processes(self):
        """Programs that run below the kernel, but for the worker's, and how many processes that has: the number of its
        snapshots changes at any time.
        """
        programs = []
        for pid in descendants(self.kernel.pid):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    words = file.read()
            except OSError:
                continue  # it has just ended
            if words:  # else it has ended, too, and is about to be waited for
                programs.append(words.split(b"\0"))
        others = [each for each in programs if b"bwrap" in each[0] or not any(b"capsule_worker" in one for one in each)]
        return sorted(each[0] for each in others), len(programs) - len(others)
