"""Intensities from few counts: a Poisson likelihood of all tilts of a reflection, in a rocking curve that is known.

A pixel of a reflection's spot on one tilt counts electrons of mean background + share x G p I: the spot's share of the
pixel, the frame's scale, the rocking curve at the excitation error, the intensity. Every spot is measured by one step
of scoring from the same I (`tasks.integrate.profiles.count_fit`), and the weighted mean of a reflection's spots renews
it: at the fixed point the score of the likelihood is zero, and the mean is the estimate of highest likelihood. So is
that of any part of them, a crossing or one half of the events, as unbiased. Where a reflection has next to no counts
highest likelihood has no finite answer; so what is believed is `believable`, the mean of a posterior whose prior is the
mean intensity at that resolution, and the estimate stays the signed one, below zero by what the background lets expect.
Sigmas are Fisher's at the same I, and so never those of a count that happened to be zero.

Sigmas that follow few counts cannot be right: those of reflections that chanced to be low look sure, or, damped by a
prior, those of absent ones are too large. Where positions are a part of a crystal that was measured as a whole, what
the whole showed (`whole_showed`) is believed instead: it decides weights and sigmas, never the estimate, which is as
unbiased by it as by any other. Only where a reflection holds more than that lets expect are its own counts believed.

What is not refined: the curve's width and shape, and the frames' orientations. Few counts would fit their own noise, as
thousands of counts of the reference have shown these. The frames' scales are, held to what their positions let expect
(`frame_scales`).
"""

from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy.stats import truncnorm

from tasks.integrate.geometry.refinement import Refined
from tasks.integrate.merging.equivalents import group_equivalents
from tasks.integrate.profiles.count_fit import CountFit, CountPixels, fit_counts
from tasks.integrate.profiles.overlaps import neighbours_of
from tasks.integrate.profiles.pixels import Pixels
from tasks.integrate.profiles.spot_profiles import expected_shape
from tasks.integrate.reflection_file import Merged
from tasks.integrate.rocking.errors import believable
from tasks.integrate.rocking.fit import merged_intensities
from tasks.integrate.rocking.frame_scales import FrameScales, moved_scales, scales_of_known
from tasks.integrate.rocking.model import (
    RockingFit,
    RockingModel,
    RockingObservations,
    response,
    seen_scale,
    slope_of,
)
from tasks.integrate.rocking.scaling import LEAST_SEEN, ScaledObservations, observations_of, scale_observations
from tasks.model.arrays import Floats, Integers

CYCLES = 8
"""Of scores and scales in turn. With 2 the mean deviation at half an electron per spot is 0.001 sigma off that with 16,
and with 4 as much (600 reflections of 12 spots as in tests/unit/integrate/rocking/test_sparse.py, seeds 10 to 11); the
others are for the frames' scales."""
PRIOR_COUNTS = 8.0
"""Of the mean intensity at a reflection's resolution, in what is believed of it. Estimates are unbiased by any (by
0.07 sigma at most in any third of the intensities, 0.5 to 20 electrons per spot, seeds 10 to 15 of that test), but
sigmas that follow each estimate make those that chanced to be low look sure. In units of these sigmas, the mean
deviation at 0.5 electrons is -0.20, -0.13, -0.10, -0.08, -0.06 at 0.5, 2, 4, 8, 16; more deadens the sigmas of weak
reflections (their spread 0.79, 0.68, 0.62, 0.58, 0.56; of all 1.02 to 0.91) and costs 1 to 3 % of the precision."""
FEW_ELECTRONS = 10.0
"""Mean of a spot near the sphere, below which counts are asked of what is no part of the reference. Forsterite, 59
tilts, seeds 100 to 105 of `python -m tests.benchmarks.few_electrons`: the correlation of counts and of sums with the
truth is 0.955 and 0.941 at 1.5 electrons, 0.973 and 0.976 at 2.5, 0.985 both at 4, 0.992 both at 9, 0.994 and 0.997 at
14, 0.9965 and 0.998 at 25. Up to 14 sums are off by -0.32 to +0.38 sigma in quarters of the intensities, counts by
-0.07 to +0.18. All that in a geometry refined against these few spots; in that of the reference (`ENOUGH_PER_FRAME` of
`known_geometry`) counts are right at 120 electrons, too."""
MOST_ABOVE = 1.5
"""Of the roots of counts found and expected, of which that of a Poisson count scatters by half (Anscombe, Biometrika
35, 246-254, 1948): three deviations, above which a region is believed to differ from its crystal in a reflection."""
LEAST_INTENSITY = 1e-9
"""Of what is believed at first, so that a mean below zero is none. It decides nothing: the first cycle renews it."""
LEAST_INFORMATION = 1e-12
"""Of a spot without a valid pixel: it weighs nothing, and no weight is divided by zero."""


