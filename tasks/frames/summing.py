"""Exact sums of electron events, shifted by whole pixels: every electron is counted once, whatever the threads."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray


class Canvas(NamedTuple):
    """The frame into which shifted detectors are laid.

    It is as much larger than the detector as the shifts need, so that no electron falls off its edge. ``top`` and
    ``left`` are where a detector that is not shifted begins.
    """

    shape: tuple[int, int]
    top: int
    left: int

    @property
    def origin(self) -> NDArray[np.int64]:
        """(top, left)."""
        return np.array([self.top, self.left], dtype=np.int64)


def canvas_for(shifts: NDArray[np.int64], detector_shape: tuple[int, int]) -> Canvas:
    """Return the smallest canvas that holds the detector at all of these shifts, (n, 2) slow and fast."""
    low = np.minimum(shifts.min(axis=0), 0) if len(shifts) else np.zeros(2, dtype=np.int64)
    high = np.maximum(shifts.max(axis=0), 0) if len(shifts) else np.zeros(2, dtype=np.int64)
    rows, columns = (np.array(detector_shape) + high - low).tolist()
    return Canvas((rows, columns), -int(low[0]), -int(low[1]))


def covered(
    shifts: NDArray[np.int64],
    detector_shape: tuple[int, int],
    canvas: Canvas,
    bad_px: Sequence[tuple[int, int]] = (),
) -> NDArray[np.bool_]:
    """Return the pixels of the canvas, (slow, fast), that a good detector pixel covers at every one of the shifts."""
    mask = np.zeros(canvas.shape, dtype=bool)
    top, left = (shifts.max(axis=0) + canvas.origin).tolist()
    bottom, right = (shifts.min(axis=0) + canvas.origin + np.array(detector_shape)).tolist()
    mask[top:bottom, left:right] = True
    for row, column in bad_px:
        laid = np.unique(shifts, axis=0) + canvas.origin + (row, column)
        mask[laid[:, 0], laid[:, 1]] = False
    return mask


def sum_events(
    offsets: NDArray[np.uint64],
    events: NDArray[np.uint32],
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
    offsets, events
        See `TiltScan`.
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
    bounds = offsets.astype(np.int64)
    begins, ends = bounds[positions], bounds[positions + 1]
    total = int((ends - begins).sum())
    whole = np.zeros(canvas.shape, dtype=np.uint32)
    half = np.zeros(canvas.shape if coin is not None else (0, 0), dtype=np.uint32)
    heads = np.zeros(0, dtype=np.uint8) if coin is None else coin.integers(0, 2, size=total, dtype=np.uint8)
    outside = _add(begins, ends, events, shifts + canvas.origin, detector_columns, whole, half, heads)
    if outside:
        raise ValueError(f"{outside} of {total} electrons lie outside the canvas {canvas.shape}")
    return whole, (None if coin is None else half)


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


def pattern_of(
    offsets: NDArray[np.uint64],
    events: NDArray[np.uint32],
    *,
    shifts: NDArray[np.int64] | None,
    detector_shape: tuple[int, int],
) -> NDArray[np.uint32]:
    """Return the sum of all positions of a scan on the bare detector, (slow, fast), for finding the beam.

    Events that the shifts carry off the detector are left out here, and here only.
    """
    if shifts is None:
        size = detector_shape[0] * detector_shape[1]
        return np.bincount(events, minlength=size).astype(np.uint32).reshape(detector_shape)
    canvas = canvas_for(shifts, detector_shape)
    positions = np.arange(len(offsets) - 1)
    whole, _ = sum_events(
        offsets,
        events,
        positions=positions,
        shifts=shifts,
        detector_columns=detector_shape[1],
        canvas=canvas,
        coin=None,
    )
    return whole[canvas.top : canvas.top + detector_shape[0], canvas.left : canvas.left + detector_shape[1]]
