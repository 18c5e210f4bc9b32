"""Maps on a grid and coefficients of a hemisphere, by real Fourier transforms in single precision."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from tasks.model import UnitCell


class FourierGrid(NamedTuple):
    """Where the coefficients of a hemisphere (n,) stand in the half-complex array of a real map."""

    shape: tuple[int, int, int]
    slot: NDArray[np.int64]
    """(n,) flat position of each reflection."""
    mate_row: NDArray[np.int64]
    """Reflections with l = 0, whose Friedel mates are stored too,"""
    mate_slot: NDArray[np.int64]
    """and where."""

    def to_map(self, coefficients: NDArray[np.complexfloating]) -> NDArray[np.float32]:
        """Return sum over h of F(h) exp(-2 pi i h.x), over the number of grid points; F(000) = 0."""
        half = np.zeros(self.shape[0] * self.shape[1] * (self.shape[2] // 2 + 1), dtype=np.complex64)
        half[self.slot] = coefficients.conj()
        half[self.mate_slot] = coefficients[self.mate_row]
        cube = half.reshape(self.shape[0], self.shape[1], -1)
        return fft.irfftn(cube, s=self.shape, overwrite_x=True)

    def to_coefficients(self, density: NDArray[np.float32]) -> NDArray[np.complex64]:
        """Return the coefficients (n,) of a map: the inverse of `to_map`."""
        return fft.rfftn(density).reshape(-1)[self.slot].conj()


def grid_shape(cell: UnitCell, spacing_angstrom: float) -> tuple[int, int, int]:
    """Return the smallest grid that transforms fast and is no coarser than the spacing."""
    shape = [int(fft.next_fast_len(int(np.ceil(length / spacing_angstrom)), real=True)) for length in
             (cell.a, cell.b, cell.c)]  # fmt: skip
    return shape[0], shape[1], shape[2]


def fourier_grid(hkl: NDArray[np.int32], shape: tuple[int, int, int]) -> FourierGrid:
    """Return the places of a hemisphere's reflections (n, 3), l >= 0, on a grid.

    Raises
    ------
    ValueError
        If the grid is too coarse for an index.
    """
    if (2 * np.abs(hkl).max(axis=0) >= np.array(shape)).any():
        raise ValueError(f"the grid {shape} is too coarse for indices up to {np.abs(hkl).max(axis=0)}")
    half = shape[2] // 2 + 1
    h, k, l = hkl.T.astype(np.int64)
    mate = np.flatnonzero(l == 0)
    slot = ((h % shape[0]) * shape[1] + k % shape[1]) * half + l
    mate_slot = ((-h[mate] % shape[0]) * shape[1] + -k[mate] % shape[1]) * half
    return FourierGrid(shape, slot, mate, mate_slot)
