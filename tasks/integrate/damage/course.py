"""The course of damage over a series, to be seen beside the model: fall-off by batches of frames, and loss of scale."""

import numpy as np

from tasks.frames import FrameSeries
from tasks.integrate.damage.exposure import ExposureAxis
from tasks.integrate.models import DamagePoint
from tasks.integrate.rocking.decay import rate_covariance, rate_equations
from tasks.integrate.rocking.model import RockingFit, RockingObservations
from tasks.model.arrays import Floats

MOST_BATCHES = 8
"""Points of the plot. Chosen, not measured: enough to see a course that is no straight line."""
LEAST_BATCH = 5
"""Frames of a batch. Chosen, not measured: fewer share too few reflections with the others."""
MOST_ESD = 1.0
"""Of the exponent at 1 angstrom: a point known to less than a factor of e says nothing, and is not shown."""


def course_of(
    fit: RockingFit, observations: RockingObservations, groups: int, exposure: ExposureAxis
) -> tuple[DamagePoint, ...]:
    """Return the intensity at 1 angstrom by batches of frames in the order of acquisition, by no model of its course.

    A batch has a fall-off of its own beside the model's; the first is held to the model's: what all have in common is
    in the merged intensities. From one step of the equations at the fit.
    """
    present = np.unique(observations.frame)
    ordered = present[np.argsort(exposure.value[present], kind="stable")]
    batches = np.array_split(ordered, max(1, min(MOST_BATCHES, len(ordered) // LEAST_BATCH)))
    if len(batches) < 2:
        return ()
    columns = np.zeros((len(exposure.value), len(batches) - 1))
    for index, batch in enumerate(batches[1:]):
        columns[batch, index] = 1.0
    equations = rate_equations(fit, observations, groups, columns)
    inverse = np.linalg.pinv(equations.information, hermitian=True)
    exponent = np.concatenate([[0.0], inverse @ equations.gradient])
    esd = np.concatenate([[0.0], np.sqrt(np.maximum(np.diag(rate_covariance(equations, observations)), 0.0))])
    rate = 0.0 if fit.model.decay is None else fit.model.decay.rate
    points = []
    for batch, own, error in zip(batches, exponent, esd, strict=True):
        mean = float(exposure.value[batch].mean())
        left = float(np.exp(-(rate * mean / exposure.last + own)))
        if error < MOST_ESD:
            points.append(DamagePoint(exposure=mean, intensity=left, esd=left * float(error)))
    return tuple(points)


def scale_loss(
    series: FrameSeries, fit: RockingFit, exposure: ExposureAxis, observations: RockingObservations
) -> tuple[float, float] | None:
    """Return by how much the logarithm of the scale fell over the series, with its esd; None where it is not held.

    It is told from tilts that were measured several times, within each tilt; or else from frames of which the share of
    the crystal is known. Without either, the volume that each tilt illuminates is as unknown as the loss.
    """
    present = np.unique(observations.frame)
    value = np.log(fit.model.scale[present])
    place = exposure.fraction[present]
    angle = np.rint(series.angle_deg[present] * 1e3).astype(np.int64)
    _, tilt, count = np.unique(angle, return_inverse=True, return_counts=True)
    if np.count_nonzero(count > 1) >= LEAST_BATCH:
        value, place = _within(value, tilt), _within(place, tilt)
        free = len(present) - len(count) - 1
    elif fit.model.prior is not None and all(frame.share is not None for frame in series.frames):
        value = value - np.log(fit.model.prior[present])
        value, place = value - value.mean(), place - place.mean()
        free = len(present) - 2
    else:
        return None
    square = float(place @ place)
    if free < 1 or not square > 0:
        return None
    slope = float(place @ value) / square
    error = float(np.sqrt(((value - slope * place) ** 2).sum() / free / square))
    return -slope, error


def _within(values: Floats, member: np.ndarray) -> Floats:
    """Return values (n,) less the mean of their group."""
    mean = np.bincount(member, weights=values) / np.bincount(member)
    return np.asarray(values - mean[member])
