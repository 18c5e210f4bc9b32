"""From measured predictions to observations on one scale: rocking fit, crossings, resolution limit."""

from typing import NamedTuple

import gemmi
import numpy as np
from scipy import sparse

from tasks.frames import FrameSeries
from tasks.integrate.geometry.mapping import Geometry
from tasks.integrate.geometry.prediction import Predictions, crossings
from tasks.integrate.merging.equivalents import group_equivalents
from tasks.integrate.models import Damage
from tasks.integrate.profiles.pixels import SpotLoss
from tasks.integrate.profiles.profile_fit import Measured
from tasks.integrate.reflection_file import Unmerged
from tasks.integrate.rocking.decay import cluster_sums
from tasks.integrate.rocking.fit import learned_shape, refine_model, width_levers
from tasks.integrate.rocking.model import (
    RockingFit,
    RockingModel,
    RockingObservations,
    ScaleSpreads,
    gaussian_shape,
    seen_scale,
    widths,
)
from tasks.model.arrays import Floats, Integers, Mask

LEAST_SEEN = 0.6
"""Fraction of a spot that must lie on valid pixels. Chosen, not measured: less, and the profile makes up more than was
counted; more, and the rims of gaps are lost. 0.3 and 0.8 change nothing where a detector has no gaps (test_sigmas)."""
WELL_SAMPLED = 0.15
"""Of the peak: a normal curve is so high 1.95 widths from its middle. In the high-dose series of
tests/unit/integrate/test_sigmas.py 0.05 makes CC1/2 0.9995, 0.3 makes it 0.9990 (0.9994); completeness stays."""
FLANK_FRAMES = 3
"""Frames on either side of one that was set aside on which the same crossing is looked for. Chosen, not measured:
curves of low orders pass over so many at steps of 1 to 2 degrees."""
LEAST_FLANK = 0.25
"""Of the peak, that an observation must have seen whose peak was set aside: 1.67 widths from the middle of a normal
curve, where an error of the width of 10 % makes 28 % of the intensity. With less reflection (1 1 1) of natrolite,
measured on its flanks only, came to 0.59 of the truth."""
SHELLS = 20
"""At most. Chosen, not measured: as many as follow the fall of intensities; with 10 CC1/2 of that series is 0.00001
lower, with 40 nothing changes."""
SCALE_OFF_PRIOR, SCALE_OFF_ALONE, SCALE_NEXT = 0.25, 1.5, 0.2
"""Spreads to start from of a frame's log scale: from what its scan positions let expect, from the others', from the
next frame's."""


class ScaledObservations(NamedTuple):
    """Observations, one per crossing of the sphere, with what the crossing saw.

    ``sampled`` (n,): the highest point of the rocking curve that a frame hit, as a fraction of its peak. ``halves``:
    the same observations from either half of the events. ``rows`` (k,): the predictions used, ``group`` (k,) their
    unique reflections. ``damage``: what was found of it, where it was looked for.
    """

    data: Unmerged
    sampled: Floats
    halves: tuple[Floats, Floats] | None
    fit: RockingFit
    rows: Integers
    group: Integers
    damage: Damage | None = None


def observations_of(
    predictions: Predictions,
    measured: Measured,
    geometry: Geometry,
    laue: gemmi.SpaceGroup,
    *,
    loss: SpotLoss | None = None,
) -> tuple[RockingObservations, int]:
    """Return the measured predictions for the rocking model and the number of unique reflections in a Laue group."""
    outgoing = predictions.q - np.array([0.0, 0.0, 1.0 / geometry.wavelength])
    outgoing /= np.linalg.norm(outgoing, axis=1, keepdims=True)
    equivalents = group_equivalents(predictions.hkl, laue)
    observations = RockingObservations(
        intensity=measured.intensity,
        noise=measured.noise,
        group=equivalents.member,
        frame=predictions.frame,
        length=np.linalg.norm(predictions.q, axis=1),
        excitation=predictions.excitation,
        travel=predictions.travel,
        # s = 1/wavelength - |k|, so a turn w changes s by -(w x q).k = -w.(q x k)
        lever=-np.cross(predictions.q, outgoing),
        fill=None if loss is None else loss.fill,
        spread=None if loss is None else loss.spread,
    )
    return observations, len(equivalents.unique)


