"""How well intensities obey the rotations of a lattice, and the subgroups of rotations ranked by Bayes' rule.

Source: Evans, Acta Cryst. D67, 282-292 (2011), appendix A1 (POINTLESS).
"""

from collections.abc import Sequence
from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy import integrate

from tasks.crystal.correlation import correlation
from tasks.crystal.lattice import Matrix, metric, misfit_deg, rotation_order
from tasks.crystal.lattice_subgroups import subgroups
from tasks.crystal.scattering import d_star_squared
from tasks.integrate.merging.equivalents import merge_equivalents, observations_at, uniques_at
from tasks.integrate.merging.normalisation import normalised_intensities
from tasks.integrate.reflection_file import Merged, Unmerged
from tasks.model import UnitCell

MIN_PAIRS = 8
"""Related pairs of reflections for a correlation: that of 8 unrelated ones scatters by 0.35 (1 / sqrt(8)), which the
scores allow for; of fewer it says nothing."""
UNRELATED_SETS = 200
"""Drawn sets whose correlations tell the scatter: 200 give it to 5 % (1 / sqrt(400))."""
MIN_I_OVER_SIGMA = 1.5
"""Resolution shells whose mean is below are left out of the correlations."""

TRUE_CORRELATIONS = np.linspace(0.3, 0.98, 18)
"""What true equivalents may agree to: unknown, from the Friedel pairs if there are enough."""

TYPICAL_CORRELATION = 0.85
"""Of |E| between Friedel mates where too few are there to say. Electron data have it from 0.79 to 0.89: cinchonine from
XDS 0.79 and from DIALS 0.89, tyrosine 0.79, LuAG 0.81 (`friedel_correlation` of the sets of tests.benchmarks.solve)."""
CELL_SIGMA_DEG = 0.2
"""Error of a measured cell, as a misfit: an ellipse of 0.17 %, not corrected, strains a right angle so. At 0.4 and 0.8
(as it was once) YBa2Cu3O7 comes out tetragonal (tests/unit/integrate/symmetry/test_laue_of_given_cell.py)."""
MIN_METRIC_LOG, METRIC_LOG_OF_EXACT = -3.0, -2.0
"""A measured cell may be strained by distorted frames; how much speaks against a symmetry, but never alone. Frames that
leave other rotations of the lattice exact are less likely to be distorted, and a user says what axes are unequal:
each adds to the most that a strain says."""
EXACT_DEG = 0.1
"""Misfit of a rotation that the cell has exactly: half of CELL_SIGMA_DEG. Introduced for natrolite, whose two-fold axes
are exact and whose four-fold one is 1 degree off; 0.02 to 0.3 pass the tests of given cells."""
TOLD_DEG, TOLD_EXACT = 0.5, 3
"""Misfit beyond which no rotation is taken of a cell that has so many others exactly: who gives a = b and right
angles has seen that c differs by 0.9 %. Barium titanate (c/a 1.011, 0.64 degrees) obeys the cubic group to R 0.04, and
nothing but its cell tells that it is tetragonal; cells that a program left free have no rotation exactly."""

CORRELATION_SPREAD = 0.08
"""Additional scatter of correlations between rotations: dynamical scattering and absorption differ with the path."""

MOST_OVER_BEST, MOST_BEYOND_BEST = 3.5, 0.1
"""R of the pairs that a rotation relates: above both so many times that of the one obeyed best and so much more, it
is no symmetry, however well |E| correlates where heavy atoms obey it and light ones do not. Rotations that are there
come to 2.2 times at most (LuAG, strongly dynamical, 0.43 and 0.20; natrolite, tyrosine, cinchonine, sucrose to 1.4),
those of scheelite's calcium and tungsten that its oxygen breaks to 8 times (0.22 and 0.027, 5 % noise)."""
PAIRS_FOR_R = 40
"""Below, R is not compared: of 40 pairs it scatters by a sixth (1 / sqrt(40)), far from the factor above; of 21 pairs
of natrolite it is 0.083 where 918 of another axis give 0.117."""
DISAGREES_LOG = -10.0
"""What such a rotation adds to a group's logarithm: as much as three correlations that speak against it, so that the
metric and |E| cannot outvote it. Chosen, not measured."""


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
    disagreement: float | None = None
    """R of the intensities that it relates, pair by pair, as a fraction; None with too few."""


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
        apart = _disagreement(merged.intensity[first], merged.intensity[second])
        elements[key] = SymmetryElement(
            rotation, rotation_order(rotation), agreement, len(first), sigma, misfit, 0.5, apart
        )
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
    ranked, broken = [], _broken(elements)
    for group in subgroups(rotations):
        keys = {r.tobytes() for r in group}
        strained = max((e.misfit_deg for e in elements if e.rotation.tobytes() in keys), default=0.0)
        metric_log = max(-0.5 * (strained / CELL_SIGMA_DEG) ** 2, most)
        if exact >= TOLD_EXACT and strained > TOLD_DEG:
            metric_log = -np.inf
        inside = np.array([e.rotation.tobytes() in keys for e in known], dtype=bool)[:, None]
        logs = np.log(np.where(inside, present, absent) + 1e-9).sum(axis=0) + metric_log
        logs += DISAGREES_LOG * bool(keys & broken)
        ranked.append((group, logs))
    top = max(float(logs.max()) for _, logs in ranked)
    weights = np.array([float(np.sum(prior * np.exp(logs - top))) for _, logs in ranked])
    probability = weights / weights.sum()
    order = sorted(range(len(ranked)), key=lambda i: (-round(float(probability[i]), 9), -len(ranked[i][0])))
    return [(ranked[i][0], float(probability[i])) for i in order]


def _broken(elements: Sequence[SymmetryElement]) -> set[bytes]:
    """Return the rotations that the intensities obey far worse than they obey another."""
    known = [e for e in elements if e.disagreement is not None]
    best = min((e.disagreement for e in known if e.disagreement is not None), default=0.0)
    limit = max(MOST_OVER_BEST * best, MOST_BEYOND_BEST + best)
    worse = [e.rotation for e in known if e.disagreement is not None and e.disagreement > limit]
    return {image.tobytes() for r in worse for image in (r, np.rint(np.linalg.inv(r)).astype(np.int64))}


def _disagreement(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    total = float((first + second).sum())
    if len(first) < PAIRS_FOR_R or not total > 0:
        return None
    return float(np.abs(first - second).sum()) / total


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


def friedel_correlation(data: Unmerged, cell: UnitCell) -> float:
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
