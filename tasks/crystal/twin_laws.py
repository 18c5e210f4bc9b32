"""Twin laws: operations that map a lattice on itself, nearly, but not the structure in it.

A law is a matrix (3, 3) on indices as columns, h' = law @ h, as in SHELXL's TWIN: what the crystal turned by it
diffracts at h is what the crystal itself diffracts at h'. Whole numbers in a primitive cell, fractions at most in a
centred one.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.lattice import (
    lattice_rotations,
    metric,
    misfit_deg,
    primitive_basis,
    proper_rotations,
    reduced_basis,
    rotation_order,
    symmetrised_cell,
    transformed_cell,
)
from tasks.crystal.miller import pack
from tasks.model import UnitCell

Law = NDArray[np.float64]
IDENTITY_LAW: Law = np.eye(3)
"""Of the first component."""
OBLIQUITY_DEG = 1.0
"""Up to which twins by pseudo-merohedry are looked for. Chosen, not measured: turned by twice as much, a spot at 1 A
lies 0.035 1/A beside its partner, a third of the way to the next one of a 10 A axis; further apart two are seen."""

GENERIC = UnitCell.of((7.1, 8.3, 9.7, 81.0, 97.0, 104.0))
"""Any cell without symmetry: averaged over a group's rotations it has the symmetry of the system and no more."""
EXACT_DEG = 1e-3
"""What rounding of a cell of symmetric axes comes to: lengths of five digits strain it by 6e-4 degrees."""


class TwinLaw(NamedTuple):
    """A coset of the structure's rotations in those of the lattice, by one of its members."""

    law: Law
    order: int
    """2, 3, 4 or 6 of the member, the lowest of the coset."""
    obliquity_deg: float
    """What the lattice must be strained by to have it: 0 for merohedry."""

    @property
    def triplet(self) -> str:
        """As it is written in words: 'k,h,-l'."""
        return law_triplet(self.law)


def is_merohedral(law: Sequence[Sequence[float]], laue: gemmi.SpaceGroup) -> bool:
    """Tell whether every lattice of a Laue group's system has a law, whatever its cell."""
    cell = symmetrised_cell(GENERIC, laue)
    return misfit_deg(np.array(law, dtype=np.float64).T, metric(cell)) < EXACT_DEG


def law_triplet(law: NDArray[np.float64]) -> str:
    """Return a law as indices: 'k,h,-l', '-h,-k,l', '1/2*h+3/2*k,1/2*h-1/2*k,-l'."""
    return ",".join(_row(row) for row in np.asarray(law))


def _row(row: NDArray[np.float64]) -> str:
    text = ""
    for value, name in zip(row, "hkl", strict=True):
        part = Fraction(float(value)).limit_denominator(12)
        if part == 0:
            continue
        sign = "-" if part < 0 else "+" if text else ""
        text += f"{sign}{'' if abs(part) == 1 else f'{abs(part)}*'}{name}"
    return text or "0"


def twin_laws(cell: UnitCell, laue: gemmi.SpaceGroup, *, obliquity_deg: float = OBLIQUITY_DEG) -> tuple[TwinLaw, ...]:
    """Return the laws by which a structure of a Laue group can be twinned in its lattice, simplest first.

    The rotations of the lattice, within a tolerance of its metric, are parted into cosets of those of the Laue group;
    each but the first is a law (Flack, Acta Cryst. A43, 564-568, 1987). Inversion is no law: Friedel mates are merged.
    Only laws that leave the Laue group as it is: the intensities of others do not obey it, and are not merged in it.

    Parameters
    ----------
    laue
        With centring, in the axes of `cell`.
    obliquity_deg
        Of Le Page, up to which the lattice is taken to have an axis.
    """
    centred = primitive_basis(laue.centring_type())
    primitive = centred @ reduced_basis(transformed_cell(cell, centred))
    inverse = np.linalg.inv(primitive)
    whole = [
        primitive @ rotation @ inverse
        for rotation in lattice_rotations(transformed_cell(cell, primitive), obliquity_deg)
    ]
    return _cosets([rotation.astype(np.float64) for rotation in proper_rotations(laue)], whole, metric(cell))


