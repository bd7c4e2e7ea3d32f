"""What the messaging protocol says, and front ends rely on, beyond the public suite."""

import json
import os
import re
import resource
import signal
import statistics
import tempfile
import time
import unittest
from pathlib import Path

import zmq
from kernels import PATIENCE, Kernel, Watch, descendants
from wire import Client, KernelCase

FAILS_ON_ANSWER = "input('go? '); 1/0"


class Errors(KernelCase):
    """`stop_on_error`: what is queued behind a cell that fails is aborted, and nothing else."""

    def queue_behind(self, first, **options):
        """Queues requests behind a cell that waits for input, then lets that cell go on."""
        count = self.assert_ok(self.client.execute("None")).content["execution_count"]
        failing = self.client.start(first, allow_stdin=True, **options)
        one = self.client.start("print('one')")
        asked = self.client.send("complete_request", {"code": "zi", "cursor_pos": 2})
        two = self.client.start("print('two')")
        self.client.answer("go")
        return count, *(self.client.finish(each) for each in (failing, one, asked, two))

    def test_executions_queued_behind_an_error_are_aborted(self):
        count, failed, one, asked, two = self.queue_behind(FAILS_ON_ANSWER)
        self.assertEqual(("error", "ZeroDivisionError"), (failed.status, failed.content["ename"]))
        self.assertEqual(count + 1, failed.content["execution_count"])
        for aborted in (one, two):
            self.assertEqual("aborted", aborted.status)
            self.assertEqual([], aborted.types())
        self.assertEqual(["zip"], self.assert_ok(asked).content["matches"])
        self.assertEqual(count + 2, self.client.execute("None").content["execution_count"])

    def test_an_execution_sent_after_the_error_was_seen_runs(self):
        for _ in range(20):
            failing = self.client.start("1/0")
            self.client.wait(lambda: failing in self.client.replies, "the error's reply")
            self.assertEqual("3", self.assert_ok(self.client.execute("1 + 2")).result())
            self.client.finish(failing)

    def test_without_stop_on_error_the_queue_goes_on(self):
        _, failed, one, _, two = self.queue_behind(FAILS_ON_ANSWER, stop_on_error=False)
        self.assertEqual("error", failed.status)
        self.assertEqual(("one\n", "two\n"), (self.assert_ok(one).text(), self.assert_ok(two).text()))

    def test_an_interrupt_aborts_the_queue(self):
        running = self.client.start("print('in the loop', flush=True)\nwhile True: pass")
        queued = self.client.start("print('queued')")
        self.client.wait_text(running, "in the loop")
        self.assert_ok(self.client.request("interrupt_request", channel="control"))
        self.assertEqual("KeyboardInterrupt", self.client.finish(running).content["ename"])
        self.assertEqual("aborted", self.client.finish(queued).status)
        self.assert_runs()

    def test_an_error_is_told_once_and_alike_in_reply_and_output(self):
        failed = self.client.execute("def f():\n    raise KeyError('é😀')\nf()")
        self.assertEqual(["execute_input", "error"], failed.types())
        told = failed.contents("error")[0]
        for key in ("ename", "evalue", "traceback"):
            self.assertEqual(failed.content[key], told[key])
        self.assertEqual(("KeyError", "'é😀'"), (told["ename"], told["evalue"]))
        self.assertIn("raise KeyError('é😀')", re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(told["traceback"])))
        self.assertEqual({}, failed.content.get("user_expressions", {}))

    def test_a_syntax_error_names_its_line(self):
        failed = self.client.execute("x = 1\ny = = 2")
        self.assertEqual("SyntaxError", failed.content["ename"])
        self.assertIn("y = = 2", re.sub(r"\x1b\[[0-9;]*m", "", failed.told()))


class SilentAndHistory(KernelCase):
    def setUp(self):
        super().setUp()
        self.count = self.assert_ok(self.client.execute("'before'")).content["execution_count"]

    def last_input(self):
        content = {"output": False, "raw": True, "hist_access_type": "tail", "n": 1}
        return self.client.request("history_request", content).content["history"][0][2]

    def assert_next_count(self, expected):
        self.assertEqual(expected, self.client.execute("None").content["execution_count"])

    def test_a_stored_cell_counts_is_shown_and_remembered(self):
        done = self.assert_ok(self.client.execute("print('text'); 'stored'"))
        self.assertEqual(["execute_input", "stream", "execute_result"], done.types())
        self.assertEqual(self.count + 1, done.content["execution_count"])
        self.assertEqual(
            [{"code": "print('text'); 'stored'", "execution_count": self.count + 1}], done.contents("execute_input")
        )
        self.assertEqual(self.count + 1, done.contents("execute_result")[0]["execution_count"])
        self.assertEqual("print('text'); 'stored'", self.last_input())

    def test_a_silent_cell_shows_no_input_and_no_result_and_does_not_count(self):
        for store in (False, True):
            with self.subTest(store_history=store):
                code = "silently = 'done'; silently"
                done = self.assert_ok(self.client.execute(code, silent=True, store_history=store))
                self.assertEqual([], [kind for kind in done.types() if kind.startswith("execute_")])
                self.assertEqual("'before'", self.last_input())
        self.assertEqual("'done'", self.client.execute("silently", store_history=False).result())
        self.assert_next_count(self.count + 1)

    def test_an_error_in_a_silent_cell_aborts_nothing(self):
        failing = self.client.start(FAILS_ON_ANSWER, silent=True, allow_stdin=True)
        queued = self.client.start("'queued'")
        self.client.answer("go")
        self.assertEqual("error", self.client.finish(failing).status)
        self.assertEqual("'queued'", self.assert_ok(self.client.finish(queued)).result())

    def test_a_cell_that_is_not_stored_shows_its_result_and_does_not_count(self):
        done = self.assert_ok(self.client.execute("'unstored'", store_history=False))
        self.assertEqual("'unstored'", done.result())
        self.assertEqual("'before'", self.last_input())
        self.assert_next_count(self.count + 1)

    def test_expressions_are_evaluated_after_the_cell_each_for_itself(self):
        expressions = {"good": "made + 1", "bad": "1/0", "broken": "1 +", "text": "'é😀'"}
        done = self.assert_ok(self.client.execute("made = 41", user_expressions=expressions))
        values = done.content["user_expressions"]
        self.assertEqual(set(expressions), set(values))
        self.assertEqual(("ok", "42"), (values["good"]["status"], values["good"]["data"]["text/plain"]))
        self.assertEqual({}, values["good"]["metadata"])
        self.assertEqual(("error", "ZeroDivisionError"), (values["bad"]["status"], values["bad"]["ename"]))
        self.assertEqual(["ename", "evalue", "status", "traceback"], sorted(values["bad"]))
        self.assertEqual(("error", "SyntaxError"), (values["broken"]["status"], values["broken"]["ename"]))
        self.assertEqual("'é😀'", values["text"]["data"]["text/plain"])

    def test_expressions_of_a_silent_cell_are_evaluated(self):
        done = self.assert_ok(self.client.execute("quiet = 5", silent=True, user_expressions={"q": "quiet"}))
        self.assertEqual("5", done.content["user_expressions"]["q"]["data"]["text/plain"])


