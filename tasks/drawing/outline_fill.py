"""Filling an outline while it is drawn, at the same price for its last point as for its first."""

import numpy as np
from numpy.typing import NDArray

from tasks.drawing.shapes import Point


class OutlineFill:
    """The positions inside an outline that grows by points and is closed by a straight line.

    Inside is from where a line to the right crosses the outline an odd number of times (even-odd rule): every stretch
    flips the positions to its left in the rows it spans, and nothing has to be flipped twice. Of positions exactly on
    the outline those at its lower and right sides are outside.
    """

    def __init__(self, scan_shape: tuple[int, int]) -> None:
        self._flipped = np.zeros(scan_shape, dtype=bool)
        self._columns = np.arange(scan_shape[1])
        self._first: Point | None = None
        self._last: Point | None = None

    def add(self, point: Point) -> None:
        """Go on to a point (row, column)."""
        if self._first is None or self._last is None:
            self._first = point
        else:
            self._flip(self._flipped, self._last, point)
        self._last = point

    def mask(self) -> NDArray[np.bool_]:
        """Return the positions inside, (ny, nx), the outline closed from its last point to its first."""
        out = self._flipped.copy()
        if self._first is not None and self._last is not None:
            self._flip(out, self._last, self._first)
        return out

    def _flip(self, mask: NDArray[np.bool_], start: Point, stop: Point) -> None:
        """Flip the positions left of a stretch; upwards or downwards makes no difference to the last bit."""
        (top, left), (bottom, right) = sorted((start, stop))
        first, last = (int(np.clip(np.ceil(row), 0, len(mask))) for row in (top, bottom))
        if first < last:
            crossing = left + (np.arange(first, last) - top) * ((right - left) / (bottom - top))
            mask[first:last] ^= self._columns < crossing[:, None]