def law_between(subgroup: gemmi.SpaceGroup, laue: gemmi.SpaceGroup) -> TwinLaw:
    """Return the simplest rotation that a Laue group has and a subgroup of index two in its axes lacks.

    Raises
    ------
    ValueError
        If the one is no such subgroup of the other.
    """
    own, whole = ([rotation.astype(np.float64) for rotation in proper_rotations(group)] for group in (subgroup, laue))
    laws = _cosets(own, whole, np.eye(3))
    if len(laws) != 1 or not {_key(rotation) for rotation in own} <= {_key(rotation) for rotation in whole}:
        raise ValueError(f"{subgroup.xhm()} is no subgroup of index two of {laue.xhm()}")
    return laws[0]._replace(obliquity_deg=0.0)


def law_of_triplet(text: str) -> Law:
    """Return the matrix of a law written as indices, the inverse of `law_triplet`.

    Raises
    ------
    ValueError
        If it is no law.
    """
    try:
        rows = np.array(gemmi.Op(text).rot, dtype=np.float64).T / gemmi.Op.DEN  # gemmi takes indices as rows
    except RuntimeError as error:
        raise ValueError(f"{text!r} is no twin law: write it like 'k,h,-l'") from error
    if not np.isclose(abs(np.linalg.det(rows)), 1.0):
        raise ValueError(f"{text!r} is no twin law: its determinant is {np.linalg.det(rows):.3g}")
    return np.asarray(rows, dtype=np.float64)


def _cosets(
    own: Sequence[NDArray[np.float64]], whole: Sequence[NDArray[np.float64]], tensor: NDArray[np.float64]
) -> tuple[TwinLaw, ...]:
    taken = {_key(rotation) for rotation in own}
    laws = []
    for rotation in sorted(whole, key=_simplicity):
        if _key(rotation) in taken or not _normalises(rotation, own):
            continue
        taken |= {_key(rotation @ inner) for inner in own}
        law = np.asarray(np.round(rotation.T, 9) + 0.0, dtype=np.float64)
        laws.append(TwinLaw(law, rotation_order(_whole_trace(rotation)), misfit_deg(rotation, tensor)))
    return tuple(laws)


def _whole_trace(rotation: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return a matrix of the same trace, whole numbers: a rotation in a centred cell has fractions elsewhere."""
    return np.diag([round(float(np.trace(rotation))), 0, 0])


def _key(rotation: NDArray[np.float64]) -> bytes:
    return np.rint(12 * rotation).astype(np.int64).tobytes()


def _normalises(rotation: NDArray[np.float64], own: Sequence[NDArray[np.float64]]) -> bool:
    inverse = np.linalg.inv(rotation)
    group = {_key(inner) for inner in own}
    return all(_key(inverse @ inner @ rotation) in group for inner in own)


def _simplicity(rotation: NDArray[np.float64]) -> tuple[float, float, float, tuple[float, ...]]:
    """Return what orders the members of a coset: twofold first, few entries, few signs, the identity's likeness."""
    order = rotation_order(_whole_trace(rotation))
    return (
        order,
        float(np.abs(rotation).sum()),
        float((rotation < -1e-9).sum()),
        tuple(-np.round(rotation.T, 6).ravel()),
    )


def twin_indices(hkl: NDArray[np.int32], law: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return the indices h' = law @ h that a law relates to (n, 3), rounded as SHELXL rounds them."""
    return np.asarray(np.rint(hkl @ np.asarray(law, dtype=np.float64).T), dtype=np.int32)


def turned_cell(cell: UnitCell, law: NDArray[np.float64]) -> UnitCell:
    """Return the cell in axes turned by a law, those in which indices are law @ hkl."""
    return transformed_cell(cell, np.asarray(law, dtype=np.float64).T)


def orbit_number(hkl: NDArray[np.int32], hall: str, laws: Sequence[NDArray[np.float64]]) -> NDArray[np.int64]:
    """Return a number for each reflection (n, 3), (n,): equal where symmetry, inversion or laws relate them, from 0."""
    rotations = {
        np.array(operation.rot, dtype=np.int32).tobytes(): np.array(operation.rot, dtype=np.int32) // gemmi.Op.DEN
        for operation in gemmi.symops_from_hall(hall).sym_ops
    }
    best = np.full(len(hkl), np.iinfo(np.int64).min)
    for law in laws:
        turned = twin_indices(hkl, law)
        for rotation in rotations.values():
            image = (turned @ rotation).astype(np.int32)
            best = np.maximum(best, np.maximum(pack(image), pack(-image)))
    return np.asarray(np.unique(best, return_inverse=True)[1].reshape(-1), dtype=np.int64)
