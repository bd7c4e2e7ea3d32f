"""Completion by IPython's completer, with jedi when there is one and when it is quick enough."""

import sys
import threading
from _thread import get_ident
from contextlib import contextmanager
from functools import lru_cache, wraps
from importlib.machinery import PathFinder
from time import monotonic

from IPython.core import completer
from IPython.core.completer import IPCompleter, rectify_completions

from ..imports import standard
from ..interrupts import raise_in
from ..stack import with_room
from . import narrowing
from .warned import Warned

_DEADLINE_SECONDS = 2.0
# How long one that is given up may take to end, which is next to nothing outside of C code.
_PATIENCE_SECONDS = 0.1
_MAX_MATCHES = 2_000
# IPython's word for a match of which it does not know what it is.
_UNKNOWN = "<unknown>"


class Completion:
    """Any thread; one at a time is served. What jedi does not find, or not in time, IPython alone answers; a late jedi
    goes on until it ends or is given up, and is not asked meanwhile.
    """

    def __init__(self, shell):
        self._shell = shell
        # The thread that asks jedi and is late, and whether jedi is loaded by now.
        self._late = None
        self._asks = False
        self._simple = None
        self._lock = threading.Lock()

    @staticmethod
    def has_jedi():
        return PathFinder.find_spec("jedi", [entry for entry in sys.path if entry not in ("", ".")]) is not None

    def complete(self, text, cursor):
        """(matches, start, end, types)"""
        with self._lock:
            return self._complete(text, cursor)

    def give_up_late(self):
        """Ends a late jedi, whose answer nobody waits for, unless it is in the midst of what must not be ended."""
        late = self._late
        if late is not None and late.is_alive() and self._asks:
            raise_in(late.ident, KeyboardInterrupt)
            late.join(_PATIENCE_SECONDS)

    def _complete(self, text, cursor):
        full = self._shell.Completer
        if self._late is not None and not self._late.is_alive():
            self._late = None
        if not full.use_jedi:
            return _ask(full, text, cursor)
        if self._late is None:
            answer = self._ask_in_time(full, text, cursor)
            if answer is not None and answer[0]:
                return answer
        if self._simple is None:
            self._simple = IPCompleter(
                shell=self._shell,
                namespace=self._shell.user_ns,
                global_namespace=self._shell.user_global_ns,
                parent=self._shell,
            )
            self._simple.use_jedi = False
            self._simple.custom_completers = full.custom_completers
        began = monotonic()
        try:
            return _ask(self._simple, text, cursor)
        finally:
            # What the simple answer has been stuck in, until it was interrupted, jedi is stuck in, too: its thread would
            # be there for ever, and while there is a thread no snapshot is made. IPython tells nobody of the interrupt.
            if self._late is not None and self._asks and monotonic() - began > _DEADLINE_SECONDS:
                raise_in(self._late.ident, KeyboardInterrupt)

    def _ask_in_time(self, full, text, cursor):
        answers = []

        def ask():
            try:
                _load_jedi()
                # What is not to be ended in the midst of it is over.
                self._asks = True
                answers.append(_ask(full, text, cursor))
            except BaseException:
                # Of jedi, or of an object that does not want to be looked at: the simple answer must do; or it is given up.
                pass

        self._asks = False
        thread = threading.Thread(target=with_room, args=(ask,), name="capsule-completion", daemon=True)
        thread.start()
        thread.join(_DEADLINE_SECONDS)
        if thread.is_alive():
            self._late = thread
            return None
        return answers[0] if answers else None


@lru_cache(maxsize=None)
def _load_jedi():
    with _settled_recursion_limit():
        if hasattr(completer, "_get_jedi"):
            completer._get_jedi()
        elif not hasattr(completer, "jedi"):
            # As IPython 7 and 8 do it when they are imported.
            jedi = standard("jedi")
            standard("jedi.api.helpers")
            standard("jedi.api.classes")
            jedi.settings.case_insensitive_completion = False
            completer.jedi = jedi
            completer.JEDI_INSTALLED = True
    narrowing.install()
    cache = standard("parso.cache")
    for name in ("_load_from_file_system", "_save_to_file_system", "_remove_cache_and_update_lock"):
        if hasattr(cache, name):
            setattr(cache, name, _or_nothing(getattr(cache, name)))
    if hasattr(completer, "_make_signature"):
        completer._make_signature = _unless_asking(completer._make_signature)


@contextmanager
def _settled_recursion_limit():
    """With it, this thread cannot set the limit. jedi does when it is loaded, but a cell may have set another, and may
    be deeper than jedi's just now.
    """
    thread, set_limit = get_ident(), sys.setrecursionlimit
    sys.setrecursionlimit = lambda limit: None if get_ident() == thread else set_limit(limit)
    try:
        yield
    finally:
        sys.setrecursionlimit = set_limit


def _or_nothing(function):
    """What jedi has on disk is as if it were not there when it cannot be read, because another process is writing it or
    was ended in the midst of that, or when it cannot be written; jedi would find nothing at all.
    """

    @wraps(function)
    def call(*arguments, **options):
        try:
            return function(*arguments, **options)
        except Exception:
            # A torn pickle raises nearly anything; jedi then parses the module itself.
            return None

    return call


def _unless_asking(make_signature):
    """The front end is not told of signatures, which jedi takes long to find."""

    @wraps(make_signature)
    def make(completion):
        return "" if _here.asking else make_signature(completion)

    return make


class _Here(threading.local):
    # Whether this thread is answering.
    asking = False


_here = _Here()


_quiet = Warned("ignore")


def _ask(asked, text, cursor):
    with _quiet:
        _here.asking = True
        try:
            found = list(rectify_completions(text, asked.completions(text, cursor)))
        finally:
            _here.asking = False
    # Of one with the type `magic` and one without, only the text counts.
    kinds = {}
    for match in found:
        if kinds.get(match.text, _UNKNOWN) == _UNKNOWN:
            kinds[match.text] = match.type or _UNKNOWN
    matches = list(kinds)[:_MAX_MATCHES]
    if not matches:
        return [], cursor, cursor, []
    return matches, found[0].start, found[0].end, [kinds[match] for match in matches]
