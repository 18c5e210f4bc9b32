"""The part of a field that an image fills: a field of one tile is taken whole, of a larger one what is not zero."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ONE_TILE = 96
"""Positions a side up to which a field is looked at as a whole. Chosen: 48 and 64, at which the constants of this stage
were measured, are below it, and its dark-field images are binned as those of 64 are."""


class Window(NamedTuple):
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right`` of a field, the last of either left out."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """What cuts the window out of an image (ny, nx)."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def moved(self, shift: NDArray[np.int64]) -> "Window":
        """Return the window moved by whole positions."""
        row, column = int(shift[0]), int(shift[1])
        return Window(self.top + row, self.bottom + row, self.left + column, self.right + column)

    def grown(self, by: int) -> "Window":
        """Return the window with a margin."""
        return Window(self.top - by, self.bottom + by, self.left - by, self.right + by)

    def common(self, other: "Window") -> "Window":
        """Return what two windows have in common; empty where they have nothing."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        return Window(top, max(top, min(self.bottom, other.bottom)), left, max(left, min(self.right, other.right)))

    def around(self, other: "Window") -> "Window":
        """Return the least window that holds both."""
        return Window(
            min(self.top, other.top), max(self.bottom, other.bottom),
            min(self.left, other.left), max(self.right, other.right),
        )  # fmt: skip

    @property
    def size(self) -> int:
        """Positions."""
        return (self.bottom - self.top) * (self.right - self.left)


def whole_field(scan_shape: tuple[int, int]) -> Window:
    """Return the window of a whole field."""
    return Window(0, scan_shape[0], 0, scan_shape[1])


def is_one_tile(scan_shape: tuple[int, int]) -> bool:
    """Return whether a field is looked at as a whole."""
    return max(scan_shape) <= ONE_TILE


def filled(image: NDArray[np.generic]) -> Window:
    """Return the window of an image (ny, nx) beyond which it is zero."""
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    if not len(rows):
        return Window(0, 0, 0, 0)
    return Window(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)


def window_of(image: NDArray[np.generic]) -> Window:
    """Return the window that holds an image (ny, nx): of a small field all of it."""
    return whole_field((image.shape[0], image.shape[1])) if is_one_tile(image.shape[:2]) else filled(image)
