"""Whether intensities fall off with resolution as a series goes on, by its own measurements alone."""

from typing import NamedTuple

import numpy as np

from tasks.integrate.rocking.decay import RateEquations, cluster_sums, rate_covariance, rate_equations
from tasks.integrate.rocking.fit import refine_model
from tasks.integrate.rocking.model import Decay, RockingFit, RockingObservations
from tasks.model.arrays import Floats

SIGNIFICANT = 2.0
"""Esds. On 33 sound series, most of them with a loss that all intensities share, rates lie within 1.6 esds of none, 0.8
in the mean square (`python -m tests.benchmarks.integrate.damage sound faded --cases kyanite,albite,diopside,uio66,
forsterite`, seeds 2-12). What is corrected for nothing is 2 esds or little more, and its error is in the sigmas; at 4,
half of the triclinic crystals that had lost half of their intensity at 1 angstrom were left with it (R1 0.063 to 0.082
where the correction makes it 0.016 to 0.037: kyanite, rising, seeds 2-9)."""
CONTRADICTED = 3.0
"""Esds between two halves, from which on they do not tell of the same. Chosen, not measured: chance makes so much once
in 370 times; 1.8 is the most in those series."""
TRIED = 1.0
"""Esds before the decay was fitted, from which on it is. Chosen, not measured: what is not modelled raises all errors,
so that a fall-off of 25 esds showed as one of 2.9 (kyanite, symmetric, seed 12); lower, fits that find nothing cost.
"""
CYCLES = 12
"""Of refinement with the decay: after 6 the rates of kyanite, rising, seeds 2-7 are up to 0.03 from those after 12, and
these up to 0.026 from those after 30, a fifth of their esds."""


class FallOff(NamedTuple):
    """A rate in angstrom^2 over the series with its esd, and how far halves of the reflections are apart, in esds."""

    rate: float
    esd: float
    contradiction: float

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
        return FallOff(0.0, 0.0, np.inf)
    rate = present + float(equations.gradient[0]) / information
    esd = float(np.sqrt(rate_covariance(equations, observations)[0, 0]))
    return FallOff(rate, esd, _contradiction(equations, observations, groups, esd))


def _contradiction(equations: RateEquations, observations: RockingObservations, groups: int, esd: float) -> float:
    """Return how far apart the rates are that either half of the reflections shows, in esds of their difference.

    Reflections are halved by turns in the order of their numbers: neighbours in the reciprocal lattice, so that either
    half holds all resolutions.
    """
    sums = cluster_sums(np.hstack([equations.scores, equations.weights]), observations.group, groups)
    pull, weight = (np.array([sums[first::2, column].sum() for first in (0, 1)]) for column in (0, 1))
    if not weight.min() > 0:
        return np.inf
    rates = pull / weight
    return float(abs(rates[0] - rates[1]) / (esd * np.sqrt(weight.sum() * (1.0 / weight).sum())))


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
    model = fit.model._replace(decay=Decay(exposure, first.rate, first.esd**2), course=exposure)
    decayed = refine_model(model, observations, groups, cycles=CYCLES, orientations=True)
    found = fall_off(decayed, observations, groups, exposure)
    return (decayed if is_damage(found) else fit), found


def is_damage(found: FallOff) -> bool:
    """Tell whether a fall-off is to be corrected: it is significant, and halves of the reflections agree on it."""
    return found.significance > SIGNIFICANT and found.contradiction < CONTRADICTED
