"""Exact sums of electron events, shifted by whole pixels: every electron is counted once, whatever the threads."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tasks.events.canvas import Canvas
from tasks.events.store import ScanEvents


def sum_events(
    scan: ScanEvents,
    *,
    positions: NDArray[np.int64],
    shifts: NDArray[np.int64],
    detector_columns: int,
    canvas: Canvas,
    coin: np.random.Generator | None,
) -> tuple[NDArray[np.uint32], NDArray[np.uint32] | None]:
    """Return the sum of some scan positions, (slow, fast), and the half of it that a coin chose.

    Parameters
    ----------
    positions
        (n,) flat scan positions, ascending.
    shifts
        (n, 2) whole pixels, slow and fast, added to the detector position of every electron of that scan position.
    coin
        One throw per electron in the order of the positions; None makes no half.

    Raises
    ------
    ValueError
        If an electron lies outside the canvas: events and shifts contradict each other.
    """
    bounds = scan.offsets.astype(np.int64)
    begins, ends = bounds[positions], bounds[positions + 1]
    total = int((ends - begins).sum())
    whole = np.zeros(canvas.shape, dtype=np.uint32)
    half = np.zeros(canvas.shape if coin is not None else (0, 0), dtype=np.uint32)
    heads = np.zeros(0, dtype=np.uint8) if coin is None else coin.integers(0, 2, size=total, dtype=np.uint8)
    outside = _add(begins, ends, scan.events, shifts + canvas.origin, detector_columns, whole, half, heads)
    if outside:
        raise ValueError(f"{outside} of {total} electrons lie outside the canvas {canvas.shape}")
    return whole, (None if coin is None else half)


def sum_pattern(
    scan: ScanEvents,
    detector_shape: tuple[int, int],
    *,
    shifts: NDArray[np.integer] | None = None,
    keep: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint32]:
    """Return the sum of a whole scan on the bare detector, (slow, fast): for finding beams and spots.

    Events that the shifts carry off the detector are left out here, and here only.

    Parameters
    ----------
    shifts
        (n, 2) whole pixels by which each position's events are moved; None = none.
    keep
        (n,), the positions that are summed; None = all.
    """
    positions = np.arange(scan.offsets.size - 1) if keep is None else np.flatnonzero(keep)
    moves = np.zeros((len(positions), 2), dtype=np.int64) if shifts is None else shifts[positions].astype(np.int64)
    bounds = scan.offsets.astype(np.int64)
    whole = np.zeros(detector_shape, dtype=np.uint32)
    _add(
        bounds[positions], bounds[positions + 1], scan.events, moves, detector_shape[1],
        whole, np.zeros((0, 0), dtype=np.uint32), np.zeros(0, dtype=np.uint8),
    )  # fmt: skip
    return whole


@njit(cache=True, nogil=True)
def _add(
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    events: NDArray[np.uint32],
    origins: NDArray[np.int64],
    columns: int,
    whole: NDArray[np.uint32],
    half: NDArray[np.uint32],
    heads: NDArray[np.uint8],
) -> int:
    """Add every event, in one thread, so that no increment is lost; return how many lie outside."""
    split = half.size > 0
    outside = 0
    throw = 0
    for k in range(len(begins)):
        for index in range(begins[k], ends[k]):
            row = events[index] // columns + origins[k, 0]
            column = events[index] % columns + origins[k, 1]
            if 0 <= row < whole.shape[0] and 0 <= column < whole.shape[1]:
                whole[row, column] += 1
                if split:
                    half[row, column] += heads[throw]
            else:
                outside += 1
            throw += 1
    return outside
