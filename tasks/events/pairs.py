"""EventPairs of electrons of one camera frame at small distances: whether, and how near, one hides the other.

Where every electron is counted, those of a camera frame are independent, and pairs are as many as the sums over the
frames let expect: N (N - 1) / 2 n in a pixel that n frames gave N electrons, N N' / n in two pixels. A camera that
counts local maxima holds no pair within its reach.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tasks.events.store import ScanEvents, blocks, camera_frames, exposed_frames
from tasks.model.arrays import Floats, Integers

DISTANCES = 4
"""Chebyshev distances looked at, from 0 px: local maxima of 3 x 3 reach 1, of 5 x 5 reach 2; 3 is to compare with."""
LEAST_EXPECTED = 50.0
"""EventPairs expected at a distance before their absence says anything: none of 50 comes by chance once in 10^21."""
PRESENT = 0.5
"""Of the pairs expected, from which they are said to be there. Electrons all counted give 1 or, where positions differ
in brightness, more; cameras that hide them give 0. Chosen, not measured: the middle."""


class EventPairs(NamedTuple):
    """EventPairs found and expected (DISTANCES,) in the camera frames that were looked at."""

    found: Integers
    expected: Floats

    def plus(self, other: "EventPairs") -> "EventPairs":
        """Return the pairs of both."""
        return EventPairs(self.found + other.found, self.expected + other.expected)


def no_pairs() -> EventPairs:
    """Return what no camera frame holds."""
    return EventPairs(np.zeros(DISTANCES, dtype=np.int64), np.zeros(DISTANCES))


def count_pairs(
    scan: ScanEvents, positions: NDArray[np.int64], detector_shape: tuple[int, int], *, per_position: float = 1.0
) -> EventPairs:
    """Return the pairs of the camera frames of some positions, each exposed for so many camera frames."""
    begins, ends = camera_frames(scan, positions)
    found = np.zeros(DISTANCES, dtype=np.int64)
    total = np.zeros(detector_shape, dtype=np.int64)
    stamp = np.zeros(detector_shape, dtype=np.int32)
    for part in blocks(scan, begins, ends):
        _count(part.begins, part.ends, part.events, total, stamp, found)
    expected = np.zeros(DISTANCES)
    if len(begins):
        _expect(total, expected)
    return EventPairs(found, expected / exposed_frames(begins, ends, per_position * len(positions)))


def exclusion_reach(pairs: EventPairs) -> int | None:
    """Return the distance in px up to which one electron hides another, -1 for not at all, None for too few to tell.

    A distance of too few pairs is taken to be like the next one: what is hidden there are few electrons.
    """
    if pairs.expected[: DISTANCES - 1].max() < LEAST_EXPECTED:
        return None
    reach = -1
    for distance in range(DISTANCES - 1):
        if pairs.expected[distance] < LEAST_EXPECTED:
            continue
        if pairs.found[distance] > PRESENT * pairs.expected[distance]:
            break
        reach = distance
    return reach


@njit(cache=True, nogil=True)
def _count(
    begins: Integers, ends: Integers, events: NDArray[np.uint32], total: Integers, stamp: Integers, found: Integers
) -> None:  # pragma: no cover
    """Add the pairs of every frame to ``found`` and its electrons to ``total``; ``stamp`` is scratch, all zero."""
    rows, columns = total.shape
    far = len(found) - 1
    for k in range(len(begins)):
        for index in range(begins[k], ends[k]):
            row, column = np.int64(events[index]) // columns, np.int64(events[index]) % columns
            for i in range(max(row - far, 0), min(row + far + 1, rows)):
                for j in range(max(column - far, 0), min(column + far + 1, columns)):
                    if stamp[i, j]:
                        found[max(abs(i - row), abs(j - column))] += stamp[i, j]
            stamp[row, column] += 1
            total[row, column] += 1
        for index in range(begins[k], ends[k]):
            stamp[np.int64(events[index]) // columns, np.int64(events[index]) % columns] = 0


@njit(cache=True, nogil=True)
def _expect(total: Integers, expected: Floats) -> None:  # pragma: no cover
    """Fill the pairs that independent electrons would make, times the number of frames."""
    rows, columns = total.shape
    far = len(expected) - 1
    for row in range(rows):
        for column in range(columns):
            here = total[row, column]
            if not here:
                continue
            expected[0] += here * (here - 1) / 2
            for i in range(max(row - far, 0), min(row + far + 1, rows)):
                for j in range(max(column - far, 0), min(column + far + 1, columns)):
                    if i > row or (i == row and j > column):
                        expected[max(i - row, abs(j - column))] += here * total[i, j]
