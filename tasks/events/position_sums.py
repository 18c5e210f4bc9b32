"""Sums over some scan positions that change a little at a time, and electrons of every position in a region."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tasks.events.store import ScanEvents


def add_positions(
    scan: ScanEvents, positions: NDArray[np.int64], pattern: NDArray[np.uint32], *, taken_off: bool = False
) -> None:
    """Add the electrons of some positions, (n,) flat, to a pattern (slow, fast), or take them off it, in place.

    What is taken off must have been added before: a pattern holds no negative number.
    """
    _add_signed(scan.offsets, scan.events, positions, np.uint32(2**32 - 1 if taken_off else 1), pattern.reshape(-1))


def electrons_inside(scan: ScanEvents, region: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Return (n_positions,): the electrons of every position in a region of the detector, (slow, fast)."""
    found = np.zeros(scan.offsets.size - 1, dtype=np.uint32)
    _count_inside(scan.offsets, scan.events, np.ascontiguousarray(region).reshape(-1).view(np.uint8), found)
    return found


@njit(cache=True, nogil=True)
def _add_signed(
    offsets: NDArray[np.uint64],
    events: NDArray[np.uint32],
    positions: NDArray[np.int64],
    step: np.uint32,
    pattern: NDArray[np.uint32],
) -> None:
    """Add in one thread, so that no increment is lost; a step of 2^32 - 1 is minus one."""
    for position in positions:
        for index in range(np.int64(offsets[position]), np.int64(offsets[position + 1])):
            pattern[events[index]] += step


@njit(cache=True, nogil=True)
def _count_inside(
    offsets: NDArray[np.uint64], events: NDArray[np.uint32], region: NDArray[np.uint8], found: NDArray[np.uint32]
) -> None:
    for position in range(found.size):
        number = np.uint32(0)
        for index in range(np.int64(offsets[position]), np.int64(offsets[position + 1])):
            number += np.uint32(region[events[index]])
        found[position] = number
