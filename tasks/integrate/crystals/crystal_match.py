"""Whether two crystals are of one form, and how the second must be indexed: intensities decide."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.crystal.correlation import correlation
from tasks.crystal.lattice import (
    Matrix,
    metric,
    primitive_basis,
    proper_rotations,
    reduced_basis,
    transformed_cell,
)
from tasks.crystal.lattice_match import isometries
from tasks.crystal.scattering import d_star_squared
from tasks.crystal.symmetry import space_group
from tasks.integrate.merging.equivalents import merge_equivalents
from tasks.integrate.merging.normalisation import normalised_intensities
from tasks.integrate.models import Reflections
from tasks.integrate.reflection_file import Unmerged, read_unmerged
from tasks.model import UnitCell

MIN_COMMON = 25
"""Fewer common reflections say nothing about the indexing."""
LENGTH_TOLERANCE, ANGLE_TOLERANCE_DEG = 0.03, 2.5
"""Two crystals, each strained by 1 % along and across the tilt axis (distorted frames), in opposite directions of the
crystal: axes differ by 2 %, a right angle by 2.3 degrees (twice 2 x 0.01 rad). Wider ones only add wrong indexings."""
AMBIGUOUS = 0.02
"""Indexings whose correlations differ by less are taken for symmetry equivalent."""


class Table(NamedTuple):
    """Mean |E| of reflections: ``hkl`` (n, 3), of Friedel mates the one that sorts higher; ``value`` (n,)."""

    hkl: NDArray[np.int64]
    value: NDArray[np.float64]


class ReducedCrystal(NamedTuple):
    """One crystal in its primitive reduced cell.

    ``basis`` (3, 3) takes the indices of its own cell there, ``hkl @ basis``; ``rotations`` are those of its Laue
    group in the reduced cell.
    """

    id: str
    cell: UnitCell
    basis: NDArray[np.float64]
    data: Unmerged
    rotations: tuple[Matrix, ...]


class Match(NamedTuple):
    """How one crystal fits others: ``hkl @ basis`` is its best indexing; None where it cannot be told."""

    basis: Matrix
    correlation: float | None
    runner_up: float | None
    common: int


def reduced_crystal(reflections: Reflections) -> ReducedCrystal:
    """Bring the observations of a Reflections document to the primitive reduced cell."""
    laue = space_group(reflections.laue_group)
    primitive = primitive_basis(laue.centring_type())
    basis = primitive @ reduced_basis(transformed_cell(reflections.unit_cell, primitive))
    inverse = np.linalg.inv(basis)
    data = read_unmerged(reflections.unmerged)
    hkl = np.rint(data.hkl @ basis).astype(np.int32)
    rotations = tuple(np.rint(inverse @ rotation @ basis).astype(np.int64) for rotation in proper_rotations(laue))
    cell = transformed_cell(reflections.unit_cell, basis)
    return ReducedCrystal(reflections.id, cell, basis, data._replace(hkl=hkl), rotations)


def amplitudes(crystal: ReducedCrystal) -> Table:
    """Return |E| of all reflections and their equivalents, with the sign of hkl that sorts higher (Friedel)."""
    merged = merge_equivalents(crystal.data, space_group("P -1"))
    factor = normalised_intensities(merged.intensity, d_star_squared(merged.hkl, crystal.cell))
    values = np.sqrt(np.maximum(merged.intensity * factor, 0.0))
    images = np.concatenate([merged.hkl.astype(np.int64) @ rotation for rotation in crystal.rotations])
    return averaged(images, np.tile(values, len(crystal.rotations)))


def averaged(hkl: NDArray[np.int64], value: NDArray[np.float64]) -> Table:
    """Return the table of the means of equal reflections and Friedel mates, (n, 3) and (n,)."""
    unique, first, member = np.unique(row_keys(hkl), return_index=True, return_inverse=True)
    mean = np.bincount(member, weights=value) / np.bincount(member)
    return Table(_folded(hkl[first]), mean[: len(unique)])


def match_crystals(crystal: ReducedCrystal, table: Table, onto: UnitCell) -> Match | None:
    """Return the best indexing of a crystal against the |E| of others; None if the lattices differ.

    All indexings that the lattice's metric allows are tried; symmetry-equivalent ones agree equally well, and the
    best that does not is the runner-up.
    """
    bases = _distinct(
        isometries(crystal.cell, onto, length_tolerance=LENGTH_TOLERANCE, angle_tolerance_deg=ANGLE_TOLERANCE_DEG),
        crystal.rotations,
    )
    if not bases:
        return None
    own = amplitudes(crystal)
    keys = row_keys(table.hkl)
    trials = [_agreement(own, basis, keys, table.value) for basis in bases]
    known = [(value, -number) for number, (value, _) in enumerate(trials) if value is not None]
    if not known:
        return Match(bases[0], None, None, trials[0][1])
    best, minus = max(known)
    others = [value for value, _ in known if value < best - AMBIGUOUS]
    return Match(bases[-minus], best, max(others) if others else None, trials[-minus][1])


def mean_cell(cells: list[tuple[UnitCell, Matrix]], weights: list[float]) -> NDArray[np.float64]:
    """Return the weighted mean metric tensor (3, 3) of cells after their changes of basis."""
    tensors = [basis.T @ metric(cell) @ basis for cell, basis in cells]
    return np.average(np.array(tensors), axis=0, weights=weights)


def _distinct(bases: list[Matrix], rotations: tuple[Matrix, ...]) -> list[Matrix]:
    """Return the first of all bases that differ by a rotation of the crystal's own symmetry only."""
    kept: list[Matrix] = []
    seen: set[bytes] = set()
    for basis in bases:
        if basis.tobytes() not in seen:
            kept.append(basis)
            seen.update(np.ascontiguousarray(rotation @ basis).tobytes() for rotation in rotations)
    return kept


def _agreement(
    own: Table, basis: Matrix, keys: NDArray[np.int64], value: NDArray[np.float64]
) -> tuple[float | None, int]:
    _, first, second = np.intersect1d(row_keys(own.hkl @ basis), keys, return_indices=True)
    if len(first) < MIN_COMMON:
        return None, len(first)
    return correlation(own.value[first], value[second]), len(first)


def row_keys(hkl: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return one number per row (n, 3), equal for Friedel mates only; indices up to 8191 in size."""
    folded = _folded(hkl) + 8192
    return np.asarray((folded[:, 0] * 16384 + folded[:, 1]) * 16384 + folded[:, 2])


def _folded(hkl: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return of each reflection and its Friedel mate the one that sorts higher."""
    h, k, l = hkl.T
    negative = (h < 0) | ((h == 0) & ((k < 0) | ((k == 0) & (l < 0))))
    return np.where(negative[:, None], -hkl, hkl)
