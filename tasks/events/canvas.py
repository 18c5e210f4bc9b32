"""Where detectors that are shifted by whole pixels are laid, so that no electron is lost."""

from typing import NamedTuple

import numpy as np
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


def covered(shifts: NDArray[np.int64], detector_shape: tuple[int, int], canvas: Canvas) -> NDArray[np.bool_]:
    """Return the pixels of the canvas, (slow, fast), that the detector covers at every one of the shifts."""
    mask = np.zeros(canvas.shape, dtype=bool)
    top, left = (shifts.max(axis=0) + canvas.origin).tolist()
    bottom, right = (shifts.min(axis=0) + canvas.origin + np.array(detector_shape)).tolist()
    mask[top:bottom, left:right] = True
    return mask


def measured(shifts: NDArray[np.int64], valid: NDArray[np.bool_], canvas: Canvas) -> NDArray[np.bool_]:
    """Return the pixels of the canvas, (slow, fast), onto which no pixel that is not valid comes by any of the shifts.

    A dead row is smeared over as many rows as the shifts span: what lies there was measured for a part of the
    exposure only.
    """
    mask = np.ones(canvas.shape, dtype=bool)
    if valid.all():
        return mask
    height, width = valid.shape
    for row, column in (np.unique(shifts, axis=0) + canvas.origin).tolist():
        mask[row : row + height, column : column + width] &= valid
    return mask
