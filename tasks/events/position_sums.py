"""Sums over some scan positions that change a little at a time, and electrons of every position in a region."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tasks.events.store import ScanEvents, position_blocks
from tasks.events.virtual_detectors import count_detectors


def add_positions(
    scan: ScanEvents, positions: NDArray[np.int64], pattern: NDArray[np.uint32], *, taken_off: bool = False
) -> None:
    """Add the electrons of some positions, (n,) flat, to a pattern (slow, fast), or take them off it, in place.

    What is taken off must have been added before: a pattern holds no negative number.
    """
    step = np.uint32(2**32 - 1 if taken_off else 1)
    for part in position_blocks(scan, positions):
        _add_signed(part.begins, part.ends, part.events, step, pattern.reshape(-1))


def electrons_inside(scan: ScanEvents, region: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Return (n_positions,): the electrons of every position in a region of the detector, (slow, fast)."""
    return count_detectors(scan, [region])[0]


@njit(cache=True, nogil=True)
def _add_signed(
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    events: NDArray[np.uint32],
    step: np.uint32,
    pattern: NDArray[np.uint32],
) -> None:
    """Add in one thread, so that no increment is lost; a step of 2^32 - 1 is minus one."""
    for k in range(len(begins)):
        for index in range(begins[k], ends[k]):
            pattern[events[index]] += step