class SparseData(NamedTuple):
    """Pixels of all predictions (n,), and those used, ``rows`` (k,), as the rocking model sees them.

    ``groups``: how many unique reflections the ``observations`` (k,) are of; their intensities are not looked at.
    ``whole`` (groups,): what the crystal showed as a whole, in units of its own, NaN where it showed nothing; None
    where no more than these pixels is known of it.
    """

    pixels: CountPixels
    rows: Integers
    observations: RockingObservations
    groups: int
    whole: Floats | None = None


class SparseFit(NamedTuple):
    """What the likelihood came to: ``electrons`` (k,) of each spot used, of ``half`` of the events, and the fit.

    ``counts`` (k,): expected in the spot, the background's with them.
    """

    electrons: Floats
    half: Floats | None
    fit: RockingFit
    counts: Floats


class _SparseState(NamedTuple):
    """The model, its p G (k,), the spots' electrons, and those believed of all predictions (n,)."""

    model: RockingModel
    partial: Floats
    counted: CountFit
    believed: Floats


def electrons_per_spot(pixels: Pixels) -> float:
    """Return the mean electrons of a reflection on a tilt at which it is near the sphere, above the background."""
    near = pixels.patches.near & (pixels.measured.seen > LEAST_SEEN)
    return float(pixels.measured.summed[near].mean()) if near.any() else 0.0


def scaled_by_counts(
    pixels: Pixels, refined: Refined, laue: gemmi.SpaceGroup, model: RockingModel, *, whole: Merged | None = None
) -> ScaledObservations:
    """Return one observation per crossing, signed and unbiased, from the counts of its pixels.

    Parameters
    ----------
    model
        Rocking curve of the reference, with scales to start from.
    whole
        Intensities of the crystal that these positions are a part of, in the same axes; None = not known.
    """
    rows = np.flatnonzero(pixels.measured.seen > LEAST_SEEN)
    every, groups = observations_of(pixels.predictions, pixels.measured, refined.geometry, laue)
    shown = None if whole is None else whole_showed(whole, group_equivalents(pixels.predictions.hkl, laue).unique)
    found = fit_sparse(SparseData(_count_pixels(pixels, refined), rows, every.where(rows), groups, shown), model)
    return scale_observations(
        pixels.predictions,
        found.fit,
        every.where(rows)._replace(intensity=found.electrons),
        rows=rows,
        geometry=refined.geometry,
        halves=None if found.half is None else (found.half, found.electrons - found.half),
        counts=None if shown is None else found.counts,  # else they follow what was counted
    )


def whole_showed(whole: Merged, unique: NDArray[np.int32]) -> Floats:
    """Return what is believed of unique reflections (n, 3) by merged intensities; NaN where these have none.

    The mean of the normal distribution of an intensity and its sigma, cut off at zero, as no intensity is below
    (French & Wilson, Acta Cryst. A34, 517-525, 1978, with a flat prior): positive whatever was measured.
    """
    shown = np.asarray(truncnorm.mean(-whole.intensity / whole.sigma, np.inf, loc=whole.intensity, scale=whole.sigma))
    place = {tuple(row): value for row, value in zip(whole.hkl.tolist(), shown.tolist(), strict=True)}
    return np.array([place.get(tuple(row), np.nan) for row in unique.tolist()])


def fit_sparse(data: SparseData, model: RockingModel) -> SparseFit:
    """Fit intensities and frame scales; every reflection is first believed to be as strong as their mean."""
    observations = data.observations
    partial = response(model, observations) * seen_scale(model, observations)
    believed = np.zeros(len(data.pixels.counts))
    believed[data.rows] = partial * max(_mean_intensity(data, partial), LEAST_INTENSITY)
    state = _SparseState(model, partial, fit_counts(data.pixels, believed), believed)
    for _ in range(CYCLES):
        state = _believing(_rescaled(state, data), data)
        state = state._replace(counted=fit_counts(data.pixels, state.believed))
    half = state.counted.half
    return SparseFit(
        state.counted.electrons[data.rows],
        None if half is None else half[data.rows],
        _fitted(state, data),
        _variance(state.counted, data.rows),  # of a count, which is its mean
    )


def _count_pixels(pixels: Pixels, refined: Refined) -> CountPixels:
    patches, predictions = pixels.patches, pixels.predictions
    share = expected_shape(patches, predictions, refined.geometry.beam_px, pixels.profiles)
    pointer, neighbour = neighbours_of(predictions, patches.centre, patches.near, patches.counts.shape[1])
    return CountPixels(
        patches.counts, patches.background, patches.valid, share, patches.centre, pointer, neighbour, patches.half
    )


def _mean_intensity(data: SparseData, partial: Floats) -> float:
    """Return all electrons above the background over what an intensity of one would have made of them."""
    pixels, rows = data.pixels, data.rows
    net = np.where(pixels.valid[rows], pixels.counts[rows] - pixels.background[rows], 0.0).sum()
    return float(net) / max(float(partial.sum()), 1e-30)


