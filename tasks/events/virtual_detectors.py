"""Virtual detectors: electrons of every scan position in regions of the detector."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tasks.events.coin import coin_of_event
from tasks.events.store import ScanEvents

BACKGROUND = -1
"""Label of the pixels of the background."""
BEAM = -2
"""Label of the direct beam."""
IGNORED = 0
"""Label of pixels that are not counted; spots are numbered from 1."""


@njit(cache=True, nogil=True)
def _beam_moments(
    offsets: NDArray[np.uint64],
    events: NDArray[np.uint32],
    columns: int,
    centre: NDArray[np.float64],
    radius: float,
    moments: NDArray[np.float64],
) -> None:
    for position in range(offsets.size - 1):
        for index in range(np.int64(offsets[position]), np.int64(offsets[position + 1])):
            row = np.float64(np.int64(events[index]) // columns) - centre[0]
            column = np.float64(np.int64(events[index]) % columns) - centre[1]
            if row * row + column * column <= radius * radius:
                moments[position, 0] += 1.0
                moments[position, 1] += row
                moments[position, 2] += column


def beam_moments(
    scan: ScanEvents, columns: int, *, centre: NDArray[np.float64], radius_px: float
) -> NDArray[np.float64]:
    """Return (n, 3): electrons within a disc of the detector, and the sums of their slow and fast offsets, px."""
    moments = np.zeros((scan.offsets.size - 1, 3))
    _beam_moments(scan.offsets, scan.events, columns, centre, radius_px, moments)
    return moments


@njit(cache=True, nogil=True)
def _label_events(
    offsets: NDArray[np.uint64],
    events: NDArray[np.uint32],
    shifts: NDArray[np.int32],
    labels: NDArray[np.int32],
    seed: int,
    simple: NDArray[np.int32],
    spots: NDArray[np.int32],
) -> int:
    rows, columns = labels.shape
    found = 0
    for position in range(offsets.size - 1):
        for index in range(np.int64(offsets[position]), np.int64(offsets[position + 1])):
            row = np.int64(events[index]) // columns + shifts[position, 0]
            column = np.int64(events[index]) % columns + shifts[position, 1]
            if row < 0 or row >= rows or column < 0 or column >= columns:
                continue
            label = labels[row, column]
            if label == BEAM:
                simple[position, 0] += 1
            elif label == BACKGROUND:
                simple[position, 1] += 1
            elif label > 0:
                spots[found, 0] = position
                spots[found, 1] = label - 1
                spots[found, 2] = coin_of_event(index, seed)
                found += 1
    return found


class LabelledEvents:
    """Counts of one scan by detector region.

    Attributes
    ----------
    beam, background
        (n_positions,) electrons in the direct beam and in the background region.
    position, spot, half
        (n_spot_events,): position, spot index from 0, and 0 or 1 by a seeded coin.
    """

    def __init__(self, scan: ScanEvents, labels: NDArray[np.int32], *, shifts: NDArray[np.int32], seed: int) -> None:
        simple = np.zeros((scan.offsets.size - 1, 2), dtype=np.int32)
        spots = np.empty((scan.events.size, 3), dtype=np.int32)
        found = _label_events(scan.offsets, scan.events, shifts, labels, seed, simple, spots)
        self.beam = simple[:, 0]
        self.background = simple[:, 1]
        self.position, self.spot, self.half = np.ascontiguousarray(spots[:found].T)