FIRST_WIDTH = 0.7
"""Of the r.m.s. excitation error of the spots: the width of the rocking curve that its fit starts from. Chosen, not
measured: spots are found on the flanks too, so that they scatter wider than the curve; the fit moves it."""


def first_model(width: float, frames: int, prior: Floats | None = None) -> RockingModel:
    """Return a Gaussian rocking curve to start from; width in 1/angstrom; `prior` (frames,) the scales expected."""
    scale = np.ones(frames) if prior is None else prior
    spreads = ScaleSpreads(SCALE_OFF_ALONE if prior is None else SCALE_OFF_PRIOR, SCALE_NEXT)
    model = RockingModel(width, np.radians(0.05), gaussian_shape(), scale, np.zeros((frames, 3)), prior)
    return model._replace(scale_spreads=spreads)


def illuminated(series: FrameSeries) -> Floats | None:
    """Return how much of the crystal gave to each frame, over its median, (frames,); None where it is not known.

    That is the share of the crystal's volume in the summed positions, or, for frames of which that is not known, the
    number of positions, as if all were equally thick. A low-symmetry crystal measures few reflections on more than
    one frame, so that nothing else holds the scales of a crystal that is hidden at some tilts.
    """
    positions = np.array([frame.positions for frame in series.frames], dtype=np.float64)
    if positions.min() <= 0:
        return None
    share = np.array([np.nan if frame.share is None else frame.share for frame in series.frames])
    known = np.isfinite(share)
    if known.any():
        positions = np.where(known, share, positions * np.median(share[known] / positions[known]))
    return positions / np.median(positions)


def fit_rocking(model: RockingModel, observations: RockingObservations, groups: int, *, final: bool) -> RockingFit:
    """Fit the rocking model; ``final`` learns the shape of the curve, too."""
    fit = refine_model(model, observations, groups, cycles=6, orientations=False)
    fit = refine_model(fit.model, observations, groups, cycles=8, orientations=True)
    if not final:
        return fit
    for _ in range(2):
        shaped = fit.model._replace(shape=learned_shape(fit, observations))
        fit = refine_model(shaped, observations, groups, cycles=4, orientations=True)
    return fit


def scale_observations(
    predictions: Predictions,
    fit: RockingFit,
    observations: RockingObservations,
    *,
    rows: Integers,
    geometry: Geometry,
    halves: tuple[Floats, Floats] | None,
    aside: Mask | None = None,
    counts: Floats | None = None,
) -> ScaledObservations:
    """Return one observation per crossing on one scale.

    The intensities are those a reflection shows at the peak of its curve at |q| = 0 on a frame of scale one, before
    any damage where one is modelled.

    Parameters
    ----------
    rows
        (k,) rows of ``predictions`` that ``observations`` (k,) are of.
    halves
        Intensities (k,) of the same pixels in either half of the events.
    aside
        (n,) predictions that were set aside: where the peak of a curve was, its flanks must see more of it.
    counts
        (k,) counts that are expected in each measurement, where they may be few.
    """
    used = predictions.where(rows)
    crossing = crossings(used)
    weight = fit.partial / fit.variance
    number = int(crossing.max()) + 1
    information = np.bincount(crossing, weights=weight * fit.partial, minlength=number)
    height = fit.model.shape.density.max() / fit.model.width

    def combined(values: Floats) -> Floats:
        total = np.bincount(crossing, weights=weight * values, minlength=number)
        return total / np.maximum(information, 1e-30) * height

    influence = weight * fit.partial
    angle = np.bincount(crossing, weights=influence * geometry.angle_deg[used.frame], minlength=number)
    first = np.zeros(number, dtype=np.int64)
    first[crossing] = np.arange(len(crossing))
    peak = fit.model.shape.density.max() / widths(fit.model, observations.length)
    share = fit.partial / seen_scale(fit.model, observations) / peak
    sampled = np.zeros(number)
    np.maximum.at(sampled, crossing, share)
    if aside is not None and aside.any():
        sampled = _without_flanks(sampled, crossing, observations.group, _beside(predictions, rows, aside))
    data = Unmerged(
        hkl=used.hkl[first],
        intensity=combined(observations.intensity),
        sigma=height / np.sqrt(np.maximum(information, 1e-30)) * _with_common_errors(fit, observations)[first],
        angle_deg=angle / np.maximum(information, 1e-30),
        crystal=np.zeros(number, dtype=np.int32),
        counts=None if counts is None else effective_counts(weight, fit.variance, counts, crossing),
    )
    parts = None if halves is None else (combined(halves[0]), combined(halves[1]))
    return ScaledObservations(data, sampled, parts, fit, rows, observations.group)


