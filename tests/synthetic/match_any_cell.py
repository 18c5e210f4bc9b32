"""Compare a structure file with a known structure where the axes may have been chosen otherwise."""

from itertools import product
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.lattice import metric, primitive_basis, reduced_basis, transformed_cell
from tasks.model import UnitCell
from tests.synthetic.match_structure import Match, match_positions
from tests.synthetic.solve_cases import Published

CELL_TOLERANCE = 0.02


def match_file(path: Path, published: Published, cell: UnitCell) -> Match:
    """Return the best agreement of the atoms in a CIF with a structure of the given cell, over all choices of axes."""
    small = gemmi.make_small_structure_from_block(gemmi.cif.read(str(path)).sole_block())
    sites = [site for site in small.sites if site.element.name not in {"H", "D"}]
    group = gemmi.SpaceGroup(small.spacegroup.xhm())
    found_cell = UnitCell.of(small.cell.parameters)
    names: list[str] = []
    places: list[list[float]] = []
    for site in sites:
        for operation in group.operations():
            places.append(operation.apply_to_xyz(site.fract.tolist()))
            names.append(site.element.name)
    found_basis, basis = _to_reduced(found_cell, group), _to_reduced(cell, published.group)
    reduced, own = transformed_cell(cell, basis), transformed_cell(found_cell, found_basis)
    known = published._replace(positions=published.positions @ np.linalg.inv(basis).T)
    inside = np.array(places) @ np.linalg.inv(found_basis).T
    first = _distinct(inside)
    best = Match(0.0, 0.0, 9.9)
    for change in _same_lattice(metric(own), metric(reduced)):
        trial = match_positions(
            inside[first] @ np.linalg.inv(change).T, [names[i] for i in first], known, reduced
        )  # fmt: skip
        best = max(best, trial, key=lambda match: (match.fraction, match.same_element))
        if min(best.fraction, best.same_element) > 0.999:
            break
    return best


def same_lattice(cell: UnitCell, group: gemmi.SpaceGroup, other: UnitCell, other_group: gemmi.SpaceGroup) -> bool:
    """Tell whether two cells, of whatever centring and axes, are of one lattice."""
    own = transformed_cell(cell, _to_reduced(cell, group))
    wanted = transformed_cell(other, _to_reduced(other, other_group))
    return bool(_same_lattice(metric(own), metric(wanted)))


def _to_reduced(cell: UnitCell, group: gemmi.SpaceGroup) -> NDArray[np.float64]:
    primitive = primitive_basis(group.centring_type())
    return primitive @ reduced_basis(transformed_cell(cell, primitive))


def _distinct(places: NDArray[np.float64]) -> list[int]:
    """Return one row of each place within a cell."""
    seen: dict[tuple[int, ...], int] = {}
    for row, place in enumerate(np.round((places % 1.0) * 200).astype(int) % 200):
        seen.setdefault(tuple(place.tolist()), row)
    return list(seen.values())


def _same_lattice(own: NDArray[np.float64], wanted: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return the bases (columns) that give one metric the form of the other, within a tolerance."""
    vectors = np.array(list(product((-1, 0, 1), repeat=3)), dtype=np.float64)
    lengths = np.einsum("ij,jk,ik->i", vectors, own, vectors)
    near = [vectors[np.abs(lengths / wanted[i, i] - 1) < 2 * CELL_TOLERANCE] for i in range(3)]
    size = np.sqrt(np.outer(np.diag(wanted), np.diag(wanted)))
    found = []
    for a, b, c in product(*near):
        basis = np.stack([a, b, c], axis=1)
        if abs(round(np.linalg.det(basis))) == 1 and (
            np.abs((basis.T @ own @ basis - wanted) / size).max() < 2 * CELL_TOLERANCE
        ):
            found.append(basis)
    return found
