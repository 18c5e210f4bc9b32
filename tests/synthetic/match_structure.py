"""Compare a solved structure with a published one, whatever its origin, hand and choice of axes."""

from collections.abc import Mapping
from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tasks.model import UnitCell
from tasks.solve.models import Solution
from tests.synthetic.solve_cases import Published

TOLERANCE_ANGSTROM = 0.3


class Match(NamedTuple):
    """`fraction` of the published non-hydrogen atoms found, `same_element` of those, root mean square distance."""

    fraction: float
    same_element: float
    rms_angstrom: float


def match_structure(solution: Solution, published: Published, *, cell: UnitCell) -> Match:
    """Return the best agreement over origin shifts, inversion and the signed permutations of axes that keep the cell.

    Works on the atoms of the whole cell, so that neither space group needs to be right.
    """
    to_data = np.linalg.inv(np.array(solution.to_solution_cell)).T
    group = gemmi.find_spacegroup_by_name(solution.space_group)
    found, names = whole_cell(
        np.array([atom.position for atom in solution.atoms]), [atom.element for atom in solution.atoms], group
    )
    # h' = M h of the solution's cell means x' = M^-T x
    found = found @ np.linalg.inv(to_data).T if not np.allclose(to_data, np.eye(3)) else found
    return match_positions(found, names, published, cell)


def match_positions(found: NDArray[np.float64], names: list[str], published: Published, cell: UnitCell) -> Match:
    """Return the agreement of atoms of the whole cell (k, 3) with the published asymmetric unit."""
    best = Match(0.0, 0.0, 9.9)
    orthogonal = np.array(cell.gemmi().orth.mat.tolist())
    for axes in _metric_symmetries(cell):
        moved = found @ axes.T
        tree = cKDTree(_with_neighbours(moved) @ orthogonal.T)
        for anchor in published.positions[:3]:
            for target in moved:
                # shift published -> solution
                trial = _score(published, target - anchor, tree, orthogonal, names, rounds=3)
                if (trial.fraction, trial.same_element) > (best.fraction, best.same_element):
                    best = trial
                if min(best.fraction, best.same_element) > 0.999:
                    return best
    return best


def _score(
    published: Published, shift: NDArray[np.float64], tree: cKDTree, orthogonal: NDArray[np.float64],
    names: list[str], *, rounds: int,
) -> Match:  # fmt: skip
    for turn in range(rounds):
        points = published.positions + shift
        points = (points - np.floor(points)) @ orthogonal.T
        distance, row = tree.query(points)
        near = distance < (0.6 if turn < rounds - 1 else TOLERANCE_ANGSTROM)
        if near.mean() < 0.2:
            break
        if turn < rounds - 1:
            shift = shift + np.linalg.solve(orthogonal, (tree.data[row[near]] - points[near]).mean(axis=0))
    near = distance < TOLERANCE_ANGSTROM
    if not near.any():
        return Match(0.0, 0.0, 9.9)
    same = [names[row[i] % len(names)] == published.elements[i] for i in np.flatnonzero(near)]
    return Match(float(near.mean()), float(np.mean(same)), float(np.sqrt((distance[near] ** 2).mean())))


def whole_cell(
    position: NDArray[np.float64], elements: list[str], group: gemmi.SpaceGroup
) -> tuple[NDArray[np.float64], list[str]]:
    """Return the atoms of the whole cell, (k, 3), each with what stands for it in the asymmetric unit."""
    atoms, names = [], []
    for x, name in zip(position, elements):
        seen: list[NDArray[np.float64]] = []
        for op in group.operations():
            image = np.array(op.apply_to_xyz(list(x))) % 1.0
            if not any(np.abs((image - other) - np.round(image - other)).max() < 2e-3 for other in seen):
                seen.append(image)
        atoms += seen
        names += [name] * len(seen)
    return np.array(atoms), names


def _with_neighbours(position: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 27 copies of the cell's atoms; the row modulo the number of atoms is the atom."""
    base = position - np.floor(position)
    steps = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    return (base[None, :, :] + steps[:, None, :]).reshape(-1, 3)


def _metric_symmetries(cell: UnitCell) -> list[NDArray[np.float64]]:
    orthogonal = np.array(cell.gemmi().orth.mat.tolist())
    metric = orthogonal.T @ orthogonal
    result = []
    for order in ([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]):
        for signs in np.stack(np.meshgrid(*[[1, -1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3):
            axes = np.eye(3)[order] * signs[:, None]
            if np.abs(axes.T @ metric @ axes - metric).max() < 0.01 * metric.max():
                result.append(axes)
    return result


def partners(
    found: NDArray[np.float64],
    labels: list[str],
    published: Published,
    cell: UnitCell,
    *,
    elements: Mapping[str, str] | None = None,
) -> tuple[str | None, ...]:
    """Return the label of the atom of a whole cell (k, 3) that stands at each published atom, None where there is none.

    The match is the best over origins, inversion and axes, whatever the elements; of equal ones that in which most are
    right, if the elements of the labels are told: an origin that exchanges two kinds of sites names none wrongly.
    """
    orthogonal = np.array(cell.gemmi().orth.mat.tolist())
    best: tuple[str | None, ...] = (None,) * len(published.elements)
    best_score, perfect = (0, 0), (len(published.elements), len(published.elements) if elements else 0)
    for axes in _metric_symmetries(cell):
        moved = found @ axes.T
        tree = cKDTree(_with_neighbours(moved) @ orthogonal.T)
        for shift in (target - anchor for anchor in published.positions[:3] for target in moved):
            points = published.positions + shift
            distance, row = tree.query((points - np.floor(points)) @ orthogonal.T)
            trial = tuple(
                labels[int(place) % len(labels)] if near < TOLERANCE_ANGSTROM else None
                for near, place in zip(distance, row, strict=True)
            )
            right = sum(
                label is not None and elements[label] == true
                for label, true in zip(trial, published.elements, strict=True)
            ) if elements else 0  # fmt: skip
            score = (len(trial) - trial.count(None), right)
            if score > best_score:
                best, best_score = trial, score
            if best_score == perfect:
                return best
    return best
