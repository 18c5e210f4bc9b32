"""Whether intensities fall off with resolution as a series goes on, by its own measurements alone."""

from typing import NamedTuple

import numpy as np

from tasks.integrate.rocking.decay import RateEquations, cluster_sums, rate_covariance, rate_equations
from tasks.integrate.rocking.fit import refine_model
from tasks.integrate.rocking.model import Decay, RockingFit, RockingObservations
from tasks.model.arrays import Floats

SIGNIFICANT = 4.0
"""Esds. On sound series rates lie within 2 esds of none (`python -m tests.benchmarks.integrate.damage
sound`, seed 21)."""
TRIED = 1.0
"""Esds before the decay was fitted, from which on it is. Chosen, not measured: what is not modelled raises all errors,
so that a fall-off of 25 esds showed as one of 2.9 (kyanite, symmetric, seed 12); lower, fits that find nothing cost.
"""
CYCLES = 6
"""Of refinement with the decay, as many as `fit_rocking` begins with. Chosen, not measured."""


class FallOff(NamedTuple):
    """A rate in angstrom^2 over the series with its esd; ``predicted``: what either half of the reflections predicts.

    ``predicted`` is by how much the rate of one half of the reflections lowers the chi^2 of the other, the lesser of
    both ways: positive where the halves tell of the same.
    """

    rate: float
    esd: float
    predicted: float

    @property
    def significance(self) -> float:
        """The rate in esds."""
        return self.rate / self.esd if self.esd > 0 else 0.0


def fall_off(fit: RockingFit, observations: RockingObservations, groups: int, exposure: Floats) -> FallOff:
    """Return the rate that a fit speaks for: the present one and one step.

    Parameters
    ----------
    exposure
        (frames,) from 0 to 1.
    """
    present = 0.0 if fit.model.decay is None else fit.model.decay.rate
    equations = rate_equations(fit, observations, groups, exposure[:, None])
    information = float(equations.information[0, 0])
    if not information > 0:
        return FallOff(0.0, 0.0, 0.0)
    rate = present + float(equations.gradient[0]) / information
    esd = float(np.sqrt(rate_covariance(equations, observations)[0, 0]))
    return FallOff(rate, esd, _predicted(equations, observations, groups, present))


def _predicted(equations: RateEquations, observations: RockingObservations, groups: int, present: float) -> float:
    """Return by how much the rate of one half of the reflections lowers the chi^2 of the other; the lesser of both.

    Reflections are halved by turns in the order of their numbers: neighbours in the reciprocal lattice, so that either
    half holds all resolutions.
    """
    sums = cluster_sums(np.hstack([equations.scores, equations.weights]), observations.group, groups)
    weight = [float(sums[first::2, 1].sum()) for first in (0, 1)]
    pull = [float(sums[first::2, 0].sum()) + weight[first] * present for first in (0, 1)]
    if not min(weight) > 0:
        return 0.0
    rates = [pull[first] / weight[first] for first in (0, 1)]
    gains = [2 * rates[first] * pull[1 - first] - rates[first] ** 2 * weight[1 - first] for first in (0, 1)]
    return min(gains)


def with_fall_off(
    fit: RockingFit, observations: RockingObservations, groups: int, exposure: Floats
) -> tuple[RockingFit, FallOff]:
    """Return the fit with a decay where intensities show one beyond doubt, and what they show.

    It is asked after the decay was fitted: what is not modelled raises the errors that all observations are given.
    Never one that rises: damage does not undo itself.
    """
    first = fall_off(fit, observations, groups, exposure)
    if not first.significance > TRIED:
        return fit, first
    model = fit.model._replace(decay=Decay(exposure, first.rate, first.esd**2))
    decayed = refine_model(model, observations, groups, cycles=CYCLES, orientations=True)
    found = fall_off(decayed, observations, groups, exposure)
    return (decayed if is_damage(found) else fit), found


def is_damage(found: FallOff) -> bool:
    """Tell whether a fall-off is beyond doubt: many esds, and either half of the reflections predicts the other."""
    return found.significance > SIGNIFICANT and found.predicted > 0
