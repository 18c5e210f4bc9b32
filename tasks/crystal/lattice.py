"""Cells and lattices: matrices, primitive axes, reduction, the rotations that a lattice allows."""

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.model import UnitCell

Matrix = NDArray[np.int64]
"""(3, 3) integers. A rotation acts on fractional coordinates as columns; a basis holds the new axes as columns."""


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


def misfit_deg(rotation: Matrix | NDArray[np.float64], tensor: NDArray[np.float64]) -> float:
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
