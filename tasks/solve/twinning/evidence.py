"""What intensities alone say of twinning: H test and Britton plot by a law, L test without one.

Each against what crystals with and without a centre give: their intensities are distributed differently, and a twin of
a centrosymmetric structure looks to most tests like a single crystal of one without a centre.
"""

from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.miller import pack
from tasks.crystal.twin_laws import Law, law_triplet, twin_indices
from tasks.integrate import Merged
from tasks.solve.twinning.descents import Descent

LEAST_PAIRS = 30
"""Of reflections that a law relates: the mean of H^2 is then good to 17 %, a fraction to 0.05 at 0 and 0.01 at 0.35."""
LEAST_SIGNAL = 6.0
"""Sum of the two intensities over its error; below, H is noise."""
NEGATIVE_SIGMA = 3.0
"""An intensity that sharing out makes negative by more is no error."""
BRITTON_SHARE = 0.01
"""Of intensities made negative, where a fraction is too large. Chosen, not measured: errors alone give 0.001."""
BRITTON_STEPS = 50
"""Of fractions from 0 to 0.5 that are tried."""
L_UNTWINNED = {True: 2.0 / np.pi, False: 0.5}
"""<|L|> of a single crystal with and without a centre: Padilla & Yeates, Acta Cryst. D59, 1124-1130 (2003)."""
L_TWIN = {True: 0.5, False: 0.375}
"""<|L|> of two crystals of equal size, likewise: the mean of two centric intensities is distributed as an acentric
one."""
L_SUSPECT = 0.57
"""Half way between a single crystal with a centre and a twin of such: below, a twin is not excluded."""
FRACTION_RANGE = (0.06, 0.42)
"""Fractions by the H test that are told: less is the noise of small data sets, more are equivalents by symmetry whose
errors are stated too small. Chosen, not measured."""
ESDS = 4.0
"""By which a fraction must be off both ends."""


class HTest(NamedTuple):
    """H = |I1 - I2| / (I1 + I2) of reflections that a law relates: Yeates, Acta Cryst. A44, 142-144 (1988)."""

    law: Law
    pairs: int
    mean: float
    mean_square: float
    """Of H, less what errors make."""
    fraction_acentric: float
    """Of the second crystal, if the structure has no centre: <H^2> = (1 - 2 alpha)^2 / 3."""
    fraction_centric: float
    """If it has: <H^2> = (1 - 2 alpha)^2 / 2."""
    esd: float
    """Of both, by the number of pairs: the square root of <H^2> of n pairs scatters by 0.45 / sqrt(n), relative."""
    britton: float
    """The largest fraction that makes hardly any shared-out intensity negative.

    Source: Britton, Acta Cryst. A28, 296-297 (1972).
    """

    @property
    def tells(self) -> bool:
        """Whether equivalents by the law are alike, but not equal: neither unrelated nor symmetry."""
        low, high = FRACTION_RANGE
        margin = ESDS * self.esd
        return bool(max(low, margin) < self.fraction_acentric and self.fraction_centric < min(high, 0.5 - margin))


def h_test(merged: Merged, laue: gemmi.SpaceGroup, law: Law) -> HTest | None:
    """Return the H test of intensities merged in a Laue group that lacks the law; None with too few pairs."""
    first, second = _pairs(merged.hkl, laue, law)
    total = merged.intensity[first] + merged.intensity[second]
    error = np.hypot(merged.sigma[first], merged.sigma[second])
    strong = total > LEAST_SIGNAL * error
    first, second, total, error = first[strong], second[strong], total[strong], error[strong]
    if len(first) < LEAST_PAIRS:
        return None
    h = np.clip(np.abs(merged.intensity[first] - merged.intensity[second]) / total, 0.0, 1.0)
    square = max(float((h**2).mean() - ((error / total) ** 2).mean()), 0.0)
    return HTest(
        law=law,
        pairs=len(first),
        mean=float(h.mean()),
        mean_square=square,
        fraction_acentric=_fraction(3.0 * square),
        fraction_centric=_fraction(2.0 * square),
        esd=0.25 * float(np.sqrt(3.0 * square / len(first))),
        britton=_britton(merged, first, second),
    )


def _fraction(square: float) -> float:
    return float(0.5 * (1.0 - min(1.0, np.sqrt(square))))


def _pairs(hkl: NDArray[np.int32], laue: gemmi.SpaceGroup, law: Law) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows of reflections (n, 3) that a law relates, each pair once, none with itself."""
    own, other = (np.array(rows, dtype=np.int32, order="C") for rows in (hkl, twin_indices(hkl, law)))
    for rows in (own, other):
        laue.switch_to_asu(rows)
    keys, wanted = pack(own), pack(other)
    order = np.argsort(keys)
    place = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
    partner = order[place]
    found = (keys[partner] == wanted) & (np.arange(len(keys)) < partner)
    return np.flatnonzero(found), np.asarray(partner[found], dtype=np.int64)


def _britton(merged: Merged, first: NDArray[np.int64], second: NDArray[np.int64]) -> float:
    """Return the largest fraction at which fewer than a hundredth of the shared-out intensities are surely negative."""
    one, two = merged.intensity[first], merged.intensity[second]
    smaller, larger = np.minimum(one, two), np.maximum(one, two)
    error = np.hypot(merged.sigma[first], merged.sigma[second])
    largest = 0.0
    for fraction in np.linspace(0.0, 0.5, BRITTON_STEPS, endpoint=False):
        shared = (1.0 - fraction) * smaller - fraction * larger
        if float(np.mean(shared < -NEGATIVE_SIGMA * error)) > BRITTON_SHARE:
            break
        largest = float(fraction)
    return largest


def twin_suspicions(every: tuple[Descent, ...], l_test: float | None) -> tuple[str, ...]:
    """Return in words what intensities that were not explained say of twins, by any law or by their distribution.

    Parameters
    ----------
    l_test
        <|L|> of all intensities; None with too few.
    """
    found = []
    for descent in (one for one in every if one.merges_better):
        test = h_test(descent.merged, descent.laue, descent.law.law)
        if test is not None and test.tells:
            found.append(
                f"twinning by the law {law_triplet(test.law)} is likely: by the H test of {test.pairs} pairs "
                f"{test.fraction_acentric:.0%} of the crystal are turned (structure without a centre) or "
                f"{test.fraction_centric:.0%} (with one), by Britton's plot {test.britton:.0%} at most"
            )
    if not found and l_test is not None and every and l_test < L_SUSPECT:
        found.append(
            f"twinning is not excluded: <|L|> of {l_test:.2f}, where one crystal gives {L_UNTWINNED[False]} without "
            f"and {L_UNTWINNED[True]:.2f} with a centre, two of equal size {L_TWIN[False]} and {L_TWIN[True]}"
        )
    return tuple(found)
