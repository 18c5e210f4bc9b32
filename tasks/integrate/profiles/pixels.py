"""Predicted reflections measured on the frames, and measured again when the geometry has moved a little."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.events.beam_disc import BeamDisc
from tasks.frames import FrameSeries
from tasks.integrate.geometry.mapping import (
    Geometry,
    corner_d_min,
    crystal_q,
    detector_px,
    excitation_error,
    orientations,
)
from tasks.integrate.geometry.prediction import Predictions, all_hkl, predict, travel_of
from tasks.integrate.geometry.refinement import Refined
from tasks.integrate.profiles.disc_background import BetweenDiscs
from tasks.integrate.profiles.disc_profiles import DiscOverlaps, disc_profiles, overlaps_of, reach_of, separated_discs
from tasks.integrate.profiles.overlaps import separated
from tasks.integrate.profiles.patches import Patches, cut_patches
from tasks.integrate.profiles.profile_fit import Measured, fit_patches
from tasks.integrate.profiles.spot_profiles import STRONG_COUNTS, Profiles, expected_shape, learn_profiles
from tasks.integrate.spots.images import Images, SpotSearch
from tasks.integrate.spots.spot_search import radii_px
from tasks.model.arrays import Floats, Mask

MOST_SATURATED = 0.05
"""Share of a spot in pixels too full to be corrected, from which it is set aside: what stands in for it may be wrong by
half, and so by 2.5 % of the spot."""
MOST_PATCH_PX = 15
"""On either side, px. Chosen, not measured: 961 pixels a prediction, 4 MB a thousand in single precision; spots of a
radius of 10 px still fit."""
REACH_FACTOR = 1.5
"""Of the spots' radius, which is 2.26 sigma (`learn_profiles`): beyond 3.4 sigma lies 0.3 % of a normal spot. With 1
the correlations of the high-dose series of tests/unit/integrate/test_sigmas.py change by 0.0001, with 2 less."""
REACH_EXCITATION = 3.5
"""Of the rms excitation error of the spots: 0.05 % of a normal curve lies beyond. 2.5 and 5 move the mean variance of
that series by 0.004."""
REACH_ANGLE_RAD = np.radians(0.15)
"""Added in quadrature, times |q|, for mosaic spread and tilts that are off. Chosen, not measured: half of it moves the
mean variance of that series by 0.001; too small cuts curves at high resolution, too large costs time."""


class Pixels(NamedTuple):
    """Predictions with their pixels, the spot profiles and the intensities; ``half``: of half the events (n,).

    ``loss``: what the camera lost of each prediction; None where every electron is counted. ``disc`` and ``overlaps``
    are None where spots are points.
    """

    predictions: Predictions
    patches: Patches
    profiles: Profiles
    measured: Measured
    half: Floats | None
    loss: "SpotLoss | None" = None
    disc: BeamDisc | None = None
    overlaps: DiscOverlaps | None = None

    def where(self, rows: Mask) -> "Pixels":
        """Return some of the predictions, spots being points."""

        def chosen(table: Any) -> Any:
            return type(table)(*(None if column is None else column[rows] for column in table))

        return Pixels(
            chosen(self.predictions),
            chosen(self.patches),
            self.profiles,
            chosen(self.measured),
            None if self.half is None else self.half[rows],
            None if self.loss is None else chosen(self.loss),
        )


class SpotLoss(NamedTuple):
    """What the camera lost of each prediction (n,).

    ``factor``: electrons that arrived for each counted; ``aside``: too full for that to be known; ``fill``: electrons
    within reach in one camera frame for each electron of the spot; ``spread``: variance of the crystal's brightness.
    """

    factor: Floats
    aside: Mask
    fill: Floats
    spread: Floats


def resolution_of_spots(geometry: Geometry, search: SpotSearch, shape: tuple[int, int]) -> float:
    """Return a resolution in angstrom a little beyond the outermost spots, within the detector's corner."""
    length = np.linalg.norm(crystal_q(search.spots.px, search.spots.frame, geometry), axis=1)
    return max(1.0 / (1.15 * float(np.quantile(length, 0.995))), corner_d_min(geometry, shape))


