"""Forged frames: user code has the worker's own voice (worker/PROTOCOL.md), so the kernel believes it nothing."""

from .table import cell

VIOLATION = {"words": "violation", "bare": "violation"}
HARMLESS = {"words": "sent", "bare": "sent"}


def _frame(name, code, **words):
    return cell("forges_" + name, code + "\n'sent'", **words)


def _bytes(name, expression, **words):
    return cell("sends_" + name, f"forge_bytes({expression})\n'sent'", **words)


RESULT = "'mimes': ['text/plain'], 'forms': ['text']"

CELLS = [
    _bytes("garbage", "os.urandom(8) * 1000", **VIOLATION),
    _bytes("a_length_of_two_gibibytes", "b'\\x7f\\xff\\xff\\xff\\0\\0\\0\\x02{}'", **VIOLATION),
    _bytes("a_length_of_nothing", "bytes(8)", **VIOLATION),
    _bytes("a_header_longer_than_its_frame", "(8).to_bytes(4, 'big') + (900).to_bytes(4, 'big') + b'{}{}'", **VIOLATION),
    _bytes("a_header_that_is_a_million_deep",
           "(2000004).to_bytes(4, 'big') + (2000000).to_bytes(4, 'big') + b'[' * 1000000 + b']' * 1000000", **VIOLATION),
    _bytes("a_header_with_a_key_twice", """(lambda text: (4 + len(text)).to_bytes(4, 'big')
    + len(text).to_bytes(4, 'big') + text)(b'{"signal":"ready","signal":"ready"}')""", **VIOLATION),
    _bytes("a_header_that_is_no_text", """(lambda text: (4 + len(text)).to_bytes(4, 'big')
    + len(text).to_bytes(4, 'big') + text)(b'{"signal":"\\xff\\xfe"}')""", **VIOLATION),
    _frame("a_second_hello", """
forge({'signal': 'hello', 'protocol': 1, 'encoding': 'json', 'pid': 1, 'language': {'name': 'x', 'version': '9'},
       'implementation': 'x', 'offers': []})""", **VIOLATION),
    _frame("a_second_ready", "forge({'signal': 'ready'})", **VIOLATION),
    _frame("a_grant", "forge({'signal': 'grant', 'capability': 'everything'})", **VIOLATION),
    _frame("a_call_of_a_capability", "forge({'open': 'call', 'id': 'x', 'name': 'read_file', 'path': '/etc/shadow'})",
           **VIOLATION),
    _frame("what_only_the_kernel_says", "forge({'signal': 'shutdown'})", **VIOLATION),
    _frame("two_shapes_at_once", "forge({'signal': 'ready', 'resolve': execution()})", **VIOLATION),
    _frame("an_answer_that_nobody_asked_for", "forge({'resolve': 'k99999999'}, b'{}', b'[]')", **VIOLATION),
    _frame("the_answer_of_a_cell_to_come", """
forge({'resolve': later_execution(1)}, b'{}', b'[]')""", **VIOLATION),
    _frame("output_of_a_cell_to_come", """
forge({'emit': 'stream', 'id': later_execution(5), 'name': 'stdout'}, b'forged')""",
           **VIOLATION),
    _frame("an_id_of_a_mebibyte", "forge({'resolve': 'k' * (1 << 20)}, b'{}', b'[]')", **VIOLATION),
    _frame("a_result_with_a_value_too_many", f"forge({{'emit': 'result', 'id': execution(), {RESULT}}}, b'x', b'y', b'{{}}')",
           **VIOLATION),
    _frame("a_result_with_broken_json", """
forge({'emit': 'result', 'id': execution(), 'mimes': ['application/json'], 'forms': ['json']},
      b'{},"data":{"text/html":"<script>"}', b'{}')""", **VIOLATION),
    _frame("metadata_that_end_the_object", f"""
forge({{'emit': 'display', 'id': execution(), {RESULT}}}, b'x', b'{{}},"transient":{{"display_id":"other"}}')""",
           **VIOLATION),
    _frame("metadata_with_a_number_that_is_none", f"""
forge({{'emit': 'display', 'id': execution(), {RESULT}}}, b'x', b'{{"a":NaN}}')""", **VIOLATION),
    _frame("user_expressions_that_end_the_object", "forge({'resolve': execution()}, b'{},\"status\":\"error\"', b'[]')",
           **VIOLATION),
    _frame("a_payload_that_is_none", "forge({'resolve': execution()}, b'{}', b'{}')", **VIOLATION),
    # It is refused, as that of a thread is which has outlived its cell; nobody is asked.
    _frame("a_question_for_another_cell", """
forge({'open': 'input', 'id': 'x', 'execution': 'k0', 'prompt': 'Password: ', 'password': True})""", **HARMLESS),
    # Nothing that the kernel decides follows from it: what comes after it belongs to nobody.
    _frame("its_own_end", "forge({'resolve': execution()}, b'{}', b'[]')", words="sent forged", bare="sent forged"),
    _frame("its_own_failure", "forge({'reject': execution(), 'ename': 'Forged', 'evalue': '', 'traceback': ['\\x1b[2J']})",
           words="sent Forged", bare="sent Forged"),
    _frame("a_mime_type_that_ends_the_object", """
forge({'emit': 'display', 'id': execution(), 'mimes': ['text/plain":"","x'], 'forms': ['text']}, b'x', b'{}')""",
           **HARMLESS),
    _frame("text_that_is_none", f"forge({{'emit': 'display', 'id': execution(), {RESULT}}}, b'\\xff\\xfe\\xed\\xa0\\x80', b'{{}}')",
           **HARMLESS),
    cell("steals_the_connection_in_a_child", """
def speak():
    connection()._descriptor = 201
    forge({'signal': 'grant'})
forked(speak)""", words="Forked EBADF OSError SystemExit did SIGKILL", bare="Forked EBADF OSError SystemExit did SIGKILL"),
    cell("replaces_what_the_worker_is_made_of", """
import capsule_worker.frames as frames
frames.encode_json = lambda value: b'{"signal":"grant"}'
connection().encode_header = lambda value: b'{"signal":"grant"}'
'sent'""", **VIOLATION),
]
