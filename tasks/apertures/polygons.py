"""Polygons that regions are drawn by."""

import numpy as np
from numpy.typing import NDArray


def crossing_sides(corners: NDArray[np.float64]) -> tuple[int, int] | None:
    """Return the first two sides of a polygon that cross, by the corners that they begin at; None if none do.

    Sides that touch, or lie upon each other, do not cross. Two cross if each has its ends on both sides of the other.

    Parameters
    ----------
    corners
        (n, 2), in order; the last side leads back to the first.
    """
    ends = np.roll(corners, -1, axis=0)
    for number, (start, stop) in enumerate(zip(corners, ends, strict=True)):
        apart = _turn(start, stop, corners) * _turn(start, stop, ends) < 0
        parted = _turn(corners, ends, start) * _turn(corners, ends, stop) < 0
        if (crossed := np.flatnonzero(apart & parted)).size:
            return number, int(crossed[0])
    return None


def _turn(start: NDArray[np.float64], stop: NDArray[np.float64], point: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sign of the turn from start over stop to point, each (2,) or (n, 2): 0 on one line."""
    along, towards = stop - start, point - start
    turn: NDArray[np.float64] = np.sign(along[..., 0] * towards[..., 1] - along[..., 1] * towards[..., 0])
    return turn
