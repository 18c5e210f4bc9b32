"""One thread at a time parses Python text, where CPython needs that.

Before 3.11.5, as in Debian 12, threads share the count of how deep the parser is (CPython's issue 106905): numpy reads
the head of an array as Python text, and two crystals read at once now and then fail with a SystemError.
"""

import ast
import functools
import sys
import threading
from typing import Any

FIXED = (3, 11, 5)
"""The first CPython in which the count is each thread's own."""


def parse_one_at_a_time(version: tuple[int, ...] = sys.version_info[:3]) -> None:
    """Put a lock before `ast.parse`, through which also `ast.literal_eval` goes, if this version needs it."""
    if version >= FIXED or hasattr(ast.parse, "__wrapped__"):
        return
    parse, lock = ast.parse, threading.RLock()

    @functools.wraps(parse)
    def alone(*args: Any, **options: Any) -> Any:
        with lock:
            return parse(*args, **options)

    ast.parse = alone
