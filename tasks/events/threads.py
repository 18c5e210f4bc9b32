"""A part of the work to each of some threads: the kernels let go of the interpreter, and integers add up exactly."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

Part = TypeVar("Part")


def side_by_side(work: Callable[[slice], Part], number: int, threads: int) -> list[Part]:
    """Return what a function makes of each of as many even shares of `number` things, in their order."""
    edges = [number * share // threads for share in range(threads + 1)]
    shares = [slice(begin, end) for begin, end in pairwise(edges)]
    if threads == 1:
        return [work(shares[0])]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, shares))