class Cursors(KernelCase):
    """Positions count code points; each of these characters is two units of UTF-16 and four bytes of UTF-8."""

    WIDE = "'😀𝒳😀𝒳'; "

    def completed(self, code, cursor):
        content = {"code": code, "cursor_pos": cursor}
        reply = self.assert_ok(self.client.request("complete_request", content)).content
        return reply["matches"], reply["cursor_start"], reply["cursor_end"]

    def test_completion_after_astral_characters(self):
        code = self.WIDE + "zi"
        self.assertEqual((["zip"], len(self.WIDE), len(code)), self.completed(code + " + 1", len(code)))

    def test_inspection_after_astral_characters(self):
        code = self.WIDE + "len"
        content = {"code": code + "; abs", "cursor_pos": len(code), "detail_level": 0}
        found = self.assert_ok(self.client.request("inspect_request", content)).content
        self.assertTrue(found["found"])
        self.assertIn("number of items", found["data"]["text/plain"])

    def test_completion_of_an_astral_name(self):
        self.assert_ok(self.client.execute("𐊠𐊡𐊢_long = 1"))
        self.assertEqual((["𐊠𐊡𐊢_long"], 4, 6), self.completed("1 + 𐊠𐊡", 6))

    def test_completion_of_live_attributes(self):
        self.assert_ok(self.client.execute("class Thing: pass\nthing = Thing(); thing.attribute = 1"))
        matches, start, end = self.completed("thing.attr", 10)
        self.assertEqual(10, end)
        self.assertEqual({"thing.attribute"}, {"thing.attr"[:start] + match for match in matches})

    def test_nothing_to_inspect(self):
        content = {"code": "no_such_name", "cursor_pos": 5, "detail_level": 0}
        found = self.assert_ok(self.client.request("inspect_request", content)).content
        self.assertEqual((False, {}, {}), (found["found"], found["data"], found["metadata"]))

    def test_positions_outside_the_code_are_answered(self):
        for position in (-1, 99):
            with self.subTest(position=position):
                self.client.request("complete_request", {"code": "zi", "cursor_pos": position})
                self.client.request("inspect_request", {"code": "zip", "cursor_pos": position, "detail_level": 0})
        self.assert_runs()

    def test_incomplete_code_is_to_be_indented(self):
        self.assert_runs()
        content = self.client.request("is_complete_request", {"code": "for i in x:"}).content
        self.assertEqual({"status": "incomplete", "indent": "    "}, content)

    def test_who_asks_whether_code_is_complete_waits_no_longer_than_consoles_do(self):
        """Where a worker began late, jupyter console, which gives up after one second, never asked again, and stumbled over
        the answer that came after all."""
        self.assert_runs()
        workers = descendants(self.kernel.pid)
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        try:
            asked = self.client.request("is_complete_request", {"code": "for i in x:"}, timeout=5)
            self.assertEqual({"status": "unknown"}, asked.content)
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)
        content = self.client.request("is_complete_request", {"code": "for i in x:"}).content
        self.assertEqual("incomplete", content["status"])


