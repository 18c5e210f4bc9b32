"""Where CPython's parser counts the depth of all threads together, one thread at a time parses."""

import ast
import contextlib
import functools
import threading

import pytest

from tasks.model.one_parser import parse_one_at_a_time

THREADS = 4


def parsed_at_once(monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int], *, patience_s: float) -> int:
    """Return how many of the threads were in the parser together, where each waits there for the others."""
    inside: list[int] = []
    most = [0]
    met = threading.Barrier(THREADS, timeout=patience_s)
    parse = getattr(ast.parse, "__wrapped__", ast.parse)

    @functools.wraps(parse, updated=())
    def waiting(*args, **options):
        inside.append(1)
        most[0] = max(most[0], len(inside))
        with contextlib.suppress(threading.BrokenBarrierError):
            met.wait()
        inside.pop()
        return parse(*args, **options)

    del waiting.__wrapped__
    monkeypatch.setattr(ast, "parse", waiting)
    parse_one_at_a_time(version)
    threads = [threading.Thread(target=ast.literal_eval, args=("{'shape': (3,)}",)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return most[0]


@pytest.mark.parametrize("version", [(3, 11, 2), (3, 11, 7), (3, 12, 1)])
def test_one_thread_at_a_time_parses_where_python_needs_it(monkeypatch, version) -> None:
    assert parsed_at_once(monkeypatch, version, patience_s=0.1) == 1


@pytest.mark.parametrize("version", [(3, 11, 8), (3, 12, 2), (3, 13, 0)])
def test_threads_parse_at_once_where_they_may(monkeypatch, version) -> None:
    assert parsed_at_once(monkeypatch, version, patience_s=60.0) == THREADS
