"""The Laue group that the intensities obey, among those that the lattice allows."""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy import integrate

from tasks.integrate.centring import find_centring
from tasks.integrate.lattice import (
    Matrix,
    conventional_basis,
    lattice_rotations,
    metric,
    misfit_deg,
    primitive_basis,
    reduced_basis,
    rotation_order,
    setting_of,
    symmetrised_cell,
    transformed_cell,
)
from tasks.integrate.merging import merge_equivalents, observations_at, uniques_at
from tasks.integrate.normalisation import normalised_intensities
from tasks.integrate.reflection_file import Merged, Unmerged
from tasks.integrate.statistics import correlation
from tasks.model import UnitCell
from tasks.model.scattering import d_star_squared

MIN_PAIRS = 8
UNRELATED_SETS = 200
MIN_I_OVER_SIGMA = 1.5
"""Resolution shells whose mean is below are left out of the correlations."""

TRUE_CORRELATIONS = np.linspace(0.3, 0.98, 18)
"""What true equivalents may agree to: unknown, from the Friedel pairs if there are enough."""

TYPICAL_CORRELATION = 0.85
CELL_SIGMA_DEG = 0.2
MIN_METRIC_LOG, METRIC_LOG_OF_EXACT = -3.0, -1.0
"""A measured cell may be strained by distorted frames; how much speaks against a symmetry, but never alone. Frames that
leave other rotations of the lattice exact are less likely to be distorted: each adds to the most that a strain says."""
EXACT_DEG = 0.1

CORRELATION_SPREAD = 0.08
"""Additional scatter of correlations between rotations: dynamical scattering and absorption differ with the path."""


class SymmetryElement(NamedTuple):
    """One rotation of the lattice (and its inverse), and how well the intensities obey it."""

    rotation: Matrix
    order: int
    correlation: float | None
    pairs: int
    sigma: float
    """Scatter of the correlation of as many unrelated pairs."""
    misfit_deg: float
    """How far the measured cell is from having it."""
    probability: float
    """Sum of the probabilities of the subgroups that hold it."""


class LaueTrial(NamedTuple):
    """One subgroup of the lattice's rotations."""

    symbol: str
    probability: float
    mean_correlation: float | None


