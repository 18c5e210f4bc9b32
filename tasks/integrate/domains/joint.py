"""Two domains of a non-merohedral twin measured together, their spots that share pixels fitted together.

Reflections of the two that coincide in space, as those of a plane or a row that the twin law maps onto itself, cannot
be told apart on any frame: they are measured once, and go on as sums. Those that meet on a frame by chance are left out
there.
"""

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tasks.integrate.geometry.prediction import Predictions
from tasks.integrate.merging.equivalents import merge_equivalents
from tasks.integrate.overlaps import DomainOverlaps
from tasks.integrate.profiles.pixels import Pixels
from tasks.integrate.reflection_file import Merged, Unmerged
from tasks.model.arrays import Floats, Integers, Mask

SAME_PLACE = 0.25
"""Of the rms excitation error: nearer reflections of two domains cross the sphere together. Chosen, not measured: a
quarter of a width changes a normal curve by 12 % at most."""
SAME_PIXEL = 0.75
"""Of the spots' radius (2.26 sigma): a fit of two spots nearer than 1.7 sigma says little of either. With 0.5 the
second domain of a series of albite whose lattices nearly coincide (twinned about b) correlates to 0.965 with the truth,
with 0.75 and 1 to 0.986; one of kyanite, whose lattices do not, to 0.9995 with each."""
LEAST_COMMON = 20
"""Reflections of both domains that a choice of indices is judged by: the correlation of 20 pairs by chance is below 0.4
in 92 of 100. Chosen, not measured."""


def joined(first: Predictions, second: Predictions) -> tuple[Predictions, Integers]:
    """Return the predictions of both sorted by frame, and the domain of each, 0 or 1."""
    every = Predictions(*(np.concatenate([getattr(one, name) for one in (first, second)]) for name in first._fields))
    domain = np.repeat([0, 1], [len(first.frame), len(second.frame)])
    order = np.lexsort((domain, every.frame))
    return every.where(order), domain[order]


def on_lattice(predictions: Predictions, primitive: Floats) -> Predictions:
    """Return the predictions that a centred lattice has; hkl = hkl_primitive @ primitive."""
    place = predictions.hkl @ np.linalg.inv(primitive)
    return predictions.where(np.flatnonzero((np.abs(place - np.rint(place)) < 1e-6).all(axis=1)))


def partners(hkl: NDArray[np.integer], own: Floats, other: Floats, within: float) -> Integers:
    """Return the reflections (n, 3) of another domain that coincide in space with those given, zeros where none does.

    Parameters
    ----------
    own, other
        (3, 3) columns a*, b*, c* of either domain.
    within
        1/angstrom.
    """
    q = hkl @ own.T
    nearest = np.rint(q @ np.linalg.inv(other).T)
    gap = np.linalg.norm(q - nearest @ other.T, axis=1)
    return np.where((gap < within)[:, None], nearest, 0).astype(np.int64)


def meeting(predictions: Predictions, domain: Integers, near: Mask, pixel: float) -> Mask:
    """Return which predictions (n,) have one of the other domain, near the sphere, on their frame within `pixel` px."""
    place = np.column_stack([predictions.px, (4.0 * pixel + 1.0) * predictions.frame])  # frames are kept apart
    found = np.zeros(len(domain), dtype=bool)
    for own, other in ((0, 1), (1, 0)):
        rows, others = np.flatnonzero(domain == own), np.flatnonzero((domain == other) & near)
        if len(others):
            distance, _ = cKDTree(place[others]).query(place[rows], distance_upper_bound=pixel)
            found[rows] = np.isfinite(distance)
    return found


def chosen_indices(
    first: Unmerged, second: Unmerged, choices: tuple[Integers, ...], laue: gemmi.SpaceGroup
) -> Integers:
    """Return the matrix, ``hkl @ matrix``, by which the second domain's intensities agree best with the first's."""
    reference = merge_equivalents(first, laue)

    def agreement(matrix: Integers) -> float:
        turned = second._replace(hkl=(second.hkl @ matrix).astype(np.int32))
        return correlation(reference, merge_equivalents(turned, laue))

    return max(choices, key=agreement)


def correlation(one: Merged, other: Merged) -> float:
    """Return the correlation of the intensities of common reflections, as their ranks; -1 of too few."""
    places = {tuple(hkl): number for number, hkl in enumerate(one.hkl.tolist())}
    pairs = [(places[tuple(hkl)], number) for number, hkl in enumerate(other.hkl.tolist()) if tuple(hkl) in places]
    if len(pairs) < LEAST_COMMON:
        return -1.0
    rows, columns = np.array(pairs).T
    ranks = [np.argsort(np.argsort(values)) for values in (one.intensity[rows], other.intensity[columns])]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def without(pixels: Pixels, rows: Mask) -> Pixels:
    """Return the pixels with some of the predictions (n,) taken as not seen."""
    return pixels._replace(measured=pixels.measured._replace(seen=np.where(rows, 0.0, pixels.measured.seen)))


def sums_of(first: Unmerged, second: Unmerged, partner: Integers) -> DomainOverlaps:
    """Return what was observed of both domains.

    Parameters
    ----------
    first
        Observations of the first domain (n,), those with a partner being sums.
    second
        Those of the second alone (m,).
    partner
        (n, 3) indices in the second domain of what coincides with each; zeros where nothing does.
    """
    both = np.flatnonzero(partner.any(axis=1))
    n, m = len(first.intensity), len(second.intensity)
    hkl = np.concatenate([first.hkl, second.hkl, partner[both]])
    domain = np.repeat([1, 2, 2], [n, m, len(both)])
    observation = np.concatenate([np.arange(n + m), both])
    order = np.lexsort((domain, observation))
    return DomainOverlaps(
        hkl[order].astype(np.int32),
        domain[order].astype(np.int32),
        observation[order].astype(np.int32),
        np.concatenate([first.intensity, second.intensity]),
        np.concatenate([first.sigma, second.sigma]),
    )
