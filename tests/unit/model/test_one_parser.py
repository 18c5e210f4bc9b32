"""Where CPython's parser counts the depth of all threads together, one thread at a time parses."""

import ast
import functools
import threading
import time

import pytest

from tasks.model.one_parser import FIXED, parse_one_at_a_time


@pytest.fixture
def busiest(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Put a slow parser in place of Python's; return how many threads were in it, at each call."""
    inside, most = [0], []
    parse = getattr(ast.parse, "__wrapped__", ast.parse)

    @functools.wraps(parse, updated=())
    def slow(*args, **options):
        inside[0] += 1
        most.append(inside[0])
        time.sleep(0.02)
        inside[0] -= 1
        return parse(*args, **options)

    del slow.__wrapped__
    monkeypatch.setattr(ast, "parse", slow)
    return most


def parse_in_threads() -> None:
    threads = [threading.Thread(target=ast.literal_eval, args=("{'shape': (3,)}",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize(("version", "at_once"), [((3, 11, 2), 1), (FIXED, 4), ((3, 13, 0), 4)])
def test_threads_parse_one_at_a_time_only_where_python_needs_it(busiest, version, at_once) -> None:
    parse_one_at_a_time(version)
    parse_in_threads()
    assert len(busiest) == 4
    assert max(busiest) == at_once
