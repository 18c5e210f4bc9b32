"""The conventional axes of a Laue group in a reduced primitive cell."""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.lattice import Matrix, metric, rotation_order
from tasks.model import UnitCell

SEARCH = 3
"""Conventional axes are sought among primitive vectors with coefficients up to this."""


class ConventionalBasis(NamedTuple):
    """Axes of the conventional cell in terms of the primitive ones, as columns, and the setting's symbol."""

    basis: Matrix
    laue: gemmi.SpaceGroup


def conventional_basis(cell: UnitCell, rotations: Sequence[Matrix]) -> ConventionalBasis:
    """Return the conventional axes of a point group of a primitive, reduced cell.

    Right-handed. Cubic, tetragonal, hexagonal (R: obverse): by the symmetry axes; orthorhombic: a <= b <= c, or C for
    one face centred; monoclinic: b unique, a and c the shortest, beta >= 90; triclinic: as reduced.

    Raises
    ------
    ValueError
        If the rotations are no group in a tabulated setting.
    """
    orders = [rotation_order(r) for r in rotations]
    tensor = metric(cell)
    candidates: list[Matrix]
    if len(rotations) == 1:
        candidates = [np.eye(3, dtype=np.int64)]
    elif orders.count(3) == 8:
        candidates = _orthogonal_axes(rotations, tensor, 4 if 4 in orders else 2)
    elif 3 in orders or 4 in orders:
        candidates = _one_principal_axis(rotations, tensor)
    elif len(rotations) == 4:
        candidates = _orthogonal_axes(rotations, tensor, 2)
    else:
        candidates = _monoclinic_axes(rotations[orders.index(2)], tensor)
    for basis in candidates:
        group = setting_of(rotations, basis)
        if group is not None:
            return ConventionalBasis(basis, group)
    raise ValueError(f"no conventional setting for {len(rotations)} rotations of the cell {cell.parameters}")


def setting_of(rotations: Sequence[Matrix], basis: Matrix) -> gemmi.SpaceGroup | None:
    """Return the symmorphic centrosymmetric group of primitive rotations in a basis; None if it has no table entry."""
    inverse = np.linalg.inv(basis)
    operations = []
    centring = {tuple(np.rint(inverse @ n % 1.0 * gemmi.Op.DEN).astype(int) % gemmi.Op.DEN) for n in _small_vectors(2)}
    if len(centring) != round(abs(np.linalg.det(basis))):
        return None
    for rotation in rotations:
        turned = inverse @ rotation @ basis
        if np.abs(turned - np.rint(turned)).max() > 1e-6:
            return None
        for sign in (1, -1):
            operation = gemmi.Op()
            operation.rot = (sign * np.rint(turned).astype(int) * gemmi.Op.DEN).tolist()
            operations += [operation.translated(list(map(int, shift))) for shift in sorted(centring)]
    return gemmi.find_spacegroup_by_ops(gemmi.GroupOps(operations))


def _small_vectors(limit: int) -> Matrix:
    return np.array(list(product(range(-limit, limit + 1), repeat=3)), dtype=np.int64)


def _fixed_by(operator: Matrix, tensor: NDArray[np.float64]) -> list[Matrix]:
    """Return the primitive lattice vectors with ``operator @ v == 0``, one of each +-pair, shortest first."""
    vectors = _small_vectors(SEARCH)
    vectors = vectors[np.any(vectors != 0, axis=1) & np.all(vectors @ operator.T == 0, axis=1)]
    vectors = vectors[np.gcd.reduce(vectors, axis=1) == 1]
    leading = np.array([v[np.flatnonzero(v)[0]] for v in vectors], dtype=np.int64).reshape(-1)
    vectors = vectors[leading > 0]
    length = np.einsum("ij,jk,ik->i", vectors, tensor, vectors)
    return [vectors[i] for i in np.lexsort((*vectors.T, np.round(length, 6)))]


def _axis(rotation: Matrix, tensor: NDArray[np.float64]) -> Matrix:
    return _fixed_by(rotation - np.eye(3, dtype=np.int64), tensor)[0]


def _plane(rotation: Matrix, tensor: NDArray[np.float64]) -> list[Matrix]:
    powers = [np.linalg.matrix_power(rotation, k) for k in range(rotation_order(rotation))]
    return _fixed_by(np.sum(powers, axis=0), tensor)


def _right_handed(columns: Sequence[Matrix]) -> Matrix:
    basis = np.stack(columns, axis=1)
    return basis if np.linalg.det(basis) > 0 else -basis