class Input(KernelCase):
    def test_input_is_asked_of_its_client_and_answered(self):
        running = self.client.start("name = input('who? '); name.upper()", allow_stdin=True)
        request = self.client.answer("é😀")
        self.assertEqual({"prompt": "who? ", "password": False}, request["content"])
        self.assertEqual(running, request["parent_header"]["msg_id"])
        self.assertEqual("'É😀'", self.client.finish(running).result())

    def test_a_password_is_asked_as_one(self):
        running = self.client.start("import getpass; len(getpass.getpass('secret: '))", allow_stdin=True)
        request = self.client.answer("12345")
        self.assertEqual({"prompt": "secret: ", "password": True}, request["content"])
        done = self.client.finish(running)
        self.assertEqual(("5", ""), (done.result(), done.text() + done.text("stderr")))

    def test_output_before_the_question_arrives_before_it_is_answered(self):
        running = self.client.start("print('first', end=''); input('then? ')", allow_stdin=True)
        request = self.client.next_input_request()
        self.client.wait_text(running, "first")
        self.client.send("input_reply", {"value": ""}, channel="stdin", parent=request)
        self.assert_ok(self.client.finish(running))

    def test_without_stdin_the_question_fails_at_once(self):
        for code in ("input('who? ')", "import getpass; getpass.getpass()"):
            with self.subTest(code=code):
                failed = self.client.execute(code, allow_stdin=False)
                self.assertEqual("StdinNotImplementedError", failed.content["ename"])
                self.assertIn("input", failed.content["evalue"])
        self.assertEqual([], list(self.client.input_requests))

    def test_a_stale_answer_is_not_taken_for_a_fresh_one(self):
        self.send_stale_answer("stale")
        self.assertEqual("'fresh'", self.client.execute("input()", answers=["fresh"]).result())

    def test_end_of_file_raises_as_in_a_terminal(self):
        failed = self.client.execute("input()", answers=["\x04"])
        self.assertEqual("EOFError", failed.content["ename"])

    def test_only_the_client_that_runs_the_cell_is_asked(self):
        other = self.another_client()
        running = other.start("input('other? ')", allow_stdin=True)
        request = other.answer("mine")
        self.assertEqual(running, request["parent_header"]["msg_id"])
        self.assertEqual("'mine'", other.finish(running).result())
        self.assert_runs()
        self.assertEqual([], list(self.client.input_requests))

    def test_an_answer_that_is_too_long_is_an_error_in_the_cell(self):
        """It went into a frame that the worker takes for a breach of the protocol, and ended it."""
        before = self.assert_ok(self.client.execute("import os; os.getpid()")).result()
        failed = self.client.execute("input()", answers=["x" * 5_000_000])
        self.assertRegex(failed.content["evalue"], "too long .* over the limit of 4,194,304")
        self.assert_runs("os.getpid()", before)
        self.assertEqual("4000000", self.client.execute("len(input())", answers=["x" * 4_000_000]).result())

    def test_questions_that_nobody_can_be_asked_beside_commands(self):
        """Refusing one, and settling a command, each took a lock that the other held: the kernel stood still."""
        deaf = self.another_client()
        subshell = deaf.request("create_subshell_request", channel="control").content["subshell_id"]
        deaf.poller.unregister(deaf.stdin)
        deaf.stdin.close()
        asks = "try: input()\nexcept Exception as e: print(type(e).__name__)"
        self.client.wait(
            lambda: "StdinNotImplementedError" in deaf.execute(asks, subshell=subshell, allow_stdin=True).text(),
            "stdin to be gone",
        )
        for _ in range(10):
            cells = [deaf.start(asks, subshell=subshell, allow_stdin=True) for _ in range(100)]
            commands = [self.client.start("%goto 999", stop_on_error=False) for _ in range(100)]
            for each in commands:
                self.assertEqual("SnapshotError", self.client.finish(each).content["ename"])
            for each in cells:
                self.assertEqual("StdinNotImplementedError\n", deaf.finish(each).text())
        deaf.request("delete_subshell_request", {"subshell_id": subshell}, channel="control")

    def test_several_questions_of_one_cell(self):
        code = "print([input(str(i)) for i in range(20)])"
        answers = [f"answer {i}" for i in range(20)]
        self.assertEqual(f"{answers}\n", self.client.execute(code, answers=answers).text())


class Parents(KernelCase):
    def test_interleaved_requests_of_two_clients_get_their_own_parents(self):
        one, two = self.another_client(), self.another_client()
        expected = {}
        for index in range(200):
            for name, client in (("one", one), ("two", two)):
                expected[client.start(f"print('{name} {index}'); {index}")] = (client, f"{name} {index}\n", str(index))
                if index % 10 == 0:
                    asked = client.send("complete_request", {"code": "zi", "cursor_pos": 2})
                    expected[asked] = (client, "", None)
        for request, (client, text, result) in expected.items():
            done = self.assert_ok(client.finish(request, timeout=60))
            self.assertEqual((text, result), (done.text(), done.result()))
        for client in (one, two):
            # A reply that went to the other client would be one that nobody asked for.
            self.assertLessEqual(set(client.replies), set(client.requests))
            owners = {messages[0]["parent_header"]["session"] for messages in client.published.values()}
            self.assertLessEqual(owners, {one.session.session, two.session.session})

    def test_control_requests_during_a_cell_change_no_parent(self):
        code = "print('before', flush=True); input('go? '); print('after'); 'result'"
        running = self.client.start(code, allow_stdin=True)
        request = self.client.next_input_request()
        other = self.another_client()
        for client in (self.client, other):
            for _ in range(3):
                self.assert_ok(client.request("kernel_info_request", channel="control"))
        self.client.send("input_reply", {"value": ""}, channel="stdin", parent=request)
        done = self.assert_ok(self.client.finish(running))
        self.assertEqual(("before\nafter\n", "'result'"), (done.text(), done.result()))

    def test_an_interrupt_of_nothing_interrupts_nothing(self):
        for _ in range(5):
            self.assert_ok(self.client.request("interrupt_request", channel="control"))
            self.assert_runs()

    def test_late_output_of_a_thread_keeps_its_cells_parent(self):
        first = self.client.start(
            "import threading\n"
            "go = threading.Event()\n"
            "def later():\n"
            "    go.wait()\n"
            "    print('from the thread', flush=True)\n"
            "thread = threading.Thread(target=later); thread.start()\n"
            "print('started')"
        )
        self.assertEqual("started\n", self.client.finish(first).text())
        second = self.assert_ok(self.client.execute("go.set(); thread.join(); print('second')"))
        self.client.wait_text(first, "from the thread\n")
        self.assertEqual("second\n", second.text())

    def test_late_output_of_a_task_keeps_its_cells_parent(self):
        first = self.client.start(
            "import asyncio\n"
            "gate = asyncio.Event()\n"
            "async def later():\n"
            "    await gate.wait()\n"
            "    print('from the task', flush=True)\n"
            "task = asyncio.create_task(later())\n"
            "await asyncio.sleep(0)"
        )
        self.client.finish(first)
        second = self.assert_ok(self.client.execute("gate.set(); await task; print('second')"))
        self.client.wait_text(first, "from the task\n")
        self.assertEqual("second\n", second.text())

    def test_output_of_a_thread_between_cells_arrives_without_another_cell(self):
        first = self.client.start(
            "import threading\nthreading.Timer(0.2, lambda: print('between cells', flush=True)).start()"
        )
        self.client.finish(first)
        self.client.wait_text(first, "between cells\n")

    def test_a_session_has_one_id_and_two_kernels_have_two(self):
        sessions = {message["header"]["session"] for message in self.client.everything}
        self.assertEqual(1, len(sessions))
        with Kernel() as other, Client(other.info) as client:
            client.execute("1")
            self.assertEqual(1, len({message["header"]["session"] for message in client.everything} - sessions))


