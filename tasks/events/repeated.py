"""Positions whose frame is the one before, written twice: the camera or the writer held it."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tasks.events.store import ScanEvents, position_blocks

FEWEST = 20
"""Electrons of an entry that may be called a repetition. Where the direct beam puts most electrons into ten pixels, two
entries of 20 are equal by chance once in 10^20 pairs; shorter ones may be, and cost next to nothing if summed twice."""


def repeated_positions(scan: ScanEvents) -> NDArray[np.bool_]:
    """Return (n_positions,): whether a position's electrons equal those of the one before, event for event."""
    found = np.zeros(scan.positions, dtype=np.bool_)
    last = np.zeros(0, dtype=np.uint32)
    for part in position_blocks(scan):
        begins, ends = part.begins, part.ends
        _equal_to_last(begins, ends, part.events, FEWEST, found[part.ranges])
        first = part.events[begins[0] : ends[0]]
        found[part.ranges.start] = len(first) >= FEWEST and np.array_equal(first, last)
        last = part.events[begins[-1] : ends[-1]].copy()
    return found


@njit(cache=True, nogil=True)
def _equal_to_last(
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    events: NDArray[np.uint32],
    fewest: int,
    found: NDArray[np.bool_],
) -> None:
    for position in range(1, len(begins)):
        first, here = begins[position - 1], begins[position]
        number = ends[position] - here
        if number < fewest or here - first != number:
            continue
        same = True
        for index in range(number):
            if events[first + index] != events[here + index]:
                same = False
                break
        found[position] = same