def _orthogonal_axes(rotations: Sequence[Matrix], tensor: NDArray[np.float64], order: int) -> list[Matrix]:
    """Return the axes of three perpendicular rotations, by length, and the cyclic orders that tables may want."""
    axes: dict[tuple[int, ...], Matrix] = {}
    for rotation in rotations:
        if rotation_order(rotation) == order:
            axis = _axis(rotation, tensor)
            axes[tuple(int(x) for x in axis)] = axis
    ordered = sorted(axes.values(), key=lambda v: float(v @ tensor @ v))
    first = _right_handed(ordered)
    permutations = ([0, 1, 2], [1, 2, 0], [2, 0, 1])
    turned = [first[:, list(p)] if np.linalg.det(first[:, list(p)]) > 0 else -first[:, list(p)] for p in permutations]
    one_face = [b for b in turned if _centring_letter(b) == "C"]
    if one_face:  # a <= b in the C-centred face
        b = one_face[0]
        swap = float(b[:, 0] @ tensor @ b[:, 0]) > float(b[:, 1] @ tensor @ b[:, 1])
        return [_right_handed([b[:, 1], b[:, 0], b[:, 2]]) if swap else b]
    return turned


def _centring_letter(basis: Matrix) -> str:
    """Return C for one centred C face, else another letter of the same kind."""
    inverse = np.linalg.inv(basis)
    shifts = {tuple(np.round(inverse @ n % 1.0, 3) % 1.0) for n in _small_vectors(2)}
    return "C" if shifts == {(0.0, 0.0, 0.0), (0.5, 0.5, 0.0)} else "other"


def _one_principal_axis(rotations: Sequence[Matrix], tensor: NDArray[np.float64]) -> list[Matrix]:
    """Return the bases of tetragonal, trigonal and hexagonal groups: c along the axis, a the shortest across it."""
    highest = max((rotation_order(r) for r in rotations if rotation_order(r) != 2), default=2)
    principal = next(r for r in rotations if rotation_order(r) == highest)
    unit = principal if highest in (3, 4) else principal @ principal  # 120 or 90 degrees
    c = _axis(principal, tensor)
    bases = []
    for a in _plane(principal, tensor)[:12]:
        for turn in (unit, np.linalg.matrix_power(unit, rotation_order(unit) - 1)):
            basis = np.stack([a, turn @ a, c], axis=1)
            if np.linalg.det(basis) > 0:
                bases += [basis, np.stack([-a, -(turn @ a), c], axis=1)]
    return sorted(bases, key=lambda b: (round(float(b[:, 0] @ tensor @ b[:, 0]), 6), round(np.linalg.det(b))))


def _monoclinic_axes(rotation: Matrix, tensor: NDArray[np.float64]) -> list[Matrix]:
    """Return bases with b unique and beta >= 90 degrees, the shortest a and c first."""
    b = _axis(rotation, tensor)
    plane = _plane(rotation, tensor)[:6]
    found: list[tuple[float, int, Matrix]] = []
    for i, a in enumerate(plane):
        for c in plane[i + 1 :]:
            for first, second in ((a, c), (c, a)):
                obtuse = second if float(first @ tensor @ second) <= 0 else -second
                basis = np.stack([first, b, obtuse], axis=1)
                basis = basis if np.linalg.det(basis) > 0 else np.stack([first, -b, obtuse], axis=1)
                volume = round(float(np.linalg.det(basis)))
                size = float(first @ tensor @ first + second @ tensor @ second)
                found.append((round(size, 6), _preference(basis, tensor, volume), basis))
    smallest = min(round(float(np.linalg.det(basis))) for *_, basis in found)
    return [basis for *_, basis in sorted(found, key=lambda x: x[:2]) if round(np.linalg.det(basis)) == smallest]


def _preference(basis: Matrix, tensor: NDArray[np.float64], volume: int) -> int:
    """Return the rank of a monoclinic setting: C before I before A if centred, a <= c if primitive."""
    if volume == 1:
        return int(float(basis[:, 0] @ tensor @ basis[:, 0]) > float(basis[:, 2] @ tensor @ basis[:, 2]))
    inverse = np.linalg.inv(basis)
    shifts = {tuple(np.round(inverse @ n % 1.0, 3) % 1.0) for n in _small_vectors(2)}
    return 0 if (0.5, 0.5, 0.0) in shifts else 1 if (0.5, 0.5, 0.5) in shifts else 2
