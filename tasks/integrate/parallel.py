"""Work on frames in threads: array kernels release the interpreter's lock, and the order of results is kept."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tasks.model.cores import usable_cores

MOST_THREADS = 8
"""Each thread holds a frame and its background in memory. Chosen, not measured: the machines at hand have two cores,
and what more threads than this gain was never seen."""

T = TypeVar("T")
R = TypeVar("R")


def threads() -> int:
    """Return how many threads a crystal may use at once."""
    return min(MOST_THREADS, usable_cores())


def in_threads(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Return ``function(item)`` of each item in their order; the results do not depend on the number of threads."""
    number = threads()
    if number == 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(function, items))