class Output(KernelCase):
    def setUp(self):
        super().setUp()
        self.assert_ok(self.client.execute("from capsule_worker import clear_output, display, update_display"))

    def test_a_display_and_its_update_share_their_id(self):
        done = self.assert_ok(self.client.execute("handle = display('one', display_id='the id')"))
        shown = done.contents("display_data")
        self.assertEqual([{"display_id": "the id"}], [content["transient"] for content in shown])
        self.assertEqual("'one'", shown[0]["data"]["text/plain"])
        done = self.assert_ok(self.client.execute("update_display('two', display_id='the id')"))
        self.assertEqual(["execute_input", "update_display_data"], done.types())
        updated = done.contents("update_display_data")[0]
        self.assertEqual(({"display_id": "the id"}, "'two'"), (updated["transient"], updated["data"]["text/plain"]))

    def test_a_handle_updates_its_display(self):
        done = self.assert_ok(self.client.execute("handle = display('one', display_id=True)\nhandle.update('two')"))
        shown, updated = done.contents("display_data")[0], done.contents("update_display_data")[0]
        self.assertTrue(shown["transient"]["display_id"])
        self.assertEqual(shown["transient"], updated["transient"])

    def test_output_is_cleared_in_its_place(self):
        done = self.assert_ok(
            self.client.execute("print('a')\nclear_output()\nprint('b')\nclear_output(wait=True)\nprint('c')")
        )
        self.assertEqual(
            ["execute_input", "stream", "clear_output", "stream", "clear_output", "stream"], done.types()
        )
        self.assertEqual([{"wait": False}, {"wait": True}], done.contents("clear_output"))

    def test_prints_and_displays_keep_their_order(self):
        done = self.assert_ok(self.client.execute("for i in range(50):\n    print(i)\n    display(i)"))
        seen = [
            int(content.get("text") or content["data"]["text/plain"])
            for content in (message["content"] for message in done.published)
            if "text" in content or "data" in content
        ]
        self.assertEqual([i for i in range(50) for _ in range(2)], seen)

    def test_c_level_and_subprocess_output_is_captured_in_order(self):
        done = self.assert_ok(
            self.client.execute(
                "import os, subprocess\n"
                "print('python')\n"
                "subprocess.run(['echo', 'subprocess'])\n"
                "os.write(1, b'descriptor\\n')\n"
                "print('python again')\n"
                "os.write(2, b'error\\n')"
            )
        )
        # In a cell that does not flush, Python's own output may come when the cell ends, as in a file.
        self.assertEqual(["descriptor", "python", "python again", "subprocess"], sorted(done.text().split("\n")[:-1]))
        self.assertEqual("error\n", done.text("stderr"))

    def test_text_in_pieces_of_characters_stays_whole(self):
        code = (
            "import sys\nfor byte in '𝒳é'.encode() * 1000:\n"
            "    sys.stdout.buffer.write(bytes([byte])); sys.stdout.flush()"
        )
        self.assertEqual("𝒳é" * 1000, self.assert_ok(self.client.execute(code)).text())

    def test_output_that_is_not_utf8_is_shown_and_costs_nothing(self):
        done = self.assert_ok(self.client.execute("import os; os.write(1, b'a\\xff\\xfeb\\n')"))
        self.assertRegex(done.text(), "^a.*b\n$")

    def test_output_that_is_not_utf8_comes_before_the_result(self):
        """The last byte was kept for what might follow it, and came after the result."""
        for last in (r"\xff", r"\xc3"):
            done = self.assert_ok(self.client.execute(f"import os; os.write(1, b'a{last}'); 5"))
            self.assertEqual("a\ufffd", done.text())
            self.assertEqual("execute_result", done.types()[-1])

    def test_a_character_of_which_a_display_is_in_the_midst_stays_whole(self):
        code = "import os; os.write(1, b'\\xc3'); display(1); os.write(1, b'\\xa9'); None"
        self.assertEqual("é", self.assert_ok(self.client.execute(code)).text())

    def test_rich_results(self):
        # They leave as they are where the profile says so.
        with Kernel(change_argv=lambda argv: [*argv, "--profile", "open"]) as kernel, Client(kernel.info) as client:
            done = client.execute(
                "class Rich:\n"
                "    def __repr__(self): return 'plain'\n"
                "    def _repr_html_(self): return '<i>é😀</i>'\n"
                "    def _repr_png_(self): return b'\\x89PNG'\n"
                "    def _repr_json_(self): return {'a': [1, None, 'é']}\n"
                "Rich()"
            )
        data = done.contents("execute_result")[0]["data"]
        self.assertEqual(
            {
                "text/plain": "plain",
                "text/html": "<i>é😀</i>",
                "image/png": "iVBORw==",
                "application/json": {"a": [1, None, "é"]},
            },
            {kind: value.strip() if isinstance(value, str) else value for kind, value in data.items()},
        )

    def test_a_bundle_with_metadata(self):
        code = (
            "class Bundle:\n"
            "    def _repr_mimebundle_(self, include=None, exclude=None):\n"
            "        return {'text/plain': 'p', 'text/x-own': 'own'}, {'text/x-own': {'width': 3}}\n"
            "Bundle()"
        )
        with Kernel(change_argv=lambda argv: [*argv, "--profile", "open"]) as kernel, Client(kernel.info) as client:
            result = client.execute(code).contents("execute_result")[0]
        self.assertEqual({"text/plain": "p", "text/x-own": "own"}, result["data"])
        self.assertEqual({"text/x-own": {"width": 3}}, result["metadata"])
        # Where the profile does not say so, a type that is not known does not leave.
        result = self.client.execute(code).contents("execute_result")[0]
        self.assertRegex(result["data"].pop("text/plain"), r"^p\n\[Capsule: text/x-own is withheld .*\]$")
        self.assertEqual(({}, {}), (result["data"], result["metadata"]))

    def test_top_level_await_and_asyncio_run(self):
        self.assertEqual("'a'", self.client.execute("import asyncio\nawait asyncio.sleep(0.01, 'a')").result())
        self.assertEqual("'b'", self.client.execute("asyncio.run(asyncio.sleep(0.01, 'b'))").result())


