"""Electrons of every scan position in the regions of a detector: the beam, the background, each spot."""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from tasks.events.coin import coin_of_event
from tasks.events.store import ScanEvents, position_blocks
from tasks.events.virtual_detectors import BACKGROUND, BEAM


@njit(cache=True, nogil=True)
def _label_events(
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    events: NDArray[np.uint32],
    first: int,
    position0: int,
    shifts: NDArray[np.int32],
    labels: NDArray[np.int32],
    seed: int,
    simple: NDArray[np.int32],
    spots: NDArray[np.int32],
) -> int:
    rows, columns = labels.shape
    found = 0
    for position in range(len(begins)):
        for index in range(begins[position], ends[position]):
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
                spots[found, 0] = position0 + position
                spots[found, 1] = label - 1
                spots[found, 2] = coin_of_event(first + index, seed)
                found += 1
    return found


class LabelledEvents:
    """Counts of one scan by detector region.

    Attributes
    ----------
    beam, background
        (n_positions,) electrons in the direct beam and in the background region.
    halves
        (n_positions, n_spots) each: electrons in the spots, in two halves of the events by a seeded coin; none at
        positions that are not `good`, (n_positions,).
    """

    def __init__(
        self,
        scan: ScanEvents,
        labels: NDArray[np.int32],
        *,
        shifts: NDArray[np.int32],
        spots: int,
        seed: int,
        good: NDArray[np.bool_],
    ) -> None:
        simple = np.zeros((scan.positions, 2), dtype=np.int32)
        parts: tuple[list[csr_matrix], list[csr_matrix]] = ([], [])
        row = 0
        for part in position_blocks(scan):
            here, start = part.ranges, part.ranges.start
            found = np.empty((int(part.ends[-1] - part.begins[0]), 3), dtype=np.int32)
            number = _label_events(
                part.begins, part.ends, part.events, part.first, start, shifts[here], labels, seed, simple[here], found
            )
            position, spot, half = found[:number].T
            for value, rows in enumerate(parts):
                mine = (half == value) & good[position]
                shape = (here.stop - row, spots)  # positions without electrons may lie before
                rows.append(csr_matrix((np.ones(int(mine.sum())), (position[mine] - row, spot[mine])), shape=shape))
            row = here.stop
        self.beam = simple[:, 0]
        self.background = simple[:, 1]
        rest = csr_matrix((scan.positions - row, spots))
        self.halves = (vstack([*parts[0], rest], format="csr"), vstack([*parts[1], rest], format="csr"))