def effective_counts(weight: Floats, variance: Floats, counts: Floats, member: Integers) -> Floats:
    """Return of what Poisson count (groups,) the kurtosis is that weighted sums of measurements (n,) have.

    The square of a Poisson count's deviation in sigmas varies by 2 + 1 / mean, that of a normal one by 2. Of a sum with
    weights w that adds sum(w^4 mean) / sum(w^2 variance)^2, the inverse of what is returned.

    Parameters
    ----------
    variance, counts
        (n,) of each measurement, and the counts that are expected in it, in the same units.
    """
    size = int(member.max()) + 1
    spread = np.bincount(member, weights=weight**2 * variance, minlength=size)
    fourth = np.bincount(member, weights=weight**4 * counts, minlength=size)
    return np.asarray(spread**2 / np.maximum(fourth, np.finfo(float).tiny))


def _without_flanks(sampled: Floats, crossing: Integers, group: Integers, beside: Mask) -> Floats:
    """Return ``sampled`` (crossings,), zero where too little of a curve is left to tell its peak.

    What saw little of a curve is used if nothing saw more of the reflection; not so if what saw more was set aside.

    Parameters
    ----------
    crossing, group, beside
        (k,) of the measurements; ``beside``: one of the same crossing was set aside.
    """
    cut, short = np.zeros(len(sampled), dtype=bool), np.zeros(len(sampled), dtype=bool)
    np.logical_or.at(cut, crossing, beside)
    hurt = np.zeros(int(group.max(initial=-1)) + 1, dtype=bool)
    hurt[group[beside]] = True
    np.logical_or.at(short, crossing, hurt[group])
    left_out = (cut & (sampled < LEAST_FLANK)) | (short & (sampled < WELL_SAMPLED))
    return np.where(left_out, 0.0, sampled)


def _beside(predictions: Predictions, rows: Integers, aside: Mask) -> Mask:
    """Tell which predictions `rows` (k,) lie within FLANK_FRAMES of one of the same reflection that was set aside.

    Friedel mates count as the same: they cross the sphere together.
    """
    side = np.where((predictions.hkl[:, 0] < 0), -1, 1)[:, None]
    side = np.where((predictions.hkl[:, :1] == 0) & (predictions.hkl[:, 1:2] < 0), -1, side)
    side = np.where((predictions.hkl[:, :2] == 0).all(axis=1, keepdims=True) & (predictions.hkl[:, 2:] < 0), -1, side)
    _, reflection = np.unique(predictions.hkl * side, axis=0, return_inverse=True)
    far = int(predictions.frame.max(initial=0)) + 2 * FLANK_FRAMES + 1
    place = reflection.ravel().astype(np.int64) * far + predictions.frame + FLANK_FRAMES
    near = (place[aside][:, None] + np.arange(-FLANK_FRAMES, FLANK_FRAMES + 1)).ravel()
    return np.asarray(np.isin(place[rows], near))


