"""The heaviest empty rectangle of a counted pattern: where nothing was counted though most was expected.

Maximal rectangles by a stack of heights, row by row: D. Vandevoorde, "The maximal rectangle problem", Dr. Dobb's
Journal, April 1998; here each is weighed by what is expected in it, from an integral image.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray


class PixelRectangle(NamedTuple):
    """Rows from `top` to `bottom` and columns from `left` to `right`, half open."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def pixels(self) -> tuple[slice, slice]:
        """Its pixels as an index of a (slow, fast) array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def area(self) -> int:
        """How many pixels it has."""
        return (self.bottom - self.top) * (self.right - self.left)

    def shared(self, other: "PixelRectangle") -> float:
        """Return the area that two rectangles share over that of both together."""
        rows = min(self.bottom, other.bottom) - max(self.top, other.top)
        columns = min(self.right, other.right) - max(self.left, other.left)
        both = max(rows, 0) * max(columns, 0)
        return both / max(self.area + other.area - both, 1)


def integral(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return sums (slow + 1, fast + 1) over all rows above and all columns before."""
    result = np.zeros((image.shape[0] + 1, image.shape[1] + 1))
    np.cumsum(np.cumsum(image, axis=0), axis=1, out=result[1:, 1:])
    return result


def sum_within(sums: NDArray[np.float64], place: PixelRectangle) -> float:
    """Return the sum of an image over a rectangle, from its `integral`."""
    top, left, bottom, right = place
    return float(sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left])


def heaviest_empty(occupied: NDArray[np.bool_], expected: NDArray[np.float64]) -> tuple[PixelRectangle, float]:
    """Return the rectangle without an occupied pixel in which most is expected, and how much that is.

    Parameters
    ----------
    occupied
        (slow, fast), True where something was counted.
    expected
        (slow, fast), counts; zero where a pixel is not judged.
    """
    top, left, bottom, right, weight = _heaviest(occupied, integral(expected))
    return PixelRectangle(int(top), int(left), int(bottom), int(right)), float(weight)


@njit(cache=True, nogil=True)
def _heaviest(
    occupied: NDArray[np.bool_], sums: NDArray[np.float64]
) -> tuple[int, int, int, int, float]:  # pragma: no cover
    rows, columns = occupied.shape
    height = np.zeros(columns + 1, dtype=np.int64)
    begin = np.zeros(columns + 1, dtype=np.int64)
    high = np.zeros(columns + 1, dtype=np.int64)
    best = (0, 0, 0, 0, 0.0)
    for row in range(rows):
        depth = 0
        for column in range(columns + 1):
            if column < columns:
                height[column] = 0 if occupied[row, column] else height[column] + 1
            here = height[column] if column < columns else 0
            first = column
            while depth > 0 and high[depth - 1] >= here:
                depth -= 1
                first = begin[depth]
                if high[depth] > here:
                    top = row + 1 - high[depth]
                    weight = sums[row + 1, column] - sums[top, column] - sums[row + 1, first] + sums[top, first]
                    if weight > best[4]:
                        best = (top, first, row + 1, column, weight)
            if here > 0:
                begin[depth], high[depth] = first, here
                depth += 1
    return best
