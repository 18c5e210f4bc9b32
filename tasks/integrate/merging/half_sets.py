"""Two measurements of the same reflections, judged by how well one half of each foretells the other half.

Halves are drawn among crossings of the Ewald sphere, not among observations: those of one crossing share their errors
of orientation and curve, whatever parts of a crystal they are of. Friedel mates cross at nearly the same tilt, but the
curvature of the sphere has them on different places of their curves: they count as two, or a crystal of low symmetry,
which meets most reflections once, would have nothing to compare. Amplitudes are compared, as a few strong reflections
would decide a correlation of intensities. Idea: CC1/2 (Karplus & Diederichs, Science 336, 1030-1033, 2012).
Departures: the weighted means that are used are compared, over the same reflections for both, and many halves drawn.
"""

from typing import NamedTuple

import gemmi
import numpy as np

from tasks.crystal.correlation import correlation
from tasks.integrate.merging.equivalents import group_equivalents, inverse_variance
from tasks.integrate.reflection_file import Unmerged
from tasks.model.arrays import Floats, Integers

DRAWS = 20
"""Halves drawn. The mean of their correlations scatters by a quarter of what one does: by 0.002 for a crystal that
bends by 3 degrees, of which 0.04 is to be told (seed 10 of `tests.benchmarks.bent`)."""
FEWEST = 20
"""Reflections that both measurements have in both halves, with which a correlation is told to 0.2 at worst. Chosen, not
measured."""


class HalfSets(NamedTuple):
    """Mean correlation of the amplitudes of two halves, of either measurement, over as many ``reflections``.

    ``won``: share of the draws in which the second measurement is the better one.
    """

    first: float
    second: float
    reflections: int
    won: float


def compare_half_sets(
    first: Unmerged, second: Unmerged, laue: gemmi.SpaceGroup, *, apart_deg: float, seed: int
) -> HalfSets | None:
    """Compare two measurements of one crystal in the same axes; None where too few reflections were met twice.

    Parameters
    ----------
    apart_deg
        Observations of one reflection that lie farther apart in tilt are of different crossings.
    """
    group = group_equivalents(np.concatenate([first.hkl, second.hkl]), laue)
    members = group.member[: len(first.hkl)], group.member[len(first.hkl) :]
    crossings = [_crossings(data, apart_deg) for data in (first, second)]
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(DRAWS):
        halves = [
            _halves(data, member, len(group.unique), crossing, rng)
            for data, member, crossing in zip((first, second), members, crossings, strict=True)
        ]
        common = np.isfinite(np.concatenate(halves)).all(axis=0)
        amplitudes = [np.sqrt(np.maximum(half[:, common], 0.0)) for half in halves]
        agreement = [correlation(one[0], one[1]) for one in amplitudes]
        if common.sum() < FEWEST or agreement[0] is None or agreement[1] is None:
            return None
        found.append((agreement[0], agreement[1], int(common.sum())))
    table = np.array(found)
    mean = table.mean(axis=0)
    return HalfSets(float(mean[0]), float(mean[1]), int(mean[2]), float(np.mean(table[:, 1] > table[:, 0])))


def _crossings(data: Unmerged, apart_deg: float) -> Integers:
    """Return the number (n,) of the crossing that each observation is of."""
    reflection = np.unique(data.hkl, axis=0, return_inverse=True)[1].ravel()
    order = np.lexsort((data.angle_deg, reflection))
    begins = np.ones(len(order), dtype=bool)
    begins[1:] = (np.diff(reflection[order]) != 0) | (np.diff(data.angle_deg[order]) > apart_deg)
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.cumsum(begins) - 1
    return number


def _halves(data: Unmerged, member: Integers, size: int, crossing: Integers, rng: np.random.Generator) -> Floats:
    """Return the weighted means (2, size) of halves as equal as may be, NaN where one has nothing of a reflection."""
    _, first = np.unique(crossing, return_index=True)
    of_crossing = member[first]
    order = np.lexsort((rng.random(len(first)), of_crossing))
    starts = np.flatnonzero(np.diff(of_crossing[order], prepend=-1))
    lengths = np.diff(starts, append=len(order))
    place = np.arange(len(order)) - np.repeat(starts - rng.integers(0, 2, len(starts)), lengths)
    half = np.empty(len(order), dtype=np.int64)
    half[order] = place % 2
    weight = inverse_variance(data.sigma)
    means = np.full((2, size), np.nan)
    for number in (0, 1):
        own = np.where(half[crossing] == number, weight, 0.0)
        total = np.bincount(member, weights=own, minlength=size)
        seen = total > 0
        means[number, seen] = np.bincount(member, weights=own * data.intensity, minlength=size)[seen] / total[seen]
    return means
