"""Positions whose frame is the one before, written twice: the camera or the writer held it."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tasks.events.store import ScanEvents

FEWEST = 20
"""Electrons of an entry that may be called a repetition. Where the direct beam puts most electrons into ten pixels, two
entries of 20 are equal by chance once in 10^20 pairs; shorter ones may be, and cost next to nothing if summed twice."""


def repeated_positions(scan: ScanEvents) -> NDArray[np.bool_]:
    """Return (n_positions,): whether a position's electrons equal those of the one before, event for event."""
    found = np.zeros(scan.offsets.size - 1, dtype=np.bool_)
    _equal_to_last(scan.offsets, scan.events, FEWEST, found)
    return found


@njit(cache=True, nogil=True)
def _equal_to_last(
    offsets: NDArray[np.uint64], events: NDArray[np.uint32], fewest: int, found: NDArray[np.bool_]
) -> None:
    for position in range(1, offsets.size - 1):
        first, here = np.int64(offsets[position - 1]), np.int64(offsets[position])
        number = np.int64(offsets[position + 1]) - here
        if number < fewest or here - first != number:
            continue
        same = True
        for index in range(number):
            if events[first + index] != events[here + index]:
                same = False
                break
        found[position] = same