class Other(KernelCase):
    def test_kernel_info_tells_what_front_ends_need(self):
        for channel in ("shell", "control"):
            with self.subTest(channel=channel):
                content = self.assert_ok(self.client.request("kernel_info_request", channel=channel)).content
                self.assertRegex(content["protocol_version"], r"^5\.[5-9]")
                language = content["language_info"]
                told = (language["name"], language["file_extension"], language["mimetype"])
                self.assertEqual(("python", ".py", "text/x-python"), told)
                self.assertRegex(language["version"], r"^3\.\d+\.\d+")
                for key in ("pygments_lexer", "codemirror_mode", "nbconvert_exporter"):
                    self.assertTrue(language[key], key)
                self.assertTrue(content["banner"] and content["implementation"] and content["implementation_version"])

    def test_an_unknown_message_type_gets_busy_and_idle_and_no_reply(self):
        for channel in ("shell", "control"):
            with self.subTest(channel=channel):
                unknown = self.client.request("no_such_request", {"a": 1}, channel=channel, replied=False)
                self.assertEqual([], unknown.types())
                self.assert_ok(self.client.request("kernel_info_request", channel=channel))
                self.assertNotIn(unknown.request, self.client.replies)

    def test_a_comm_to_nobody_is_closed(self):
        content = {"comm_id": "the comm", "target_name": "nobody", "data": {"a": 1}}
        opened = self.client.request("comm_open", content, replied=False)
        self.assertEqual(["comm_close"], opened.types())
        closed = opened.contents("comm_close")[0]
        self.assertEqual(("the comm", {}), (closed["comm_id"], closed["data"]))

    def test_messages_to_comms_that_are_not_open_are_taken(self):
        for kind in ("comm_msg", "comm_close"):
            with self.subTest(kind=kind):
                self.client.request(kind, {"comm_id": "never opened", "data": {}}, replied=False)
        self.assert_runs()

    def test_comm_info_is_empty(self):
        for content in ({}, {"target_name": "jupyter.widget"}):
            self.assertEqual({}, self.assert_ok(self.client.request("comm_info_request", content)).content["comms"])

    def test_connect_tells_the_ports(self):
        content = self.client.request("connect_request").content
        for channel in ("shell", "iopub", "stdin", "hb", "control"):
            self.assertEqual(self.kernel.info[f"{channel}_port"], content[f"{channel}_port"])

    def test_fields_that_are_left_out_or_unknown_are_no_error(self):
        short = self.client.send("execute_request", {"code": "'short'"})
        self.assertEqual("'short'", self.assert_ok(self.client.finish(short)).result())
        long = self.client.start("'long'", something={"new": [1, 2]})
        self.assertEqual("'long'", self.assert_ok(self.client.finish(long)).result())

    def test_fields_of_a_wrong_type_are_refused_and_the_kernel_goes_on(self):
        before = self.kernel.log.size()
        for content in ({"code": 5}, {}, {"code": "1", "user_expressions": []}):
            self.client.send("execute_request", content)
        self.client.send("complete_request", {"code": "zi", "cursor_pos": "two"})
        self.assert_runs()
        self.kernel.log.wait("(?i)warn|error|invalid|bad|refus|drop", after=before)

    def test_what_is_too_long_is_refused_and_the_worker_goes_on(self):
        """It went into a frame that the worker takes for a breach of the protocol, and ended it."""
        before = self.assert_ok(self.client.execute("import os; os.getpid()")).result()
        failed = self.client.execute("1", user_expressions={"long": "'" + "é" * 800_000 + "'"})
        self.assertEqual("BadRequest", failed.content["ename"])
        self.assertIn("the limit is 524,288", failed.content["evalue"])
        message = self.client.session.msg("execute_request", {"code": "1"})
        message["header"]["msg_id"] = "x" * 5_000_000
        self.client.session.send(self.client.shell, message)
        self.kernel.log.wait("the limit is 65,536")
        self.assert_runs("os.getpid()", before)

    def test_half_a_surrogate_pair_is_refused(self):
        """The worker was given a question mark for it, and ran another code than was sent."""
        # The schema of a reply knows no refusal.
        self.client.validating = False
        self.addCleanup(setattr, self.client, "validating", True)
        half = r"half of a surrogate pair, \\ud800, at character 12"
        for message_type, content in (
            ("execute_request", {"code": "print(ord('𝒳\ud800'))"}),
            ("execute_request", {"code": "1", "user_expressions": {"x": "print(ord('𝒳\ud800'))"}}),
            ("complete_request", {"code": "print(ord('𝒳\ud800", "cursor_pos": 1}),
            ("inspect_request", {"code": "print(ord('𝒳\ud800", "cursor_pos": 1}),
            ("is_complete_request", {"code": "print(ord('𝒳\ud800"}),
        ):
            with self.subTest(message_type):
                message = self.client.session.msg(message_type, {})
                self.client.requests[message["msg_id"]] = message
                self.send_ascii(self.client.shell, message, content)
                refused = self.client.finish(message["msg_id"])
                self.assertEqual("BadRequest", refused.content["ename"])
                self.assertRegex(refused.content["evalue"], half)
                self.assertEqual([], refused.types())
        running = self.client.start("input()", allow_stdin=True)
        question = self.client.next_input_request()
        answer = self.client.session.msg("input_reply", {}, parent=question)
        self.send_ascii(self.client.stdin, answer, {"value": "print(ord('𝒳\udc00'))"})
        failed = self.client.finish(running)
        self.assertRegex(failed.content["evalue"], half.replace("d800", "dc00"))
        self.assert_runs("'𝒳'.encode('utf-16-be')", r"b'\xd85\xdc\xb3'")

    def send_ascii(self, channel, message, content):
        """Sends a message with content of which all but ASCII is escaped, pairs and halves alike."""
        session = self.client.session
        parts = session.serialize(message)[2:5] + [json.dumps(content).encode()]
        channel.send_multipart([b"<IDS|MSG>", session.sign(parts), *parts])

    def test_what_the_memory_does_not_hold_is_refused_before_anything_is_done_with_it(self):
        """It ran out for a cell that the worker went on with: the cell had two replies, and those after it failed."""
        before = self.assert_ok(self.client.execute("import os; os.getpid()")).result()
        limit = "the limit is 67,108,864"
        failed = self.client.execute(f"#{'x' * (150 << 20)}")
        self.assertEqual("BadRequest", failed.content["ename"])
        self.assertRegex(failed.content["evalue"], f"execute_request with 157,286,[0-9]+ bytes of content.*{limit}")
        self.assertEqual([], failed.types())
        for part in ("metadata", "parent_header"):
            message = self.client.session.msg("execute_request", {"code": "1"})
            message[part]["large"] = "x" * (65 << 20)
            self.client.requests[message["msg_id"]] = message
            self.client.session.send(self.client.shell, message)
            self.assertIn(limit, self.client.finish(message["msg_id"]).content["evalue"])
        seen = self.kernel.log.size()
        comm = self.client.send("comm_msg", {"comm_id": "none", "data": "x" * (65 << 20)})
        self.assertEqual([], self.client.finish(comm, replied=False).types())
        self.kernel.log.wait(f"comm_msg .*{limit}", after=seen)
        self.assertIn(limit, self.client.execute("input()", answers=["x" * (65 << 20)]).content["evalue"])
        self.assert_runs("os.getpid()", before)

    def test_the_type_of_a_refusal_is_sound_json(self):
        """The name of the request was not escaped."""
        odd = 'no_"such"_request'
        message_id = self.client.send(odd, subshell="nobody")
        self.client.wait(lambda: message_id in self.client.replies, "the refusal")
        self.assertEqual('no_"such"_reply', self.client.replies[message_id]["msg_type"])

    def test_the_heartbeat_echoes_whatever_the_kernel_does(self):
        beat = self.client.context.socket(zmq.REQ)
        beat.linger = 0
        beat.connect(self.client.address("hb"))
        running = self.client.start("print('spinning', flush=True)\nwhile True: pass")
        self.client.wait_text(running, "spinning")
        for payload in (b"ping", b"", b"\x00\xff" * 1000):
            beat.send(payload)
            self.assertTrue(beat.poll(PATIENCE * 1000), "no echo")
            self.assertEqual(payload, beat.recv())
        self.client.request("interrupt_request", channel="control")
        self.client.finish(running)