def measure_pixels(
    series: FrameSeries, images: Images, search: SpotSearch, refined: Refined, *, d_min: float, d_max: float
) -> Pixels:
    """Predict, cut out the pixels, learn the profiles and fit them."""
    predictions = predicted_spots(series, images, search, refined, d_min=d_min, d_max=d_max)
    return pixels_of(series, images, search, refined, predictions)


def predicted_spots(
    series: FrameSeries, images: Images, search: SpotSearch, refined: Refined, *, d_min: float, d_max: float
) -> Predictions:
    """Return every reflection between two resolutions near enough to the sphere to matter."""
    geometry = refined.geometry
    inner = 1.0 / max(1e-6, search.beam_radius_px / (geometry.distance_px * geometry.wavelength))
    return predict(
        geometry,
        refined.crystal,
        all_hkl(refined.crystal.basis, d_min, min(d_max, inner)),
        width_deg=widths_of(series),
        used=images.used,
        shape=series.detector.shape_px,
        reach=(REACH_EXCITATION * refined.rms_excitation, _reach_angle(series.disc, geometry)),
    )


def pixels_of(
    series: FrameSeries,
    images: Images,
    search: SpotSearch,
    refined: Refined,
    predictions: Predictions,
    *,
    profiles: Profiles | None = None,
) -> Pixels:
    """Cut out the pixels of predictions, learn the profiles (if none are given) and fit them."""
    geometry = refined.geometry
    if series.disc is not None:
        return _disc_pixels(series, images, search, refined, predictions)
    reach = int(min(np.ceil(REACH_FACTOR * search.spot_radius_px), MOST_PATCH_PX))
    near = _near_the_sphere(predictions, refined)
    patches = cut_patches(
        images,
        predictions,
        geometry.beam_px,
        reach=reach,
        masked=near,
        half=series.half,
        offset=(series.pedestal, series.gain * images.noise_factor),
    )
    if profiles is not None:
        return measured_pixels(predictions, patches, profiles, geometry, series)
    total = np.where(patches.valid, patches.counts - patches.background, 0.0).sum(axis=(1, 2))
    strong = (total > STRONG_COUNTS) & (total > np.quantile(total, 0.8))
    profiles = learn_profiles(patches, predictions, geometry.beam_px, spot_radius=search.spot_radius_px, strong=strong)
    return measured_pixels(predictions, patches, profiles, geometry, series)


def _near_the_sphere(predictions: Predictions, refined: Refined) -> Mask:
    return np.abs(predictions.excitation) < 2.0 * refined.rms_excitation + np.abs(predictions.travel) / 2


def _reach_angle(disc: BeamDisc | None, geometry: Geometry) -> float:
    """Return the angle by which curves are wider at larger |q|; a cone deviates by half its semi-angle."""
    if disc is None:
        return REACH_ANGLE_RAD
    return float(np.hypot(REACH_ANGLE_RAD, REACH_EXCITATION * disc.radius_px / geometry.distance_px / 2.0))


def _disc_pixels(
    series: FrameSeries, images: Images, search: SpotSearch, refined: Refined, predictions: Predictions
) -> Pixels:
    """Cut out the pixels of discs and fit them; the background is counted between the discs."""
    disc = series.disc
    if disc is None:
        raise ValueError("the series has no disc")
    centre = np.median(refined.geometry.beam_px, axis=0)
    outside = radii_px(images.valid.shape, centre) >= search.beam_radius_px
    images = images._replace(valid=images.valid & outside, masks=images.masks & outside)
    patches = cut_patches(
        images,
        predictions,
        refined.geometry.beam_px,
        reach=reach_of(disc),
        masked=_near_the_sphere(predictions, refined),
        half=series.half,
        offset=(series.pedestal, series.gain * images.noise_factor),
        between_spots=BetweenDiscs(images, search.spots, disc),
    )
    return measured_pixels(predictions, patches, disc_profiles(disc), refined.geometry, series)


