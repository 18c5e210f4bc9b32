"""Scans, pairs and tracks in threads: kernels and filters release the interpreter's lock, results keep their order."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

from tasks.model.cores import usable_cores

MOST_THREADS = 8
"""Each holds one scan in memory: 150 to 300 MB of 256 x 256 positions. Chosen, not measured."""

T = TypeVar("T")
R = TypeVar("R")


def threads() -> int:
    """Return how many threads this process may use at once."""
    return min(MOST_THREADS, usable_cores())


def at_once(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Return ``function(item)`` of each item in their order; the results do not depend on the number of threads."""
    chosen, number = list(items), threads()
    if number == 1 or len(chosen) < 2:
        return [function(item) for item in chosen]
    with ThreadPoolExecutor(min(number, len(chosen))) as pool:
        return list(pool.map(function, chosen))


class Each(Protocol):
    """Calls a function for every item; the results keep their order."""

    def __call__(self, function: Callable[[T], R], items: Sequence[T], /) -> list[R]:
        """Return ``function(item)`` of each item."""
        ...


@contextmanager
def in_turn_or_at_once(most: int) -> Iterator[Each]:
    """Give what calls a function for up to so many items, again and again: threads are started once."""
    number = min(threads(), most)
    if number < 2:
        yield lambda function, items: [function(item) for item in items]
        return
    with ThreadPoolExecutor(number) as pool:
        yield lambda function, items: list(pool.map(function, items))
