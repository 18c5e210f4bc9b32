"""Averaging coefficients over the operations of a space group."""

from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.miller import pack, to_hemisphere
from tasks.model import InputError


class SymmetryAverage(NamedTuple):
    """For k operations and n reflections: F(h) = mean over k of F(row), conjugated or not, times a phase factor."""

    row: NDArray[np.int64]
    """(k, n)"""
    conjugate: NDArray[np.bool_]
    """(k, n)"""
    factor: NDArray[np.complex64]
    """(k, n)"""


def symmetry_average(hkl: NDArray[np.int32], group: gemmi.GroupOps, conjugated: NDArray[np.bool_]) -> SymmetryAverage:
    """Return the table for reflections (n, 3) of a hemisphere that is closed under the group.

    Parameters
    ----------
    hkl
        In the cell to which the operations refer.
    conjugated
        (n,) whether the coefficient kept is that of the Friedel mate of `hkl`.

    Raises
    ------
    InputError
        If an equivalent of a reflection is not among them: the group does not fit the Laue class of the data.
    """
    keys = pack(hkl)
    order = np.argsort(keys)
    rows, mates, factors = [], [], []
    for operation in group.sym_ops:
        rotation = np.array(operation.rot, dtype=np.int64) // gemmi.Op.DEN
        translation = np.array(operation.tran, dtype=np.float64) / gemmi.Op.DEN
        image, flipped = to_hemisphere((hkl @ rotation).astype(np.int32))
        place = np.minimum(np.searchsorted(keys[order], pack(image)), len(keys) - 1)
        row = order[place]
        if (keys[row] != pack(image)).any():
            raise InputError("the space group does not fit the Laue class of the data", "choose a group of that class")
        # F(h) = F(hR) exp(2 pi i h.t); a kept mate stands for the conjugate on either side
        factor = np.exp(2j * np.pi * (hkl @ translation))
        rows.append(row)
        mates.append(flipped ^ conjugated[row] ^ conjugated)
        factors.append(np.where(conjugated, factor.conj(), factor).astype(np.complex64))
    return SymmetryAverage(np.array(rows), np.array(mates), np.array(factors))


def average(symmetry: SymmetryAverage, coefficients: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """Return the coefficients (n,) of the density averaged over the group."""
    total = np.zeros_like(coefficients)
    for row, conjugate, factor in zip(*symmetry, strict=True):
        image = coefficients[row]
        total += factor * np.where(conjugate, image.conj(), image)
    return total / np.float32(len(symmetry.row))
