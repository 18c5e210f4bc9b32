"""In how many camera frames a region of the detector was hit: no count means that no electron came, by any rule."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tasks.events.store import ScanEvents, blocks, camera_frames
from tasks.model.arrays import Integers


def frames_hit(
    scan: ScanEvents,
    *,
    positions: NDArray[np.int64],
    origins: NDArray[np.int64],
    groups: NDArray[np.int64],
    detector_columns: int,
    regions: NDArray[np.int64],
) -> Integers:
    """Return the camera frames (regions, groups) of these positions that hold a count in each region.

    Parameters
    ----------
    positions, origins, groups
        (n,) ascending, (n, 2) what is added to the detector position of their electrons, and (n,) the group of each,
        numbered from 0.
    regions
        (slow, fast), numbered from 1; 0 is in none.
    """
    begins, ends = camera_frames(scan, positions)
    first = scan.bounds[positions]
    owner = np.searchsorted(first, begins, side="right") - 1
    shape = int(regions.max(initial=0)) + 1, int(groups.max(initial=-1)) + 1
    hit = np.zeros(shape, dtype=np.int64)
    for part in blocks(scan, begins, ends):
        mine, latest = owner[part.ranges], np.full(shape[0], -1)
        _hit(part.begins, part.ends, part.events, origins[mine], groups[mine], detector_columns, regions, latest, hit)
    return hit[1:]


@njit(cache=True, nogil=True)
def _hit(
    begins: Integers,
    ends: Integers,
    events: NDArray[np.uint32],
    origins: Integers,
    groups: Integers,
    columns: int,
    regions: Integers,
    latest: Integers,
    hit: Integers,
) -> None:  # pragma: no cover
    """Count every frame once for each region."""
    for k in range(len(begins)):
        for index in range(begins[k], ends[k]):
            row = events[index] // columns + origins[k, 0]
            column = events[index] % columns + origins[k, 1]
            region = regions[row, column]
            if region and latest[region] != k:
                latest[region] = k
                hit[region, groups[k]] += 1