def measured_pixels(
    predictions: Predictions, patches: Patches, profiles: Profiles, geometry: Geometry, series: FrameSeries
) -> Pixels:
    """Fit the profiles where the predictions now are, those that share pixels together."""
    expected = expected_shape(patches, predictions, geometry.beam_px, profiles)
    if series.disc is None:
        found = _measured_points(predictions, patches, profiles, expected)
    else:
        found = _measured_discs(predictions, patches, profiles, expected, series.disc)
    loss = _spot_loss(patches, predictions, expected, series)
    if loss is None:
        return found
    aside = found.measured._replace(seen=np.where(loss.aside, 0.0, found.measured.seen))
    return found._replace(measured=aside, loss=loss)


def _measured_points(predictions: Predictions, patches: Patches, profiles: Profiles, expected: Floats) -> Pixels:
    def fitted(counts: NDArray[np.float32], background: NDArray[np.float32]) -> Measured:
        return separated(
            fit_patches(counts, background, patches.valid, expected),
            counts,
            background,
            valid=patches.valid,
            expected=expected,
            centre=patches.centre,
            predictions=predictions,
            near=patches.near,
        )

    measured = fitted(patches.counts, patches.background)
    half = None
    if patches.half is not None:
        half = fitted(patches.half, np.float32(0.5) * patches.background).intensity
    return Pixels(predictions, patches, profiles, measured, half)


def _spot_loss(patches: Patches, predictions: Predictions, expected: Floats, series: FrameSeries) -> SpotLoss | None:
    """Return what the camera lost of each prediction, `expected` (n, m, m) being the shares of its pixels."""
    if patches.correction is None or patches.saturated is None or series.counting is None:
        return None
    exposures = np.array([frame.exposures or 1.0 for frame in series.frames])[predictions.frame]
    spread = np.array([frame.brightness_variance for frame in series.frames])[predictions.frame]
    reach = series.counting.reach_px
    side = 2 * reach + 1
    around = ndimage.uniform_filter(expected, (0, side, side), mode="constant") * side**2
    above = np.where(patches.valid, np.maximum(patches.counts, 0.0), 0.0) * expected
    return SpotLoss(
        factor=above.sum(axis=(1, 2)) / np.maximum((above / patches.correction).sum(axis=(1, 2)), 1e-9),
        aside=(expected * patches.saturated).sum(axis=(1, 2)) > MOST_SATURATED,
        fill=(expected * around).sum(axis=(1, 2)) / exposures,
        spread=spread,
    )


def _measured_discs(
    predictions: Predictions, patches: Patches, profiles: Profiles, expected: Floats, disc: BeamDisc
) -> Pixels:
    def fitted(counts: NDArray[np.float32], background: NDArray[np.float32]) -> Measured:
        return separated_discs(
            fit_patches(counts, background, patches.valid, expected),
            counts,
            background,
            patches=patches,
            expected=expected,
            predictions=predictions,
        )

    overlaps = overlaps_of(predictions, patches, expected)
    measured = fitted(patches.counts, patches.background)
    measured = measured._replace(seen=np.where(overlaps.aside, 0.0, measured.seen))
    half = None
    if patches.half is not None:
        half = fitted(patches.half, np.float32(0.5) * patches.background).intensity
    return Pixels(predictions, patches, profiles, measured, half, disc=disc, overlaps=overlaps)


def repredicted(pixels: Pixels, basis: Floats, refined: Refined, series: FrameSeries) -> Pixels:
    """Return the same predictions in the conventional cell and the geometry refined in it, measured again.

    Parameters
    ----------
    basis
        (3, 3): hkl_conventional = hkl @ basis.
    """
    old, geometry = pixels.predictions, refined.geometry
    hkl = np.rint(old.hkl @ basis).astype(np.int32)
    q = np.einsum("nij,nj->ni", orientations(geometry, refined.crystal)[old.frame], hkl.astype(np.float64))
    predictions = Predictions(
        hkl=hkl,
        frame=old.frame,
        px=detector_px(q, geometry.beam_px[old.frame], geometry),
        q=q,
        excitation=excitation_error(q, geometry.wavelength),
        travel=travel_of(q, geometry.axis, widths_of(series)[old.frame], geometry.wavelength),
    )
    return measured_pixels(predictions, pixels.patches, pixels.profiles, geometry, series)


def widths_of(series: FrameSeries) -> Floats:
    """Return the rotation during each exposure (frames,), degrees."""
    return np.array([frame.width_deg for frame in series.frames])
