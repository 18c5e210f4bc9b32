"""The frames of a series in memory: electrons, valid pixels, background, spots."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.frames import FrameSeries
from tasks.integrate.parallel import in_threads
from tasks.integrate.spots.background import noise_factor, ring_background
from tasks.integrate.spots.spot_search import (
    SpotFinder,
    Spots,
    direct_beam_radius,
    find_spots,
    lone_pixels,
    radii_px,
    spot_radius,
)
from tasks.model import InputError
from tasks.model.arrays import Floats, Integers, Mask

FRAMES_FOR_SPOT_SIZE = 12
"""Frames, spread over the series, from which the spot radius is learned: ten strong spots on each tell the median to 11
% of their scatter (1.25 / sqrt(120)). Chosen, not measured; each costs a background."""
FRAMES_FOR_NOISE = 10
"""Frames, spread over the series, whose median is the noise factor: 6 % even with the fewest boxes (see LEAST_BOXES).
Each costs a background."""
NOISE_BOX_PX = 5
"""Edge of the boxes whose sums are judged, about as wide as a spot: clusters that are cut at its edges show in part.
Where an electron leaves three counts side by side, 5 px show a variance of 2.5 of 3, 3 px 2.2."""
NOISE_FACTOR_LEAST = 1.15
"""Factors below are errors of the estimate: at the fewest boxes its deviation is 0.06 (see LEAST_BOXES), so this is 2.6
of them above one."""


class Images(NamedTuple):
    """Frames in electrons (n, slow, fast), valid pixels (slow, fast), which frames hold anything (n,), their mean.

    ``valid`` is True where a pixel is valid in any frame; `valid_in` tells of one. ``masks`` (k, slow, fast) and
    ``mask_of_frame`` (n,) are what it is made of.
    ``noise_factor``: counts were divided by this, so that their sums over a spot vary as Poisson's do. ``correction``
    (n, slow, fast): what counts were multiplied by for electrons that the camera lost to others; ``saturated``, of that
    shape, where it is not known; None where nothing is corrected.
    """

    counts: NDArray[np.float32]
    valid: Mask
    used: Mask
    mean: Floats
    hot: int
    masks: Mask
    mask_of_frame: Integers
    noise_factor: float = 1.0
    correction: NDArray[np.float32] | None = None
    saturated: Mask | None = None

    def valid_in(self, frame: int) -> Mask:
        """Return the valid pixels of one frame, (slow, fast)."""
        return np.asarray(self.masks[self.mask_of_frame[frame]])


class SpotSearch(NamedTuple):
    """The spots of all frames, the radius in px within which a spot lies, and that of the direct beam."""

    spots: Spots
    spot_radius_px: float
    beam_radius_px: float


def load_images(series: FrameSeries) -> Images:
    """Read the stack; saturated pixels and hot pixels are invalid, frames without counts are not used.

    Raises
    ------
    InputError
        If the stack does not have the shape that the series states, or no frame holds a count.
    """
    raw = series.images
    expected = (len(series.frames), *series.detector.shape_px)
    if raw.shape != expected:
        raise InputError(f"{series.stack.path}: frames have the shape {raw.shape}, the series says {expected}")
    masks, mask_of_frame = series.masks
    counts = raw.astype(np.float32)
    correction = series.correction
    if correction is not None:
        counts *= correction
    if series.pedestal:
        counts -= np.float32(series.pedestal)
    if series.saturation is not None:
        masks = masks & ~(raw >= series.saturation).any(axis=0)
    if series.gain != 1:
        counts /= np.float32(series.gain)
    used = np.array([float(frame.sum()) > 0 for frame in counts])
    if not used.any():
        raise InputError(f"{series.id}: all {len(used)} frames are empty", "check the aperture and the source files")
    valid: Mask = np.asarray(masks.any(axis=0))
    mean = _mean_image(counts, np.flatnonzero(used), masks, mask_of_frame)
    radius = radii_px(valid.shape, np.array(series.direct_beam_px))
    hot = lone_pixels(mean, int(used.sum()), valid) & (radius > direct_beam_radius(mean, valid, radius))
    found = Images(counts, valid & ~hot, used, mean, int(hot.sum()), masks & ~hot, mask_of_frame)
    return found if correction is None else found._replace(correction=correction, saturated=series.saturated)


def _mean_image(counts: NDArray[np.float32], numbers: Integers, masks: Mask, mask_of_frame: Integers) -> Floats:
    """Return the mean (slow, fast) of some frames, without a copy of them; of each pixel where it is valid."""
    total = np.zeros(counts.shape[1:])
    if len(masks) == 1:
        for number in numbers:
            total += counts[number]
        return total / len(numbers)
    seen = np.zeros(counts.shape[1:])
    for number in numbers:
        valid = masks[mask_of_frame[number]]
        total += counts[number] * valid
        seen += valid
    return total / np.maximum(seen, 1.0)


def with_poisson_noise(images: Images, beam_px: Floats) -> Images:
    """Return the images with counts divided by the factor by which box sums vary more than Poisson's.

    A Timepix or Medipix counts one 200 keV electron in several neighbouring pixels: sums vary as if each electron
    were several counts. Factors below NOISE_FACTOR_LEAST are taken for one.
    """
    radius = radii_px(images.valid.shape, beam_px)
    numbers = np.flatnonzero(images.used)

    def factor_of(number: int) -> float | None:
        image = images.counts[number]
        valid = images.valid_in(number)
        background = ring_background(image, valid, radius)
        return noise_factor(image, valid, background, NOISE_BOX_PX)

    every = in_threads(factor_of, numbers[:: max(1, len(numbers) // FRAMES_FOR_NOISE)].tolist())
    factors = [factor for factor in every if factor is not None]
    typical = float(np.median(factors)) if factors else 1.0
    if typical < NOISE_FACTOR_LEAST:
        return images
    return images._replace(counts=images.counts / np.float32(typical), mean=images.mean / typical, noise_factor=typical)


def search_spots(images: Images, beam_px: Floats, *, threshold: float) -> SpotSearch:
    """Find the spots of all frames; the spot radius is learned from the strong ones.

    Parameters
    ----------
    beam_px
        (2,), where the frames are centred.
    """
    radius = radii_px(images.valid.shape, beam_px)
    numbers = np.flatnonzero(images.used)
    inner = direct_beam_radius(images.mean, images.valid, radius)

    def sizes_in(number: int) -> list[float]:
        image = images.counts[number]
        valid = images.valid_in(number)
        background = ring_background(image, valid, radius)
        return spot_radius(image, valid, background, radius=radius, inner_radius=inner)

    some = numbers[:: max(1, len(numbers) // FRAMES_FOR_SPOT_SIZE)].tolist()
    sizes = [size for each in in_threads(sizes_in, some) for size in each]
    within = float(np.clip(1.6 * np.median(sizes), 1.5, 12.0)) if sizes else 2.0
    finder = SpotFinder(threshold=threshold, radius=within, inner_radius=inner + within)

    def spots_in(number: int) -> Spots:
        image = images.counts[number]
        valid = images.valid_in(number)
        background = ring_background(image, valid, radius)
        spots = find_spots(image, valid, background, radius=radius, finder=finder)
        return spots._replace(frame=np.full(len(spots.frame), number, dtype=np.int64))

    columns = [np.concatenate(column) for column in zip(*in_threads(spots_in, numbers.tolist()), strict=True)]
    return SpotSearch(Spots(*columns), within, inner)
