"""Whether tetrahedra of oxygen are regular in the cell as it is: one edge that is wrong strains all of them one way."""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from tasks.refine.draft import ModelFit
from tasks.refine.geometry import bonds

CENTRES = frozenset({"Si", "P", "S", "Ge", "As", "Se"})
"""Of four oxygen or fluorine atoms, so stiff that no structure strains them as a wrong edge does."""
LENGTH_SPREAD, ANGLE_SPREAD_DEG = 0.03, 5.0
"""Of the bonds of one tetrahedron, relative, and of its angles about 109.5 degrees: forsterite, the least
regular of the structures of tests/synthetic, has 0.013 and 6.1 (chi^2 10 of 10 terms)."""
REGULAR_DEG = 109.4712
"""acos(-1/3), by geometry."""


def tetrahedra(fit: ModelFit) -> list[NDArray[np.float64]]:
    """Return the bonds (4, 3), angstrom, of every atom of the asymmetric unit that four oxygen or fluorine surround."""
    atoms = [atom for atom in fit.draft.atoms if atom.element not in {"H", "D"}]
    around: dict[int, list[NDArray[np.float64]]] = {}
    for bond in bonds(atoms, fit.draft.hall, fit.draft.unit_cell):
        if atoms[bond.first].element in CENTRES and atoms[bond.second].element in {"O", "F"}:
            around.setdefault(bond.first, []).append(np.array(bond.vector))
    return [np.array(rows) for _, rows in sorted(around.items()) if len(rows) == 4]


def irregularity(sites: list[NDArray[np.float64]]) -> float:
    """Return chi^2 of the tetrahedra against regular ones of any size."""
    total = 0.0
    for rows in sites:
        lengths = np.linalg.norm(rows, axis=1)
        unit = rows / lengths[:, None]
        total += float((((lengths / lengths.mean() - 1.0) / LENGTH_SPREAD) ** 2).sum())
        cosines = np.array([unit[i] @ unit[j] for i, j in combinations(range(4), 2)])
        angles = np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0)))
        total += float((((angles - REGULAR_DEG) / ANGLE_SPREAD_DEG) ** 2).sum())
    return total
