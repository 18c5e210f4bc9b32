"""Bond lengths with standard uncertainties and symmetry codes, as CIF lists them."""

from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.lattice import orthogonalisation
from tasks.refine import Contact, RefinedStructure, bonds


class BondRow(NamedTuple):
    """One row of the bond table."""

    first: str
    second: str
    distance: float
    esd: float | None
    symmetry: str


def bond_rows(structure: RefinedStructure) -> list[BondRow]:
    """Return each bond once from its first atom; images of one kind within 0.001 A are listed once.

    Standard uncertainties take the coordinates as independent and the cell as exact; none where both atoms are
    fixed or riding.
    """
    draft = structure.fit.draft
    orthogonal = orthogonalisation(structure.unit_cell)
    riding = {label for group in draft.riding for label in group.hydrogens}
    esds = [
        np.zeros(3) if row.position_esd is None or row.label in riding else np.array(row.position_esd)
        for row in structure.fit.atoms
    ]
    operations = list(gemmi.symops_from_hall(structure.hall))
    rows: list[BondRow] = []
    seen: set[tuple[int, int, float]] = set()
    listed = sorted(
        bonds(draft.atoms, structure.hall, structure.unit_cell), key=lambda b: (b.first, b.second, b.distance)
    )
    for bond in listed:
        key = (min(bond.first, bond.second), max(bond.first, bond.second), round(bond.distance, 3))
        if bond.first > bond.second or key in seen:
            continue
        seen.add(key)
        variance = _variance(bond, esds, orthogonal)
        first, second = draft.atoms[bond.first], draft.atoms[bond.second]
        symmetry = _symmetry_code(bond, np.array(first.position), np.array(second.position), operations, orthogonal)
        esd = float(np.sqrt(variance)) if variance > 0 and second.label not in riding else None
        rows.append(BondRow(first.label, second.label, bond.distance, esd, symmetry))
    return rows


def _variance(bond: Contact, esds: list[NDArray[np.float64]], orthogonal: NDArray[np.float64]) -> float:
    unit = np.array(bond.vector) / bond.distance
    gradient = unit @ orthogonal
    return float(((gradient * esds[bond.first]) ** 2).sum() + ((gradient * esds[bond.second]) ** 2).sum())


def _symmetry_code(
    bond: Contact,
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    operations: list[gemmi.Op],
    orthogonal: NDArray[np.float64],
) -> str:
    wanted = first + np.linalg.solve(orthogonal, np.array(bond.vector))
    if np.linalg.norm(orthogonal @ (wanted - second)) < 0.02:
        return "."
    best = ("?", 0.1)
    for number, operation in enumerate(operations, 1):
        image = np.array(operation.apply_to_xyz(second.tolist()))
        shift = np.round(wanted - image)
        distance = float(np.linalg.norm(orthogonal @ (wanted - image - shift)))
        if distance < best[1] and np.all(np.abs(shift) <= 4):
            best = (f"{number}_{''.join(str(5 + int(x)) for x in shift)}", distance)
    return best[0]