def _with_common_errors(fit: RockingFit, observations: RockingObservations) -> Floats:
    """Return the factors (n,) by which the errors of the frames' scales and of the curve's widths raise sigmas.

    All that was measured of a reflection and its equivalents may rest on the same few frames: their common error does
    not average out. The factor makes the sigma of the mean right, and that of each observation too large.
    """
    model, group = fit.model, observations.group
    if model.scale_covariance is None or model.width_covariance is None:
        return np.ones(len(group))
    share = fit.partial**2 / fit.variance / np.maximum(fit.information, 1e-30)[group]
    shape = (len(fit.merged), len(model.scale_covariance))
    shares = sparse.coo_array((share, (group, observations.frame)), shape=shape).tocsr()
    relative = shares.multiply(shares @ model.scale_covariance) @ np.ones(shape[1])
    levers = share[:, None] * width_levers(model, observations)
    lever = _by_reflection(fit, levers, group)
    relative += np.einsum("gi,ij,gj->g", lever, model.width_covariance, lever, optimize=True)
    if model.decay is not None:
        decay, frame = model.decay, observations.frame
        lost = decay.exposure[frame] * observations.length**2
        if decay.answer is not None:  # scales rise where a higher rate takes from all of a frame
            lost = lost - decay.answer[frame]
        relative += decay.variance * _by_reflection(fit, (share * lost)[:, None], group)[:, 0] ** 2
    extra = np.maximum(relative, 0.0) * np.maximum(fit.merged, 0.0) ** 2 * fit.information
    return np.sqrt(1.0 + extra)[group]


def _by_reflection(fit: RockingFit, levers: Floats, group: Integers) -> Floats:
    """Return the sums (groups, k) of levers (n, k), less their mean: what all have in common is nobody's error."""
    lever = cluster_sums(levers, group, len(fit.merged))
    common = np.average(lever, axis=0, weights=fit.information * np.maximum(fit.merged, 0.0) ** 2 + 1e-30)
    return np.asarray(lever - common)


def usable(scaled: ScaledObservations, laue: gemmi.SpaceGroup, d_star: Floats) -> tuple[Mask, int]:
    """Tell which observations (n,) carry information; return also how many were too poorly sampled.

    One that saw less than WELL_SAMPLED of the peak is left out if an equivalent saw more, or if its sigma exceeds
    twice the mean intensity at its resolution: it says next to nothing, and merging statistics do not weight.
    """
    data = scaled.data
    member = group_equivalents(data.hkl, laue).member
    good = scaled.sampled >= WELL_SAMPLED
    known = np.zeros(int(member.max()) + 1, dtype=bool)
    known[member[good]] = True
    order = np.argsort(d_star)
    typical = np.zeros(len(d_star))
    for rows in np.array_split(order, max(1, min(SHELLS, len(order) // 50))):
        well = rows[good[rows]]
        reference = data.intensity[well] if len(well) >= 5 else data.intensity[good]
        typical[rows] = max(float(np.mean(reference)), 0.0) if len(reference) else 0.0
    meaningful = np.isfinite(data.sigma) & (scaled.sampled > 1e-3)
    poor = ~good & (known[member] | (data.sigma > 2.0 * typical))
    return meaningful & ~poor, int(np.count_nonzero(~meaningful | poor))


def resolution_limit(data: Unmerged, d_star: Floats, least: float) -> float:
    """Return the resolution in angstrom where the mean I/sigma of shells of equal number falls below ``least``."""
    order = np.argsort(d_star)
    shells = np.array_split(order, max(1, min(SHELLS, len(order) // 30)))
    for rows in reversed(shells):
        if np.mean(data.intensity[rows] / data.sigma[rows]) >= least:
            return float(1.0 / d_star[rows].max())
    return float(1.0 / d_star[shells[0]].max())
