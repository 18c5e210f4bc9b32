"""Crystals side by side: threads that carry the Prefect context, so that tasks called in them are recorded."""

import contextvars
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def side_by_side(function: Callable[[A], B], items: Sequence[A], *, workers: int) -> list[B]:
    """Return ``[function(item) for item in items]``, several at once, in the order of the items.

    The heavy work of a crystal runs in numba kernels, FFTs and processes of its own; threads only wait for it.
    """
    if len(items) <= 1 or workers == 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(max_workers=min(workers, len(items))) as pool:
        futures = [pool.submit(contextvars.copy_context().run, function, item) for item in items]
        return [future.result() for future in futures]
