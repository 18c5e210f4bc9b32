"""Whether one more crystal is of the form of others merged: by intensities, their noise allowed for, and held out.

The |E| of a faint crystal agree badly with those of any, its own form included. So the correlation is compared with
what its sigmas leave of a perfect one (Spearman, Am. J. Psychol. 15, 72-101, 1904), and must be well above zero.
A quarter of the reflections, in thin shells of resolution so that no equivalents are divided, do not take part in the
choice of the indexing and must agree as well. Where the others were measured repeatedly, their CC1/2 must not fall.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.crystal.correlation import MIN_FOR_CORRELATION
from tasks.crystal.lattice import Matrix
from tasks.crystal.scattering import d_star_squared
from tasks.crystal.symmetry import space_group
from tasks.integrate.crystals.crystal_match import (
    MIN_COMMON,
    Match,
    ReducedCrystal,
    Table,
    match_crystals,
    row_keys,
)
from tasks.integrate.merging.equivalents import merge_equivalents
from tasks.integrate.merging.normalisation import normalised_intensities
from tasks.integrate.models import JoiningEvidence
from tasks.model import UnitCell
from tasks.model.arrays import Floats, Integers, Mask

SAME_FORM = 0.35
"""Least correlation of |E|, less the noise, between crystals of one form; unrelated data scatter about zero."""
LEAST_DEVIATIONS = 4.0
"""Of the correlation from zero: by chance one of 30,000 foreign crystals. With several indexings a few more."""
HELD_OUT_DEVIATIONS = 1.5
"""The same of reflections that were held out: 7 % of foreign crystals that came so far agree by chance. Chosen, not
measured: a third of the reflections, at four deviations for all of them, show two on average."""
HELD_OUT_OF = 4
"""One thin shell of so many is held out. Chosen, not measured: fewer would say nothing, more would not choose."""
PER_SHELL = 40
"""Points of the lattice in a thin shell. Chosen, not measured: small crystals have a hundred shells, and equivalents,
whose lengths are equal but for rounding, are rarely divided."""
LEAST_RELIABLE = 0.05
"""Share of the variance of |E| that is no noise, below which what is left of a correlation cannot be told from none.
Chosen, not measured."""
KINEMATICAL = 0.1
"""Variance of |E| beside that of counting, in weights of crystals: 30 % of |E|, as poor kinematical data leave."""
LEAST_EXCESS = 0.02
"""The same of E^2, where crystals agree within their noise: 14 % of a mean intensity. Chosen, not measured: no crystal
shall count for more than seven of the faintest that can be told at all."""
LARGEST_LOSS = 0.02
"""Fall of the CC1/2 of the others that is borne. Chosen, not measured: a crystal that measures worse than the others
costs this much by its scale alone; a foreign one as strong as each of two others costs ten times that."""
LEAST_REPEATED = 30
"""Unique reflections with which a CC1/2 is told to 0.1 or so."""


class WeighedCrystal(NamedTuple):
    """Reflections (n,) of a crystal and all equivalents, one of Friedel mates: |E| and E^2 with their variances.

    |E| tells how well crystals agree, as no few strong reflections decide; E^2 has no bias where noise is large.
    """

    hkl: Integers
    value: Floats
    variance: Floats
    square: Floats
    square_variance: Floats


def weighed(crystal: ReducedCrystal) -> WeighedCrystal:
    """Return the |E| of a crystal in its reduced cell, with what the sigmas say of their variance.

    The error of |E| is sigma(I) / 2|E| for strong ones, and that of the root of a normal deviate for weak ones.
    """
    merged = merge_equivalents(crystal.data, space_group("P -1"))
    factor = normalised_intensities(merged.intensity, d_star_squared(merged.hkl, crystal.cell))
    square, sigma = merged.intensity * factor, merged.sigma * factor
    value = np.sqrt(np.maximum(square, 0.0))
    error = 0.5 * sigma / np.maximum(value, np.sqrt(sigma))
    images = np.concatenate([merged.hkl.astype(np.int64) @ rotation for rotation in crystal.rotations])
    times = len(crystal.rotations)
    return together([WeighedCrystal(images, *(np.tile(one, times) for one in (value, error**2, square, sigma**2)))])


def together(crystals: Sequence[WeighedCrystal]) -> WeighedCrystal:
    """Return the means over several crystals in one indexing, weighted by the precision of |E|."""
    hkl, value, variance, square, noise = (np.concatenate(column) for column in zip(*crystals, strict=True))
    weight = 1.0 / (variance + KINEMATICAL)
    _, first, member = np.unique(row_keys(hkl), return_index=True, return_inverse=True)
    total = np.bincount(member, weights=weight)
    means = [np.bincount(member, weights=weight * one) / total for one in (value, square)]
    spreads = [np.bincount(member, weights=weight**2 * one) / total**2 for one in (variance, noise)]
    return WeighedCrystal(hkl[first], means[0], spreads[0], means[1], spreads[1])


def turned(crystal: WeighedCrystal, basis: Matrix) -> WeighedCrystal:
    """Return the crystal with the indices ``hkl @ basis``."""
    return crystal._replace(hkl=crystal.hkl @ basis)


def held_out(hkl: Integers, cell: UnitCell) -> Mask:
    """Tell which reflections (n, 3) lie in the thin shells that are held out; the same for all that are equivalent."""
    points = 4 / 3 * np.pi * d_star_squared(hkl.astype(np.int32), cell) ** 1.5 * cell.gemmi().volume
    return np.asarray(np.floor(points / PER_SHELL).astype(np.int64) % HELD_OUT_OF == 0)


class Joined(NamedTuple):
    """How a crystal would join others, and the evidence; ``fit`` is None where the lattices differ."""

    fit: Match | None
    evidence: JoiningEvidence

    @property
    def against(self) -> str | None:
        """Why it should not join, in words; None if it may."""
        return "it has another lattice" if self.fit is None else reason_against(self.evidence)

    @property
    def rank(self) -> float:
        """By how many sigma it agrees: who agrees best joins first."""
        return self.evidence.deviations if self.evidence.deviations is not None else 0.0


def joining(crystal: ReducedCrystal, others: Sequence[WeighedCrystal], onto: UnitCell) -> Joined:
    """Return the best indexing of a crystal against others, chosen by three quarters of the reflections, with evidence.

    Parameters
    ----------
    onto
        The reduced cell in which the others are indexed.
    """
    merged = together(others)
    working = ~held_out(merged.hkl, onto)
    fit = match_crystals(crystal, Table(merged.hkl[working], merged.value[working]), onto)
    if fit is None or fit.correlation is None:
        return Joined(fit, JoiningEvidence(correlation=None, reflections=0 if fit is None else fit.common))
    own = turned(weighed(crystal), fit.basis)
    evidence = _agreement(own, merged, onto, equivalents=len(crystal.rotations))
    return Joined(fit, evidence.model_copy(update={"delta_cc_half": _delta(own, others)}))


def reason_against(evidence: JoiningEvidence) -> str | None:
    """Return why a crystal is left out, in words; None where the evidence is for it."""
    shown = f"correlation of |E| {_text(evidence.correlation)} over {evidence.reflections} reflections"
    if evidence.correlation is None or evidence.deviations is None:
        return f"{evidence.reflections} reflections in common with the others, {MIN_COMMON} are needed"
    if evidence.deviations < LEAST_DEVIATIONS:
        return f"its intensities do not agree with those of the others, or are too faint to tell: {shown}"
    if evidence.without_noise is None or evidence.without_noise < SAME_FORM:
        return f"its intensities agree less than its noise explains: {shown}, {_text(evidence.without_noise)} without"
    if evidence.held_out_deviations is None or evidence.held_out_deviations < HELD_OUT_DEVIATIONS:
        found = f"{_text(evidence.held_out)} over {evidence.held_out_reflections}"
        return f"reflections that were held out do not agree: correlation {found}"
    if evidence.delta_cc_half is not None and evidence.delta_cc_half < -LARGEST_LOSS:
        return f"CC1/2 of the others would change by {evidence.delta_cc_half:+.3f}"
    return None


def _text(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"


def _agreement(own: WeighedCrystal, merged: WeighedCrystal, cell: UnitCell, *, equivalents: int) -> JoiningEvidence:
    _, first, second = np.intersect1d(row_keys(own.hkl), row_keys(merged.hkl), return_indices=True)
    pairs = _Pairs(own.value[first], merged.value[second], own.variance[first], merged.variance[second], equivalents)
    out = pairs.where(held_out(own.hkl[first], cell))
    return JoiningEvidence(
        correlation=pairs.correlation,
        without_noise=pairs.without_noise,
        reflections=len(first) // equivalents,
        deviations=pairs.deviations,
        held_out=out.correlation,
        held_out_deviations=out.deviations,
        held_out_reflections=len(out.here) // equivalents,
    )


class _Pairs(NamedTuple):
    """|E| (n,) of the same reflections in two sets, with their variances; each counts by how well it is known."""

    here: Floats
    there: Floats
    noise_here: Floats
    noise_there: Floats
    equivalents: int

    def where(self, rows: Mask) -> "_Pairs":
        here, there, noise_here, noise_there, equivalents = self
        return _Pairs(here[rows], there[rows], noise_here[rows], noise_there[rows], equivalents)

    @property
    def weight(self) -> Floats:
        return np.asarray(1.0 / (self.noise_here + self.noise_there + KINEMATICAL))

    @property
    def covariance(self) -> Floats:
        """The weighted covariance (2, 2)."""
        return np.asarray(np.cov(self.here, self.there, aweights=self.weight, ddof=0))

    @property
    def correlation(self) -> float | None:
        if len(self.here) < MIN_FOR_CORRELATION:
            return None
        (a, b), (_, c) = self.covariance
        return float(np.clip(b / np.sqrt(a * c), -1.0, 1.0)) if a * c > 0 else None

    @property
    def deviations(self) -> float | None:
        """By how many sigma the correlation is above zero (Fisher, Metron 1, 3-32, 1921), of as many as count."""
        found, weight = self.correlation, self.weight
        n = float(weight.sum() ** 2 / (weight**2).sum()) / self.equivalents if found is not None else 0.0
        return (
            None if found is None or n < 4 else float(np.arctanh(np.clip(found, -0.999999, 0.999999)) * np.sqrt(n - 3))
        )

    @property
    def without_noise(self) -> float | None:
        """The correlation over what noise leaves of a perfect one; None where that is too little."""
        found = self.correlation
        if found is None:
            return None
        noise = [float(np.average(one, weights=self.weight)) for one in (self.noise_here, self.noise_there)]
        left = [1.0 - one / variance for one, variance in zip(noise, np.diag(self.covariance), strict=True)]
        return None if min(left) < LEAST_RELIABLE else float(min(1.0, found / np.sqrt(left[0] * left[1])))


def _delta(own: WeighedCrystal, others: Sequence[WeighedCrystal]) -> float | None:
    """Return the weighted CC1/2 with a crystal less that without it, over the reflections that two others measured."""
    keys = np.concatenate([row_keys(one.hkl) for one in others])
    found, count = np.unique(keys, return_counts=True)
    mine = row_keys(own.hkl)
    repeated = np.intersect1d(found[count > 1], mine)
    if len(repeated) < LEAST_REPEATED:
        return None
    excess = _excess(others, repeated)
    before, after = (_cc_half(crystals, repeated, excess) for crystals in (others, [*others, own]))
    return None if before is None or after is None else round(after - before, 5)


def _excess(crystals: Sequence[WeighedCrystal], among: NDArray[np.int64]) -> float:
    """Return by how much crystals differ beyond their noise, as a variance of E^2."""
    value, noise, member = _squares(crystals, among)
    count = np.bincount(member)
    mean = np.bincount(member, weights=value) / count
    scatter = float(((value - mean[member]) ** 2).sum() / max(int((count - 1).sum()), 1))
    return max(LEAST_EXCESS, scatter - float(noise.mean()))


def _squares(crystals: Sequence[WeighedCrystal], among: NDArray[np.int64]) -> tuple[Floats, Floats, Integers]:
    """Return E^2 and its variance of some of the reflections, and the number of each one's reflection, (n,)."""
    hkl, _, _, square, noise = (np.concatenate(column) for column in zip(*crystals, strict=True))
    keys = row_keys(hkl)
    used = np.isin(keys, among)
    return square[used], noise[used], np.unique(keys[used], return_inverse=True)[1]


def _cc_half(crystals: Sequence[WeighedCrystal], among: NDArray[np.int64], excess: float) -> float | None:
    """Return CC1/2 as `merging.statistics.cc_half`, of weighted means of E^2 over crystals.

    The squared error of a weighted mean is that of its scatter, (n / (n - 1)) sum w^2 (x - mean)^2 / (sum w)^2.
    """
    value, noise, member = _squares(crystals, among)
    weight = 1.0 / (noise + excess)
    count, total = np.bincount(member), np.bincount(member, weights=weight)
    mean = np.bincount(member, weights=weight * value) / total
    squares = np.bincount(member, weights=weight**2 * (value - mean[member]) ** 2)
    error = float(np.mean(count / np.maximum(count - 1, 1) * squares / total**2))
    spread = float(np.var(mean, ddof=1))
    return (spread - error) / (spread + error) if spread + error > 0 else None
