"""Where detectors that are shifted by whole pixels are laid, so that no electron is lost."""

from collections.abc import Sequence
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
