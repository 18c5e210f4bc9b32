"""From a SHELX result file to atoms in a space group: symmetry, basis, elements, chemical occupancies."""

from itertools import product

import gemmi
import numpy as np

from adapters.formats.shelx_ins import ShelxAtom, ShelxFile
from adapters.programs.shelx.input import elements_of, site_shares
from tasks.crystal.contents import units_by_volume
from tasks.crystal.lattice import metric
from tasks.integrate import Reflections
from tasks.model import Composition, UnitCell, Vector
from tasks.solve import Atom, Solution, solution_from_atoms

Basis = tuple[Vector, Vector, Vector]
IDENTITY: Basis = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
"""No change of axes."""
U_START = 0.04
"""Angstrom^2, of atoms whose file states none that is possible: the middle of what crystals have."""
PEAK = "Q"
MAY_MISS = 0.4
"""Share of the expected atoms beyond which unnamed peaks are taken for atoms."""


def solution_from_shelx(
    result: ShelxFile, data: Reflections, composition: Composition, figures: dict[str, float]
) -> Solution | None:
    """Return the candidate that a result file describes; None if its symmetry is in no table or it holds no atoms.

    Atoms without an assigned element (Q peaks) get elements by height.
    """
    group = gemmi.find_spacegroup_by_ops(result.operations())
    basis = basis_between(data.unit_cell, result.unit_cell)
    if group is None or basis is None:
        return None
    atoms = tuple(_atoms(result, group, composition, data))
    if not atoms:
        return None
    cell = result.unit_cell if basis != IDENTITY else data.unit_cell
    return solution_from_atoms(atoms, group, data, composition, cell=cell, to_cell=basis, figures=figures)


def basis_between(old: UnitCell, new: UnitCell, *, tolerance: float = 0.01) -> Basis | None:
    """Return the integer matrix with ``new axes = matrix @ old axes`` (and hkl alike); None if there is none.

    Of several the one nearest to the identity; coefficients up to 1, determinant 1.
    """
    wanted = metric(new)
    tensor = metric(old)
    scale = float(np.trace(wanted))
    rows = [np.array(v) for v in product((-1, 0, 1), repeat=3) if any(v)]
    fitting = [[r for r in rows if abs(r @ tensor @ r - wanted[i, i]) < tolerance * wanted[i, i]] for i in range(3)]
    best: tuple[float, np.ndarray[tuple[int, int], np.dtype[np.int64]]] | None = None
    for a, b, c in product(*fitting):
        matrix = np.array([a, b, c])
        if round(np.linalg.det(matrix)) != 1:
            continue
        if np.abs(matrix @ tensor @ matrix.T - wanted).max() > tolerance * scale:
            continue
        distance = float(np.abs(matrix - np.eye(3)).sum())
        if best is None or distance < best[0]:
            best = (distance, matrix)
    if best is None:
        return None
    first, second, third = ((float(x), float(y), float(z)) for x, y, z in best[1].tolist())
    return (first, second, third)


def _atoms(result: ShelxFile, group: gemmi.SpaceGroup, composition: Composition, data: Reflections) -> list[Atom]:
    rows, elements = _named(result, group, composition, data)
    if not rows:
        return []
    shares = site_shares(rows, group.hall, result.unit_cell)
    atoms = []
    for number, (row, element, share) in enumerate(zip(rows, elements, shares, strict=True), 1):
        occupancy = 1.0 if row.element == PEAK else min(1.0, max(0.05, row.occupancy / share))
        u = row.u[0] if len(row.u) == 1 else float(np.mean(row.u[:3]))
        atoms.append(
            Atom(
                label=f"{element}{number}",
                element=element,
                position=row.position,
                u_iso_angstrom2=u if 0.001 < u < 0.5 else U_START,
                occupancy=occupancy,
                peak=row.peak,
            )
        )
    return atoms


def _named(
    result: ShelxFile, group: gemmi.SpaceGroup, composition: Composition, data: Reflections
) -> tuple[list[ShelxAtom], list[str]]:
    """Return atoms with their elements; where the program named few, its highest Q peaks make up the rest.

    SHELXS and SHELXD name the heavy atoms only and leave the light ones as peaks.
    """
    atoms = list(result.atoms)
    elements = [row.element for row in atoms]
    missing = _expected(composition, data, group)
    for element in elements:
        if element in missing:
            missing.remove(element)
    if len(missing) <= MAY_MISS * (len(missing) + len(atoms)):
        return atoms, elements
    peaks = sorted(result.peaks, key=lambda row: -(row.peak or 0.0))[: len(missing)]
    return [*atoms, *peaks], [*elements, *missing[: len(peaks)]]


def _expected(composition: Composition, data: Reflections, group: gemmi.SpaceGroup) -> list[str]:
    """Return the elements of the asymmetric unit but hydrogen, the heaviest first."""
    share = units_by_volume(composition, data.unit_cell.volume_angstrom3, group.hall) / len(list(group.operations()))
    names = sorted(elements_of(composition), key=lambda e: -gemmi.Element(e).atomic_number)
    return [e for e in names if e not in {"H", "D"} for _ in range(max(1, round(composition.counts[e] * share)))]
