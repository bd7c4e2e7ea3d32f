"""What is known about the object at the cursor, without what no front end is shown of it."""

from functools import wraps
from threading import local

from IPython.core import oinspect
from IPython.utils.tokenutil import token_at_cursor


class _Here(local):
    # Whether this thread wants only text.
    text_only = False


_here = _Here()


def inspect(shell, text, cursor, detail):
    """The MIME bundle, None if there is no such object."""
    _here.text_only = not shell.enable_html_pager
    try:
        with shell.builtin_trap:
            bundle = shell.object_inspect_mime(token_at_cursor(text, cursor), detail_level=detail)
    except KeyError:
        return None
    finally:
        _here.text_only = False
    if not shell.enable_html_pager:
        bundle.pop("text/html", None)
    return bundle


def _unless_text_only(highlight):
    """Of IPython's function that makes HTML of code."""

    @wraps(highlight)
    def wanted(code):
        return "" if _here.text_only else highlight(code)

    return wanted


if hasattr(oinspect, "pylight"):
    oinspect.pylight = _unless_text_only(oinspect.pylight)
