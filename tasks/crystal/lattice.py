"""Lattices: centring, reduction, and the conventional basis of a Laue group."""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.model import UnitCell

Matrix = NDArray[np.int64]
"""(3, 3) integers. A rotation acts on fractional coordinates as columns; a basis holds the new axes as columns."""

SEARCH = 3
"""Conventional axes are sought among primitive vectors with coefficients up to this."""


class ConventionalBasis(NamedTuple):
    """Axes of the conventional cell in terms of the primitive ones, as columns, and the setting's symbol."""

    basis: Matrix
    laue: gemmi.SpaceGroup


def primitive_basis(centring: str) -> NDArray[np.float64]:
    """Return (3, 3): the axes of a primitive cell as columns, in terms of the centred cell's, as gemmi chooses them."""
    return np.array(_group_with(centring).centred_to_primitive().rot, dtype=np.float64) / gemmi.Op.DEN


def triangular_basis(centring: str) -> NDArray[np.float64]:
    """Return another choice of primitive axes, (3, 3) as `primitive_basis`: triangular, so that most stay as they are.

    Phasing works in these. What is indexed or merged is reduced from those of `primitive_basis`: where a reduced cell
    has axes of one length the choice decides which of them comes first.
    """
    rows = np.eye(3, dtype=np.int64) * gemmi.Op.DEN
    for vector in _group_with(centring).operations().cen_ops:
        rows = _with_vector(rows, np.array(vector, dtype=np.int64)) if any(vector) else rows
    return rows.T / gemmi.Op.DEN


def _group_with(centring: str) -> gemmi.SpaceGroup:
    """Return a group of the tables with this letter; ValueError if there is none."""
    group = next((entry for entry in gemmi.spacegroup_table() if entry.centring_type() == centring), None)
    if group is None:
        raise ValueError(f"no lattice has the centring {centring!r}")
    return group


