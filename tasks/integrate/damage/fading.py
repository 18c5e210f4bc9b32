"""Whether the scales of the frames follow the exposure, so that their prior must not hold them to a level course."""

import numpy as np

from tasks.integrate.rocking.fit import refine_model
from tasks.integrate.rocking.model import RockingFit, RockingObservations
from tasks.model.arrays import Floats

SIGNIFICANT = 3.0
"""Esds of the slope of log scales over the exposure, as the prior left it. It is 1.1 at most on 11 sound series and 3.9
to 80 on 14 that lost half a unit (`python -m tests.benchmarks.integrate.damage sound faded --cases
kyanite,albite,diopside`, seeds 2-12)."""
CYCLES = 12
"""Of refinement, as many as with a decay: in those that lost half a unit the slope is then 0.47 to 0.61; the prior left
0.15 to 0.45 of kyanite, rising, seeds 2-5."""


def with_fading(fit: RockingFit, observations: RockingObservations, groups: int, exposure: Floats) -> RockingFit:
    """Return the fit with scales that follow the exposure as they like, where they do so beyond doubt; else the fit.

    Neighbouring frames are linked by many reflections and distant ones by few where symmetry is low: a prior that
    expects no change from frame to frame then takes most of a slow loss from the scales, and intensities get it.

    Parameters
    ----------
    exposure
        (frames,) from 0 to 1.
    """
    covariance = fit.model.scale_covariance
    if covariance is None:
        return fit
    present = np.unique(observations.frame)
    place = exposure[present] - exposure[present].mean()
    lever = place / float(place @ place)
    slope = float(lever @ np.log(fit.model.scale[present]))
    variance = float(lever @ covariance[np.ix_(present, present)] @ lever)
    if not slope**2 > SIGNIFICANT**2 * variance:
        return fit
    return refine_model(fit.model._replace(course=exposure), observations, groups, cycles=CYCLES, orientations=True)