class Promptness(KernelCase):
    """`kernel_info` on control is answered at once, whatever the worker does."""

    MILLISECONDS = 50

    def assert_prompt(self, code, *, end):
        """The worst of 40 answers counts; a busy machine gets three attempts to be quiet for that long."""
        running = self.client.start(code)
        self.client.wait_text(running, "now")
        worst = []
        for _ in range(3):
            times = [self.answer_millis() for _ in range(40)]
            worst.append(max(times))
            if worst[-1] < self.MILLISECONDS:
                break
        self.client.send("interrupt_request", channel="control")
        done = self.client.finish(running)
        self.assertLess(worst[-1], self.MILLISECONDS, f"ms; median {statistics.median(times):.1f}, attempts {worst}")
        self.assertRegex(done.told(), end)
        self.assert_runs()

    def answer_millis(self):
        message_id = self.client.send("kernel_info_request", channel="control")
        start = time.perf_counter()
        self.client.wait(lambda: message_id in self.client.replies, "kernel_info_reply")
        return (time.perf_counter() - start) * 1000

    def test_while_the_worker_spins(self):
        self.assert_prompt("print('now', flush=True)\nwhile True: pass", end="KeyboardInterrupt")

    def test_while_the_worker_holds_the_interpreters_lock(self):
        # It never comes back to the interpreter, so nothing in the worker can answer or be interrupted.
        code = "import itertools\nprint('now', flush=True)\nsum(itertools.repeat(0))"
        self.assert_prompt(code, end="KeyboardInterrupt|SIGKILL|killed")

    def test_while_a_regular_expression_backtracks(self):
        code = "import re\nprint('now', flush=True)\nre.match('(a+)+$', 'a' * 60 + 'b')"
        self.assert_prompt(code, end="KeyboardInterrupt|SIGKILL|killed")

    def test_while_the_worker_is_stopped(self):
        code = "import os, signal\nprint('now', flush=True)\nos.kill(os.getpid(), signal.SIGSTOP)\nwhile True: pass"
        self.assert_prompt(code, end="KeyboardInterrupt|SIGKILL|killed")


