"""Virtual detectors: electrons of every scan position in regions of the detector."""

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tasks.events.kinds import kinds_of
from tasks.events.store import ScanEvents, position_blocks
from tasks.events.threads import side_by_side

BACKGROUND = -1
"""Label of the pixels of the background."""
BEAM = -2
"""Label of the direct beam."""
IGNORED = 0
"""Label of pixels that are not counted; spots are numbered from 1."""


@njit(cache=True, nogil=True)
def _beam_moments(
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    events: NDArray[np.uint32],
    columns: int,
    centre: NDArray[np.float64],
    radius: float,
    moments: NDArray[np.float64],
) -> None:
    for position in range(len(begins)):
        for index in range(begins[position], ends[position]):
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
    moments = np.zeros((scan.positions, 3))
    for part in position_blocks(scan):
        _beam_moments(part.begins, part.ends, part.events, columns, centre, radius_px, moments[part.ranges])
    return moments


def count_detectors(
    scan: ScanEvents, detectors: Sequence[NDArray[np.bool_]], *, threads: int = 1
) -> NDArray[np.uint32]:
    """Return the electrons (k, n_positions) of every position in any number of virtual detectors, in one pass.

    Pixels that are in the same detectors are counted together, and the counts added up for each detector.

    Parameters
    ----------
    detectors
        (slow, fast) each.
    threads
        Each takes a part of the positions; the result is the same for any number.
    """
    members = np.array([np.asarray(one).ravel() for one in detectors]).reshape(len(detectors), -1)
    kind, held = kinds_of(members)
    in_kind = held.astype(np.float64)  # (k, kinds): exact to 2^53
    small = kind.astype(np.min_scalar_type(in_kind.shape[1]))
    out = np.zeros((len(detectors), scan.positions), dtype=np.uint32)
    every = np.arange(scan.positions)

    def counted(share: slice) -> None:
        for part in position_blocks(scan, every[share]):
            found = np.zeros((len(part.begins), in_kind.shape[1]), dtype=np.uint32)
            _count_kinds(part.begins, part.ends, part.events, small, found)
            out[:, share][:, part.ranges] = in_kind @ found.T.astype(np.float64)

    side_by_side(counted, scan.positions, threads)
    return out


@njit(cache=True, nogil=True)
def _count_kinds(
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    events: NDArray[np.uint32],
    kind: NDArray[np.unsignedinteger],
    found: NDArray[np.uint32],
) -> None:  # pragma: no cover
    for position in range(len(begins)):
        here = found[position]
        for index in range(begins[position], ends[position]):
            here[kind[events[index]]] += np.uint32(1)
