"""One thread at a time parses Python text, where CPython needs that.

Before 3.11.8, as in Debian 12, and in 3.12.0 and 3.12.1 threads share the count of how deep the parser is (CPython's
issue 106905, mended in its pull requests 113472 and 113476): numpy reads the head of an array as Python text, and two
crystals read at once now and then fail with a SystemError.
"""

import ast
import functools
import sys
import threading
from typing import Any

MENDED = {(3, 11): 8, (3, 12): 2}
"""The first CPython of each series in which every call counts for itself; in later series all do."""


def parse_one_at_a_time(version: tuple[int, int, int] = sys.version_info[:3]) -> None:
    """Put a lock before `ast.parse`, through which also `ast.literal_eval` goes, if this version needs it."""
    if version[2] >= MENDED.get(version[:2], 0) or hasattr(ast.parse, "__wrapped__"):
        return
    parse, lock = ast.parse, threading.RLock()

    @functools.wraps(parse)
    def alone(*args: Any, **options: Any) -> Any:
        with lock:
            return parse(*args, **options)

    ast.parse = alone