class LaueChoice(NamedTuple):
    """The chosen Laue group; ``hkl_conventional = hkl_given @ basis``."""

    laue: gemmi.SpaceGroup
    cell: UnitCell
    basis: NDArray[np.float64]
    """(3, 3): the conventional axes as columns, in terms of the given ones."""
    probability: float
    elements: tuple[SymmetryElement, ...]
    trials: tuple[LaueTrial, ...]
    """All subgroups, most probable first."""

    def reindex(self, hkl: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return indices (n, 3) of the given cell in the conventional one."""
        return np.rint(hkl @ self.basis).astype(np.int32)


def determine_laue_group(data: Unmerged, cell: UnitCell, *, tolerance_deg: float = 3.0, seed: int = 0) -> LaueChoice:
    """Find the Laue group and the conventional cell of intensities in any cell.

    The centring is taken from absent classes, the cell reduced, and every rotation of the lattice scored by the
    correlation of |E| between the reflections it relates, against that of unrelated reflections; the subgroups are
    ranked by Bayes' rule. Source: Evans, Acta Cryst. D67, 282-292 (2011), appendix A1 (POINTLESS). Departures: the
    strain that a symmetry asks of the measured cell counts against it; the correlation of true equivalents is
    integrated over, with a prior about that of Friedel pairs, as electron diffraction data may agree poorly
    throughout; |E| in place of E^2; shells without signal are left out.

    Parameters
    ----------
    tolerance_deg
        Le Page's obliquity up to which the lattice is taken to have an axis; generous, as distorted frames need it.

    Raises
    ------
    ValueError
        If there are no intensities.
    """
    search = _search(data, cell, tolerance_deg, seed)
    conventional = conventional_basis(search.cell, search.rotations)
    basis = search.primitive @ conventional.basis
    return _choice(search, cell, basis, conventional.laue)


def determine_laue_group_in_setting(
    data: Unmerged, cell: UnitCell, *, tolerance_deg: float = 3.0, seed: int = 0
) -> LaueChoice:
    """As `determine_laue_group`, keeping the given axes if the tables know the group with them."""
    search = _search(data, cell, tolerance_deg, seed)
    inverse = np.linalg.inv(search.primitive)
    given = np.rint(inverse).astype(np.int64)
    kept = setting_of(search.rotations, given) if np.abs(inverse - given).max() < 1e-6 else None
    if kept is None:
        conventional = conventional_basis(search.cell, search.rotations)
        return _choice(search, cell, search.primitive @ conventional.basis, conventional.laue)
    return _choice(search, cell, np.eye(3), kept)


class _Search(NamedTuple):
    cell: UnitCell
    primitive: NDArray[np.float64]
    """Reduced axes as columns, in terms of the given cell."""
    rotations: Sequence[Matrix]
    elements: tuple[SymmetryElement, ...]
    groups: Sequence[tuple[Sequence[Matrix], float]]


def _choice(search: _Search, cell: UnitCell, basis: NDArray[np.float64], laue: gemmi.SpaceGroup) -> LaueChoice:
    trials = tuple(
        LaueTrial(
            conventional_basis(search.cell, rotations).laue.xhm(), probability, _mean_cc(rotations, search.elements)
        )
        for rotations, probability in search.groups
    )
    final = symmetrised_cell(transformed_cell(cell, basis), laue)
    return LaueChoice(laue, final, basis, search.groups[0][1], search.elements, trials)


def _search(data: Unmerged, cell: UnitCell, tolerance_deg: float, seed: int) -> _Search:
    if len(data.hkl) == 0:
        raise ValueError("no intensities to find a Laue group for")
    centred = primitive_basis(find_centring(data, cell))
    first = transformed_cell(cell, centred)
    primitive = centred @ reduced_basis(first)
    whole = np.abs(data.hkl @ primitive - np.rint(data.hkl @ primitive)).max(axis=1) < 1e-6
    kept = observations_at(data, whole)
    reduced = transformed_cell(cell, primitive)
    in_reduced = kept._replace(hkl=np.rint(kept.hkl @ primitive).astype(np.int32))
    rotations = lattice_rotations(reduced, tolerance_deg)
    elements = score_rotations(in_reduced, reduced, rotations, seed=seed)
    groups = rank_subgroups(rotations, elements, typical=_friedel_correlation(in_reduced, reduced))
    elements = tuple(e._replace(probability=_probability(e, groups)) for e in elements)
    return _Search(reduced, primitive, groups[0][0], elements, groups)


def score_rotations(
    data: Unmerged, cell: UnitCell, rotations: Sequence[Matrix], *, seed: int = 0
) -> tuple[SymmetryElement, ...]:
    """Score every rotation but the identity, a rotation and its inverse once.

    Parameters
    ----------
    rotations
        Proper rotations of the direct lattice: ``I(h) == I(h @ R)`` is tested.
    """
    merged = significant(merge_equivalents(data, gemmi.SpaceGroup("P -1")), cell)
    amplitude = _comparable(merged, cell)
    width = _unrelated_width(amplitude, np.random.default_rng(seed))
    tensor = metric(cell)
    elements: dict[frozenset[bytes], SymmetryElement] = {}
    for rotation in rotations:
        inverse = np.rint(np.linalg.inv(rotation)).astype(np.int64)
        key = frozenset((rotation.tobytes(), inverse.tobytes()))
        if key in elements or np.array_equal(rotation, np.eye(3)):
            continue
        first, second = _related_pairs(merged.hkl, rotation)
        agreement = correlation(amplitude[first], amplitude[second]) if len(first) >= MIN_PAIRS else None
        sigma = float(np.hypot(width / np.sqrt(max(len(first), 1)), CORRELATION_SPREAD))
        misfit = misfit_deg(rotation, tensor)
        elements[key] = SymmetryElement(rotation, rotation_order(rotation), agreement, len(first), sigma, misfit, 0.5)
    return tuple(elements.values())


def rank_subgroups(
    rotations: Sequence[Matrix], elements: Sequence[SymmetryElement], *, typical: float = TYPICAL_CORRELATION
) -> list[tuple[list[Matrix], float]]:
    """Return every subgroup with its probability, most probable first; of equal ones the larger.

    Parameters
    ----------
    typical
        Centre of the prior of the true correlation (width 0.15).
    """
    known = [e for e in elements if e.correlation is not None]
    prior = np.exp(-0.5 * ((TRUE_CORRELATIONS - typical) / 0.15) ** 2)
    present = np.array([[_density(e, m) for m in TRUE_CORRELATIONS] for e in known]).reshape(
        len(known), len(TRUE_CORRELATIONS)
    )
    absent = np.array([[_absent_density(e, m) for m in TRUE_CORRELATIONS] for e in known]).reshape(
        len(known), len(TRUE_CORRELATIONS)
    )
    exact = sum(e.misfit_deg < EXACT_DEG for e in elements)
    most = MIN_METRIC_LOG + METRIC_LOG_OF_EXACT * exact
    ranked = []
    for group in subgroups(rotations):
        keys = {r.tobytes() for r in group}
        strained = max((e.misfit_deg for e in elements if e.rotation.tobytes() in keys), default=0.0)
        metric_log = max(-0.5 * (strained / CELL_SIGMA_DEG) ** 2, most)
        inside = np.array([e.rotation.tobytes() in keys for e in known], dtype=bool)[:, None]
        logs = np.log(np.where(inside, present, absent) + 1e-9).sum(axis=0) + metric_log
        ranked.append((group, logs))
    top = max(float(logs.max()) for _, logs in ranked)
    weights = np.array([float(np.sum(prior * np.exp(logs - top))) for _, logs in ranked])
    probability = weights / weights.sum()
    order = sorted(range(len(ranked)), key=lambda i: (-round(float(probability[i]), 9), -len(ranked[i][0])))
    return [(ranked[i][0], float(probability[i])) for i in order]


def significant(merged: Merged, cell: UnitCell) -> Merged:
    """Return the reflections up to the first resolution shell (of 20) whose mean I/sigma is below 1.5."""
    order = np.argsort(d_star_squared(merged.hkl, cell), kind="stable")
    ratio = merged.intensity / np.maximum(merged.sigma, np.finfo(float).tiny)
    kept: list[NDArray[np.intp]] = []
    for rows in np.array_split(order, min(20, max(1, len(order) // 40))):
        if kept and float(np.mean(ratio[rows])) < MIN_I_OVER_SIGMA:
            break
        kept.append(rows)
    chosen = np.sort(np.concatenate(kept))
    return uniques_at(merged, chosen)


def subgroups(rotations: Sequence[Matrix]) -> list[list[Matrix]]:
    """Return all subgroups of a finite rotation group; three generators are enough for any point group."""
    table = {r.tobytes(): r for r in rotations}
    found: dict[frozenset[bytes], list[Matrix]] = {}
    members = list(table.values())
    for size in (1, 2, 3):
        for generators in combinations(members, size):
            if size == 3 and any(rotation_order(g) != 2 for g in generators):
                continue  # only groups of twofold axes may need three generators
            group = _closure(generators, len(members))
            found.setdefault(frozenset(r.tobytes() for r in group), group)
    return list(found.values())


def _closure(generators: Sequence[Matrix], limit: int) -> list[Matrix]:
    identity = np.eye(3, dtype=np.int64)
    group = {identity.tobytes(): identity}
    frontier = [identity]
    while frontier and len(group) <= limit:
        new = [element @ generator for element in frontier for generator in generators]
        frontier = [x for x in {n.tobytes(): n for n in new}.values() if x.tobytes() not in group]
        group.update({x.tobytes(): x for x in frontier})
    return [group[key] for key in sorted(group, key=lambda k: not np.array_equal(group[k], identity))]


def _comparable(merged: Merged, cell: UnitCell) -> NDArray[np.float64]:
    """Return |E|, negative intensities as zero: less ruled by the few strongest reflections than E^2."""
    factor = normalised_intensities(merged.intensity, d_star_squared(merged.hkl, cell))
    return np.sqrt(np.maximum(merged.intensity * factor, 0.0))


def _related_pairs(hkl: NDArray[np.int32], rotation: Matrix) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows of h and of h @ R (or its Friedel mate) where both are there, each pair once."""
    laue = gemmi.SpaceGroup("P -1")
    image = (hkl @ rotation).astype(np.int32)
    laue.switch_to_asu(image)
    row = {tuple(index): i for i, index in enumerate(hkl.tolist())}
    partner = np.array([row.get(tuple(index), -1) for index in image.tolist()], dtype=np.intp)
    first = np.arange(len(hkl))
    keep = (partner >= 0) & (partner != first)
    pairs = np.unique(np.sort(np.stack([first[keep], partner[keep]], axis=1), axis=1), axis=0)
    return pairs[:, 0], pairs[:, 1]


def _unrelated_width(amplitude: NDArray[np.float64], rng: np.random.Generator) -> float:
    """Return w such that correlations of n unrelated pairs scatter by w / sqrt(n)."""
    size = int(np.clip(len(amplitude) // 4, MIN_PAIRS, 200))
    values = []
    for _ in range(UNRELATED_SETS):
        first, second = rng.integers(0, len(amplitude), size=(2, size))
        value = correlation(amplitude[first], amplitude[second])
        values += [] if value is None else [value]
    return float(max(np.std(values) * np.sqrt(size), 0.5)) if values else 1.0


def _friedel_correlation(data: Unmerged, cell: UnitCell) -> float:
    """Return the correlation of |E| between Friedel mates, or a typical value where fewer than 40 are there."""
    upper = np.array(data.hkl)
    gemmi.SpaceGroup("P -1").switch_to_asu(upper)
    own = np.all(upper == data.hkl, axis=1)
    if min(np.count_nonzero(own), np.count_nonzero(~own)) < MIN_PAIRS:
        return TYPICAL_CORRELATION
    laue = gemmi.SpaceGroup("P -1")
    halves = [merge_equivalents(observations_at(data, rows), laue) for rows in (own, ~own)]
    _, first, second = np.intersect1d(_rows(halves[0].hkl), _rows(halves[1].hkl), return_indices=True)
    if len(first) < 40:
        return TYPICAL_CORRELATION
    values = [_comparable(half, cell) for half in halves]
    found = correlation(values[0][first], values[1][second])
    return TYPICAL_CORRELATION if found is None else float(np.clip(found, 0.7, 0.98))


def _rows(hkl: NDArray[np.int32]) -> NDArray[np.int64]:
    shifted = hkl.astype(np.int64) + 2048
    return np.asarray((shifted[:, 0] * 4096 + shifted[:, 1]) * 4096 + shifted[:, 2])


def _density(element: SymmetryElement, centre: float) -> float:
    """Return p(correlation | true value), a Lorentzian cut at -1 and 1 (Evans 2011, equation A2)."""
    agreement = 0.0 if element.correlation is None else element.correlation
    sigma = element.sigma
    area = sigma * (np.arctan((1 - centre) / sigma) - np.arctan((-1 - centre) / sigma))
    return float(1.0 / (1.0 + ((agreement - centre) / sigma) ** 2) / area)


def _absent_density(element: SymmetryElement, expected: float) -> float:
    """Return p(correlation | no symmetry): the true value is anything below `expected` (equations A3, A4)."""
    grid = np.linspace(0.0, expected, 21)
    weight = np.sqrt(np.maximum(1.0 - (grid / expected) ** 2, 0.0))
    values = [_density(element, float(m)) for m in grid]
    return float(integrate.trapezoid(weight * values, grid) / integrate.trapezoid(weight, grid))


def _mean_cc(rotations: Sequence[Matrix], elements: Sequence[SymmetryElement]) -> float | None:
    keys = {r.tobytes() for r in rotations}
    values = [e.correlation for e in elements if e.rotation.tobytes() in keys and e.correlation is not None]
    return float(np.mean(values)) if values else None


def _probability(element: SymmetryElement, groups: Sequence[tuple[Sequence[Matrix], float]]) -> float:
    key = element.rotation.tobytes()
    return float(sum(p for rotations, p in groups if any(r.tobytes() == key for r in rotations)))