def _variance(counted: CountFit, rows: Integers) -> Floats:
    return np.asarray(1.0 / np.maximum(counted.information[rows], LEAST_INFORMATION))


def _rescaled(state: _SparseState, data: SparseData) -> _SparseState:
    """Return the state after a step of the frames' scales."""
    here = data.observations._replace(intensity=state.counted.electrons[data.rows])
    model = state.model
    scales = _scales_of_known(state, data, here) if data.whole is not None else _scales(state, data, here)
    model = model._replace(
        scale=np.exp(scales.log_scale), scale_covariance=scales.covariance, scale_spreads=scales.spreads
    )
    return state._replace(model=model, partial=response(model, here) * seen_scale(model, here))


def _scales(state: _SparseState, data: SparseData, here: RockingObservations) -> FrameScales:
    """Return the scales that make the spots of each reflection agree."""
    variance = _variance(state.counted, data.rows)
    merged, _ = merged_intensities(here, state.partial, variance, data.groups)
    model = state.model
    return moved_scales(
        here,
        log_scale=np.log(model.scale),
        prior=model.prior,
        partial=state.partial,
        expected=state.partial * merged[here.group],
        weight=1.0 / variance,
        groups=data.groups,
        spreads=model.scale_spreads,
    )


def _scales_of_known(state: _SparseState, data: SparseData, here: RockingObservations) -> FrameScales:
    """Return the scales by which the spots are those of the whole crystal."""
    known = np.zeros(len(here.group)) if data.whole is None else np.isfinite(data.whole)[here.group]
    model = state.model
    return scales_of_known(
        here,
        log_scale=np.log(model.scale),
        prior=model.prior,
        expected=state.believed[data.rows],
        weight=np.where(known, 1.0 / _variance(state.counted, data.rows), 0.0),
        spreads=model.scale_spreads,
    )


def _believing(state: _SparseState, data: SparseData) -> _SparseState:
    """Return the state that believes what the spots of each reflection, weighed together, have come to."""
    here = data.observations._replace(intensity=state.counted.electrons[data.rows])
    merged, information = merged_intensities(here, state.partial, _variance(state.counted, data.rows), data.groups)
    likely = believable(merged, state.partial, here, prior_counts=PRIOR_COUNTS)
    if data.whole is not None:
        seen, signal = (
            np.asarray(np.bincount(here.group, weights=column, minlength=data.groups), dtype=np.float64)
            for column in (state.partial, state.believed[data.rows])
        )
        below = np.maximum(seen**2 / np.maximum(information, 1e-30) - signal, 0.0)
        likely = _as_the_whole(data.whole, merged, seen, below, likely)
    believed = np.zeros(len(state.believed))
    believed[data.rows] = state.partial * likely[here.group]
    return state._replace(believed=believed)


def _as_the_whole(whole: Floats, merged: Floats, seen: Floats, below: Floats, likely: Floats) -> Floats:
    """Return what the whole showed, on the scale of these intensities, and `likely` where it did not or they exceed it.

    Parameters
    ----------
    seen
        (groups,) electrons that an intensity of one makes in all spots.
    below
        (groups,) electrons of the background that scatter as they do, by the variance of `merged`.
    """
    known = np.isfinite(whole) & (seen > 0)
    total = float((seen * whole)[known].sum())
    scale = max(float((seen * merged)[known].sum()), 0.0) / max(total, 1e-30)
    expected = scale * np.where(known, whole, 0.0)
    above = np.sqrt(np.maximum(merged * seen + below, 0.0)) - np.sqrt(expected * seen + below)
    return np.where(known & (above < MOST_ABOVE) & (scale > 0), expected, likely)


def _fitted(state: _SparseState, data: SparseData) -> RockingFit:
    """Return the fit with variances that hold the reference's errors of scale and curve beside those of counting.

    Scales that follow from what the whole showed add no variance: where the counts of a frame are high by chance, its
    scale is, too. To first order an intensity's relative variance is that of its counts less s C s, by its shares s of
    the frames and the covariance C of their log scales, where with scales of their own it would be that much more
    (drawn counts, seeds 20 to 27: spreads of 0.97 to 1.06 with less, 0.94 to 1.01 with neither, 0.90 to 1.01 with
    more). It is not taken off: the errors of the whole are not known here.
    """
    model = state.model._replace(width_covariance=np.zeros((2, 2)))
    if data.whole is not None:
        model = model._replace(scale_covariance=None)
    observations = data.observations._replace(intensity=state.counted.electrons[data.rows])
    believed = state.believed[data.rows]
    slope = slope_of(model, observations) * believed / np.maximum(response(model, observations), 1e-30)
    own = _variance(state.counted, data.rows)
    own = own + (model.error_scale * believed) ** 2 + (model.error_excitation * slope) ** 2
    merged, information = merged_intensities(observations, state.partial, own, data.groups)
    expected = state.partial * merged[observations.group]
    return RockingFit(model, state.partial, expected, own, merged, information, slope, own)