def _with_vector(basis: Matrix, vector: Matrix) -> Matrix:
    """Return a basis (rows) of the lattice that `basis` and `vector` span together, by integer row reduction."""
    rows = np.vstack([basis, vector])
    for column in range(3):
        while np.count_nonzero(rows[column:, column]) > 1:
            active = column + np.flatnonzero(rows[column:, column])
            pivot = active[np.argmin(np.abs(rows[active, column]))]
            for row in active:
                if row != pivot:
                    rows[row] -= (rows[row, column] // rows[pivot, column]) * rows[pivot]
        pivot = column + int(np.flatnonzero(rows[column:, column])[0])
        rows[[column, pivot]] = rows[[pivot, column]]
    return rows[:3]


def orthogonalisation(cell: UnitCell) -> NDArray[np.float64]:
    """Return the matrix (3, 3) that takes fractional to Cartesian coordinates in angstrom: a along x, b in x y."""
    return np.array(cell.gemmi().orth.mat.tolist())


def fractionalisation(cell: UnitCell) -> NDArray[np.float64]:
    """Return the inverse of `orthogonalisation`; its rows are the reciprocal axes in 1/angstrom."""
    return np.array(cell.gemmi().frac.mat.tolist())


def reciprocal_matrix(cell: UnitCell) -> NDArray[np.float64]:
    """Return B (3, 3): B @ hkl in 1/angstrom in the Cartesian frame of `orthogonalisation`."""
    return fractionalisation(cell).T


def metric(cell: UnitCell) -> NDArray[np.float64]:
    """Return the metric tensor (3, 3), angstrom^2."""
    orthogonal = orthogonalisation(cell)
    return orthogonal.T @ orthogonal


def cell_of_metric(tensor: NDArray[np.float64]) -> UnitCell:
    """Return the cell with this metric tensor."""
    lengths = np.sqrt(np.diag(tensor))
    cosines = tensor / np.outer(lengths, lengths)
    angles = np.degrees(np.arccos(np.clip([cosines[1, 2], cosines[0, 2], cosines[0, 1]], -1, 1)))
    a, b, c = (float(x) for x in lengths)
    alpha, beta, gamma = (float(x) for x in angles)
    return UnitCell(a=a, b=b, c=c, alpha=alpha, beta=beta, gamma=gamma)


def transformed_cell(cell: UnitCell, basis: NDArray[np.float64]) -> UnitCell:
    """Return the cell of new axes, given as columns in terms of the old ones."""
    return cell_of_metric(basis.T @ metric(cell) @ basis)


def symmetrised_cell(cell: UnitCell, laue: gemmi.SpaceGroup) -> UnitCell:
    """Return the cell averaged over the rotations of a group: exactly 90 degrees where symmetry says so."""
    tensor = metric(cell)
    mean = np.mean([r.T @ tensor @ r for r in proper_rotations(laue)], axis=0)
    a, b, c, alpha, beta, gamma = (float(f"{x:.10g}") for x in cell_of_metric(mean).parameters)
    return UnitCell(a=a, b=b, c=c, alpha=alpha, beta=beta, gamma=gamma)


def proper_rotations(group: gemmi.SpaceGroup) -> list[Matrix]:
    """Return the proper rotations (3, 3) of a group's point group with inversion added, identity first."""
    found: dict[bytes, Matrix] = {}
    for operation in group.operations().sym_ops:
        rotation = np.array(operation.rot, dtype=np.int64) // gemmi.Op.DEN
        rotation = rotation if round(np.linalg.det(rotation)) > 0 else -rotation
        found.setdefault(rotation.tobytes(), rotation)
    return list(found.values())


def rotation_group(laue: gemmi.SpaceGroup) -> gemmi.SpaceGroup:
    """Return the symmorphic group of the proper rotations: what DIALS and XDS take, groups without inversion.

    Raises
    ------
    ValueError
        If the tables lack the setting.
    """
    operations = laue.operations()
    proper = [op for op in operations.sym_ops if np.linalg.det(np.array(op.rot) / gemmi.Op.DEN) > 0]
    shifts = [list(map(int, shift)) for shift in operations.cen_ops]
    found = gemmi.find_spacegroup_by_ops(gemmi.GroupOps([op.translated(s) for op in proper for s in shifts]))
    if found is None:
        raise ValueError(f"{laue.xhm()} has no tabulated group of its rotations")
    return found


def reduced_basis(cell: UnitCell) -> Matrix:
    """Return the Niggli-reduced axes of a primitive cell as columns, in terms of the cell's own."""
    vector = gemmi.GruberVector(cell.gemmi(), "P", track_change_of_basis=True)
    vector.niggli_reduce()
    change = vector.change_of_basis
    if change is None:
        raise ValueError(f"no reduction of the cell {cell.parameters}")
    basis = np.rint(np.array(change.rot, dtype=np.float64) / gemmi.Op.DEN).astype(np.int64)
    return basis if np.linalg.det(basis) > 0 else -basis


def lattice_rotations(cell: UnitCell, tolerance_deg: float) -> list[Matrix]:
    """Return the proper rotations of a reduced cell's lattice, identity first.

    Le Page's method (J. Appl. Cryst. 15, 255-259, 1982) as in gemmi: twofold axes whose direct and reciprocal lattice
    rows are within the tolerance, and the group they generate.
    """
    operations = gemmi.find_lattice_symmetry_r(cell.gemmi(), tolerance_deg).sym_ops
    found = [np.array(operation.rot, dtype=np.int64) // gemmi.Op.DEN for operation in operations]
    return sorted(found, key=lambda r: not np.array_equal(r, np.eye(3)))


def misfit_deg(rotation: Matrix, tensor: NDArray[np.float64]) -> float:
    """Return how much a lattice must be strained to have a rotation, as an angle in degrees.

    Half the largest change of the metric (3, 3) in Cartesian axes: for a lattice whose angle is off by a small amount
    it is that amount.
    """
    to_cartesian = np.linalg.inv(np.linalg.cholesky(tensor))
    strain = to_cartesian @ (rotation.T @ tensor @ rotation - tensor) @ to_cartesian.T
    return float(np.degrees(np.abs(np.linalg.eigvalsh(strain)).max() / 2.0))


def rotation_order(rotation: Matrix) -> int:
    """Return 1, 2, 3, 4 or 6 of a proper crystallographic rotation."""
    return {3: 1, -1: 2, 0: 3, 1: 4, 2: 6}[int(np.trace(rotation))]


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