class History(unittest.TestCase):
    """One history, which several kernels of one home share and which outlives them."""

    def setUp(self):
        home = tempfile.TemporaryDirectory()
        self.addCleanup(home.cleanup)
        self.home = Path(home.name)
        self.kernels = {}

    def start(self, home=None):
        kernel = Kernel(home=home or self.home)
        self.addCleanup(kernel.kill)
        client = Client(kernel.info)
        self.addCleanup(client.close)
        self.kernels[client] = kernel
        return client

    def ended(self, client):
        message_id = client.send("shutdown_request", {"restart": False}, channel="control")
        client.wait(lambda: message_id in client.replies, "shutdown_reply")
        self.kernels[client].process.wait(PATIENCE)

    def history(self, client, access, **content):
        content = {"output": False, "raw": True, "hist_access_type": access, **content}
        reply = client.request("history_request", content).content
        self.assertEqual("ok", reply["status"])
        return reply["history"]

    def inputs(self, *arguments, **content):
        return [entry[2] for entry in self.history(*arguments, **content)]

    def run_cells(self, client, *cells):
        for cell in cells:
            client.execute(cell)

    def test_the_tail_reaches_back_into_earlier_kernels(self):
        first = self.start()
        self.run_cells(first, "'first one'", "print('first two')", "1/0")
        self.ended(first)
        second = self.start()
        self.assertEqual(["'first one'", "print('first two')", "1/0"], self.inputs(second, "tail", n=10))
        self.run_cells(second, "'second one'")
        self.assertEqual(["1/0", "'second one'"], self.inputs(second, "tail", n=2))
        sessions = [entry[0] for entry in self.history(second, "tail", n=10)]
        self.assertEqual(2, len(set(sessions)))
        self.assertEqual([1, 2, 3, 1], [entry[1] for entry in self.history(second, "tail", n=10)])

    def test_outputs_are_remembered_with_their_inputs(self):
        client = self.start()
        self.run_cells(client, "6 * 7", "None")
        self.assertEqual([["6 * 7", "42"], ["None", None]], self.inputs(client, "tail", n=2, output=True))

    def test_ranges_count_from_this_session_backwards(self):
        first = self.start()
        self.run_cells(first, "'a1'", "'a2'", "'a3'")
        self.ended(first)
        second = self.start()
        self.run_cells(second, "'b1'", "'b2'", "'b3'")
        self.assertEqual(["'b1'", "'b2'"], self.inputs(second, "range", session=0, start=1, stop=3))
        self.assertEqual(["'b2'", "'b3'"], self.inputs(second, "range", session=0, start=2))
        self.assertEqual(["'a2'"], self.inputs(second, "range", session=-1, start=2, stop=3))
        number = self.history(second, "tail", n=1)[0][0]
        self.assertEqual([[number, 3, "'b3'"]], self.history(second, "range", session=number, start=3, stop=4))
        self.assertEqual([], self.inputs(second, "range", session=99999, start=1, stop=3))

    def test_searches_are_globs_over_whole_inputs(self):
        client = self.start()
        self.run_cells(client, "x = 1", "y = [1, 2]", "x = 2", "x = 1", "z = '*'")
        self.assertEqual(["x = 1", "x = 2", "x = 1"], self.inputs(client, "search", pattern="x*"))
        self.assertEqual(["x = 2", "x = 1"], self.inputs(client, "search", pattern="x*", n=2))
        self.assertEqual(["x = 2", "x = 1"], self.inputs(client, "search", pattern="x*", unique=True))
        self.assertEqual(["x = 1", "x = 2", "x = 1"], self.inputs(client, "search", pattern="x = ?"))
        self.assertEqual(["y = [1, 2]"], self.inputs(client, "search", pattern="y = [[]1, 2]"))
        self.assertEqual([], self.inputs(client, "search", pattern="= 1"))

    def test_two_kernels_at_once_both_remember(self):
        one, two = self.start(), self.start()
        for index in range(30):
            self.run_cells(one, f"'one {index}'")
            self.run_cells(two, f"'two {index}'")
        for client, name in ((one, "one"), (two, "two")):
            self.assertEqual(
                [f"'{name} {index}'" for index in range(30)], self.inputs(client, "range", session=0, start=1)
            )
        together = self.inputs(two, "search", pattern="'??? *'")
        self.assertEqual(sorted(f"'{name} {i}'" for name in ("one", "two") for i in range(30)), sorted(together))

    def test_without_a_usable_home_the_history_is_in_memory(self):
        nowhere = self.home / "a file"
        nowhere.write_text("not a directory")
        client = self.start(home=nowhere)
        self.run_cells(client, "'kept'", "'for now'")
        self.assertEqual(["'kept'", "'for now'"], self.inputs(client, "tail", n=5))

    def test_a_history_file_that_is_not_one_costs_no_cell(self):
        first = self.start()
        self.run_cells(first, "'made the file'")
        self.ended(first)
        databases = [path for path in self.home.rglob("*") if path.is_file() and b"SQLite" in path.read_bytes()[:16]]
        self.assertEqual(1, len(databases), "one history file")
        broken = Path(tempfile.mkdtemp(dir=self.home)) / databases[0].relative_to(self.home)
        broken.parent.mkdir(parents=True)
        broken.write_bytes(b"no database " * 1000)
        client = self.start(home=self.home / broken.relative_to(self.home).parts[0])
        self.run_cells(client, "'kept'")
        self.assertEqual(["'kept'"], self.inputs(client, "tail", n=5))
        self.assertTrue(broken.read_bytes().startswith(b"no database"))


