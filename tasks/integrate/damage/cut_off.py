"""Whether the later part of a series makes merged intensities worse, by early measurements that are held out.

Each early crossing of the Ewald sphere is held out in turn, and foretold by all other measurements of the same
reflection and its equivalents up to a cut. The crossings judged and their weights are the same for every cut, so that
fewer data are never rewarded: later ones that are sound lower the deviation, those that are not raise it. A crossing
and what foretells it share no electron and no frame's place on the curve, as two halves of the events of the same
frames would.
"""

from typing import NamedTuple

import numpy as np

from tasks.integrate.damage.exposure import ExposureAxis
from tasks.integrate.rocking.decay import cluster_sums
from tasks.integrate.rocking.errors import believable, frame_variance, model_variance
from tasks.integrate.rocking.fit import refine_model
from tasks.integrate.rocking.model import RockingFit, RockingObservations, seen_scale, slope_of
from tasks.model.arrays import Floats, Integers, Mask

KEPT = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Cuts that are tried, as shares of the frames in the order of acquisition; the first is the early part, which judges.
Chosen, not measured: less, and few early crossings have equivalents to be foretold by; more, and damage that sets in
early is part of the judge."""
LEAST_JUDGED = 40
"""Reflections that judge. Chosen, not measured: the greatest sum of so few ranks is 5.5 standard deviations, and one
that is beyond doubt needs three of four to agree."""
LEAST_SHARE = 0.01
"""Of a crossing's own information that the others must have: what next to nothing foretells judges nothing. Chosen, not
measured: it only keeps divisions away from zero."""
SIGNIFICANT_GAIN = 3.0
"""Standard deviations. On sound series no cut gains more than 0.3, on series that became another crystal at 60 % the
right one 4.5 to 7.7 (`python -m tests.benchmarks.integrate.damage sound turned --cases diopside,forsterite`, seed 21).
"""
LEAST_WORSE = 1.25
"""Held-out deviation with all frames over that up to the cut. In those sound series it is 1.00, in the others 28 to 60.
Chosen, not measured: what costs less is not worth the completeness that a cut costs."""
CYCLES = 4
"""Of refinement of the early part. Chosen, not measured: the error terms move by a factor of two a cycle at most."""
MOST_DEVIATION = 4.0
"""In esds: beyond, a deviation counts by its size, not its square (Huber, Ann. Math. Stat. 35, 73-101, 1964). Chosen,
not measured: a normal one passes it once in 16000 times."""


class CutTrial(NamedTuple):
    """One cut: the last exposure kept, the frames kept, the mean held-out deviation, and what the cut gains.

    ``gain``: by how many standard deviations reflections are foretold better up to the cut than by all frames
    (`signed_rank`).
    """

    last: float
    kept: int
    deviation: float
    gain: float


def trial_cuts(
    fit: RockingFit, observations: RockingObservations, groups: int, *, crossing: Integers, exposure: ExposureAxis
) -> tuple[CutTrial, ...]:
    """Return the cuts with what held-out early measurements say of them, all frames last; empty if too few judge.

    Parameters
    ----------
    crossing
        (n,) number of the crossing that each observation belongs to.
    """
    ordered = np.sort(exposure.value)
    counts = sorted({int(np.ceil(share * len(ordered))) for share in KEPT} | {len(ordered)})
    early = exposure.value <= ordered[counts[0] - 1]
    variance = _early_variance(fit, observations, groups, early[observations.frame])
    held_out = _HeldOut.of(fit, observations, groups, crossing, early, variance)
    if held_out is None:
        return ()
    losses = [held_out.losses(exposure.value <= ordered[count - 1]) for count in counts]
    number = len(held_out.rows)
    trials = []
    for count, loss in zip(counts, losses, strict=True):
        better: Floats = np.bincount(held_out.group, weights=losses[-1] - loss).astype(np.float64)
        gain = signed_rank(better)
        trials.append(CutTrial(float(ordered[count - 1]), count, float(loss.sum()) / number, gain))
    return tuple(trials)


def _early_variance(fit: RockingFit, observations: RockingObservations, groups: int, early: Mask) -> Floats:
    """Return the variances (n,) that observations had if all were as good as the early ones (n,).

    A part that became another crystal raises the errors that the model learns for all, until nothing contradicts.
    """
    model = refine_model(fit.model, observations.where(early), groups, cycles=CYCLES, orientations=False).model
    sound = fit.model._replace(error_scale=model.error_scale, error_excitation=model.error_excitation)
    each = believable(fit.merged, fit.partial, observations)[observations.group]
    slope = slope_of(fit.model, observations) * seen_scale(fit.model, observations)
    variance = model_variance(sound, observations, fit.partial * each, slope * each)
    return variance + frame_variance(sound, observations, slope) * each**2


def signed_rank(differences: Floats) -> float:
    """Return in standard deviations how far differences (n,) lie above zero by signs and ranks; zeros are left out.

    Wilcoxon, Biometrics Bulletin 1, 80-83 (1945), with the normal approximation: a few reflections of any size do not
    decide.
    """
    from scipy.stats import rankdata  # a quarter of a second that a start need not wait for

    told = differences[differences != 0]
    if not len(told):
        return 0.0
    rank = rankdata(np.abs(told))
    return float((np.sign(told) * rank).sum() / np.sqrt((rank**2).sum()))


def best_cut(trials: tuple[CutTrial, ...]) -> CutTrial | None:
    """Return the cut of the least held-out deviation if it gains beyond doubt; None to keep all."""
    if not trials:
        return None
    best = min(trials, key=lambda trial: trial.deviation)
    worse = trials[-1].deviation > LEAST_WORSE * best.deviation
    return best if worse and best.gain > SIGNIFICANT_GAIN else None


class _HeldOut(NamedTuple):
    """Early crossings (rows, k) with what was measured (k,), the weight of a deviation (k,) and their group (k,).

    ``pull`` and ``information`` (n,): what each observation gives to a merged intensity and its weight.
    """

    rows: Integers
    group: Integers
    measured: Floats
    weight: Floats
    pull: Floats
    information: Floats
    observations: RockingObservations
    crossing: Integers

    @classmethod
    def of(
        cls,
        fit: RockingFit,
        observations: RockingObservations,
        groups: int,
        crossing: Integers,
        early: Mask,
        variance: Floats,
    ) -> "_HeldOut | None":
        number = int(crossing.max()) + 1
        information = fit.partial**2 / variance
        pull = fit.partial * observations.intensity / variance
        group = np.zeros(number, dtype=np.int64)
        group[crossing] = observations.group
        seen = early[observations.frame]
        own = np.bincount(crossing, weights=information * seen, minlength=number)
        others = np.bincount(observations.group, weights=information * seen, minlength=groups)[group] - own
        rows = np.flatnonzero((own > 0) & (others > LEAST_SHARE * own))
        if len(np.unique(group[rows])) < LEAST_JUDGED:
            return None
        measured = np.bincount(crossing, weights=pull * seen, minlength=number)[rows] / own[rows]
        weight = 1.0 / (1.0 / own[rows] + 1.0 / others[rows])
        return cls(rows, group[rows], measured, weight, pull, information, observations, crossing)

    def losses(self, kept: Mask) -> Floats:
        """Return the loss (k,) of each crossing when all others on the frames kept foretell it."""
        seen = kept[self.observations.frame]
        columns = np.stack([self.pull * seen, self.information * seen], axis=1)
        every = cluster_sums(columns, self.observations.group, int(self.observations.group.max()) + 1)[self.group]
        own = cluster_sums(columns, self.crossing, int(self.crossing.max()) + 1)[self.rows]
        foretold = (every[:, 0] - own[:, 0]) / (every[:, 1] - own[:, 1])
        size = np.abs(self.measured - foretold) * np.sqrt(self.weight)
        return np.where(size < MOST_DEVIATION, size**2, 2 * MOST_DEVIATION * size - MOST_DEVIATION**2)
