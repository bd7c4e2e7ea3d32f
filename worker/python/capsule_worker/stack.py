"""Room for the frames of Python code."""

import sys

# In places for a reference: with it the thread's piece is of 1 MiB, of which half is left for other frames, some thousand.
# What nobody writes to takes no memory.
_PLACES = 1 << 16


def with_room(call):
    """Calls it so that its frames, and those of what it calls, have room.

    CPython maps 16 KiB at a time for a thread's frames, from 3.11 on, and unmaps them as soon as they are empty
    (`push_chunk`, `_PyThreadState_PopFrame`): code that calls and returns where one ends spends nearly all of its time on
    that. A piece is at least as large as the first frame in it wants; this function's frame wants much.
    """
    return call()


if sys.version_info >= (3, 11):
    with_room.__code__ = with_room.__code__.replace(co_stacksize=_PLACES)
