"""The motion of the direct beam over a scan as it is kept: reading it imports nothing that measures it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Descan(NamedTuple):
    """How the beam moves over the scan, about its middle.

    ``matrix`` (2, 2): px of (slow, fast) per scan step in (row, column); ``bend`` (2, 3): px of (slow, fast) per square
    step in (row^2, row column, column^2); zero where no motion is seen.
    """

    matrix: NDArray[np.float64]
    bend: NDArray[np.float64]
    span_px: float
    """Largest motion over the scan."""

    def plus(self, more: "Descan", scan_shape: tuple[int, int]) -> "Descan":
        """Return the sum of two motions."""
        return descan_of(self.matrix + more.matrix, scan_shape, bend=self.bend + more.bend)


NO_DESCAN = Descan(np.zeros((2, 2)), np.zeros((2, 3)), 0.0)
"""A beam that stands still: zeros by definition."""


def terms_of(place: NDArray[np.float64], scan_shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return row, column, row^2, row column and column^2 about the scan's middle, (n, 5)."""
    row, column = (place - (np.array(scan_shape) - 1.0) / 2.0).T
    return np.stack([row, column, row * row, row * column, column * column], axis=1)


def descan_of(
    matrix: NDArray[np.float64], scan_shape: tuple[int, int], *, bend: NDArray[np.float64] | None = None
) -> Descan:
    """Return the motion with its largest extent over the scan."""
    if bend is None or not bend.any():
        extent = np.array(scan_shape, dtype=np.float64) - 1.0
        return Descan(matrix, np.zeros((2, 3)), float(np.abs(matrix * extent).sum(axis=1).max()))
    beam = beam_of_positions(Descan(matrix, bend, 0.0), scan_shape, np.zeros(2))
    return Descan(matrix, bend, float(np.ptp(beam, axis=0).max()))


def beam_of_positions(descan: Descan, scan_shape: tuple[int, int], beam_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the direct beam seen from every scan position, (n_positions, 2), given that of the scan's middle."""
    rows, columns = np.divmod(np.arange(scan_shape[0] * scan_shape[1]), scan_shape[1])
    place = np.stack([rows, columns], axis=1)
    linear = (place - (np.array(scan_shape) - 1.0) / 2.0) @ descan.matrix.T
    if not descan.bend.any():
        return beam_px + linear
    return beam_px + linear + terms_of(place.astype(np.float64), scan_shape)[:, 2:] @ descan.bend.T