class Shutdown(unittest.TestCase):
    def test_every_request_of_it_is_answered_and_ends_all(self):
        for channel, restart in (("control", False), ("control", True), ("shell", False)):
            with self.subTest(channel=channel, restart=restart), Kernel() as kernel, Client(kernel.info) as client:
                client.execute("import subprocess; subprocess.Popen(['sleep', '1000']); None")
                watch = Watch([kernel.pid, *descendants(kernel.pid)])
                message_id = client.send("shutdown_request", {"restart": restart}, channel=channel)
                client.wait(lambda: message_id in client.replies, "shutdown_reply")
                self.assertEqual({"status": "ok", "restart": restart}, client.replies[message_id]["content"])
                survivors = watch.survivors(PATIENCE)
                watch.kill()
                self.assertEqual([], survivors)
                self.assertEqual(0, kernel.process.wait(PATIENCE))

    def test_it_does_not_wait_for_a_cell(self):
        with Kernel() as kernel, Client(kernel.info) as client:
            running = client.start("print('spinning', flush=True)\nwhile True: pass")
            client.wait_text(running, "spinning")
            watch = Watch([kernel.pid, *descendants(kernel.pid)])
            client.send("shutdown_request", {"restart": False}, channel="control")
            survivors = watch.survivors(5)
            watch.kill()
            self.assertEqual([], survivors)


class Scarcity(unittest.TestCase):
    def start(self, megabytes):
        kernel = Kernel(change_argv=lambda argv: [re.sub(r"^-Xmx\d+m$", f"-Xmx{megabytes}m", each) for each in argv])
        self.addCleanup(kernel.kill)
        return kernel, self.client(kernel)

    def client(self, kernel):
        client = Client(kernel.info)
        self.addCleanup(client.close)
        return client

    def test_the_code_of_cells_that_have_run_takes_no_memory(self):
        """That of the last thousand was kept, twice."""
        _, client = self.start(100)
        for number in range(24):
            done = client.execute(f"#{'x' * (4 << 20)}\n{number}", store_history=False)
            self.assertEqual(str(number), done.result(), done.told())

    def test_a_request_for_which_there_is_too_little_memory_costs_no_other(self):
        """The shell waited for ever for the end of its turn."""
        kernel, client = self.start(64)
        # Or what comes right after it would be aborted with it, which the test missed now and then.
        client.start(f"#{'x' * (24 << 20)}", stop_on_error=False)
        kernel.log.wait("OutOfMemoryError")
        done = self.client(kernel).execute("6 * 7")
        self.assertEqual("42", done.result(), done.told())

    def test_a_cell_runs_though_there_is_too_little_memory_to_publish_its_input(self):
        """It was refused while the worker ran it: there was a second reply, and the cells after it failed."""
        kernel, client = self.start(64)
        # Six characters each in what is published, and one in what the worker gets.
        done = client.execute("#" + "\x7f" * (6 << 20) + "\n6 * 7")
        kernel.log.wait("OutOfMemoryError")
        self.assertEqual("42", done.result(), done.told())
        self.assertEqual("43", client.execute("6 * 7 + 1").result())

    def test_a_client_that_came_when_there_was_no_descriptor_is_served_later(self):
        """Only when another client of the same socket said something, and there may be none."""
        kernel, client = self.start(768)
        # To log anything for the first time takes descriptors.
        client.send("input_reply", {"value": "to nothing"}, channel="stdin")
        kernel.log.wait("input_reply")
        client.close()
        soft, hard = resource.prlimit(kernel.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(kernel.pid, resource.RLIMIT_NOFILE, (1, hard))
        late = zmq.Context.instance().socket(zmq.DEALER)
        late.linger = 0
        self.addCleanup(late.close)
        late.connect(f"tcp://{kernel.info['ip']}:{kernel.info['shell_port']}")
        kernel.log.wait("cannot accept a client for now")
        resource.prlimit(kernel.pid, resource.RLIMIT_NOFILE, (soft, hard))
        session = client.session
        session.send(late, session.msg("kernel_info_request", {}))
        self.assertTrue(late.poll(PATIENCE * 1000), "no answer")


class PosixLocale(KernelCase):
    environment = {"LC_ALL": "C"}

    def test_text_does_not_depend_on_the_locale(self):
        code = "import sys\nprint('é😀'); print('é', file=sys.stderr); 'é😀'"
        done = self.assert_ok(self.client.execute(code))
        self.assertEqual(("é😀\n", "é\n", "'é😀'"), (done.text(), done.text("stderr"), done.result()))
        self.assertEqual("'é😀'", self.client.execute("input('é😀')", answers=["é😀"]).result())


class Payload(KernelCase):
    def test_a_question_mark_pages_the_documentation(self):
        done = self.assert_ok(self.client.execute("len?"))
        self.assertEqual([], [kind for kind in done.types() if kind != "execute_input"])
        (page,) = done.content["payload"]
        self.assertEqual(("page", 0), (page["source"], page["start"]))
        self.assertIn("number of items", json.dumps(page["data"]["text/plain"]))
