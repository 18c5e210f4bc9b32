"""A large cell that is two orientations of a small one: a twin whose domains share a lattice plane.

A two-fold axis along a lattice row, or a mirror on a lattice plane, lays the reflections of both domains on one finer
lattice, nearly enough that a search for a lattice takes that. Its points are empty but for those of two sublattices.
"""

import numpy as np

from tasks.crystal.lattice_match import isometries
from tasks.integrate.indexing.lattice_score import cell_parameters, reduced
from tasks.model import UnitCell
from tasks.model.arrays import Floats, Integers, Mask

LARGEST_INDEX = 16
"""Of a sublattice. Chosen, not measured: a cell of 16 times the volume of a small one is about as large as the spots of
a series hold; there are 2 600 sublattices up to it, looked at in a tenth of a second."""
LEAST_SHARE, LEAST_EXCESS = 0.35, 0.1
"""Of the spots, on a sublattice that may be one domain, and beyond what it has by chance, one in its index: of two
equal domains at an index of two each has 3/4. Chosen, not measured: what is taken is tested by whether the rest of the
spots shows the same lattice."""
MOST_TRIED = 3
"""Sublattices, each of which takes a refinement and a search for a lattice. Chosen, not measured."""
SAME_LENGTH, SAME_ANGLE_DEG = 0.03, 2.0
"""Within which two lattices of the same frames are one, relative and in degrees. The finer lattice was fitted to both,
and took some of the strain of either. Chosen, not measured."""


def sparse_sublattices(hkl: Integers) -> list[Integers]:
    """Return the sublattices that hold so many of the spots that the others of the lattice may be another domain's.

    Rows (3, 3) are a*, b*, c* of each in terms of the large cell's; the largest share beyond chance comes first.

    Parameters
    ----------
    hkl
        (n, 3) spots indexed in the large cell.
    """
    if not len(hkl):
        return []
    found: list[tuple[float, int, Integers]] = []
    for index in range(2, LARGEST_INDEX + 1):
        for rows in sublattices(index):
            share = float(_on(hkl, rows).mean())
            if share >= max(LEAST_SHARE, 1.0 / index + LEAST_EXCESS):
                found.append((share - 1.0 / index, index, rows))
    found.sort(key=lambda item: (-item[0], item[1]))
    return [rows for _, _, rows in found[:MOST_TRIED]]


def sublattices(index: int) -> list[Integers]:
    """Return every sublattice of an index as rows (3, 3) in Hermite's normal form."""
    found = []
    for a in range(1, index + 1):
        if index % a:
            continue
        for b in range(1, index // a + 1):
            if (index // a) % b:
                continue
            c = index // a // b
            found += [np.array([[a, 0, 0], [i, b, 0], [j, k, c]]) for i in range(a) for j in range(a) for k in range(b)]
    return found


def _on(hkl: Integers, rows: Integers) -> Mask:
    """Tell which hkl (n, 3) lie on a sublattice."""
    place = hkl @ np.linalg.inv(rows)
    return np.asarray((np.abs(place - np.rint(place)) < 1e-6).all(axis=1))


def same_lattice(one: Floats, other: Floats) -> bool:
    """Tell whether two bases (columns a*, b*, c*) are of one lattice in two orientations."""
    cells = [UnitCell.of(cell_parameters(reduced(np.asarray(np.linalg.inv(basis))))) for basis in (one, other)]
    return bool(isometries(cells[0], cells[1], length_tolerance=SAME_LENGTH, angle_tolerance_deg=SAME_ANGLE_DEG))
