"""How like a reference every position of a scan diffracts.

The reference's pattern is what its positions hold in the Bragg spots of the scan, above the background. How many
electrons of this pattern a position holds is a matched filter; the pattern comes from one half of the events and is
looked for in the other, and the other way round, so that noise is not found alike with itself.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.apertures import ScanSpots

NOISE = 0.2
"""Standard deviation of the share explained that is borne before positions are pooled: four of them still
tell a crystal from one that shares a fifth of its spots with it. Chosen, not measured."""
POOLED = ((0.0, 0.15), (0.5, 0.4), (0.8, 0.5), (1.2, 0.55), (2.0, 0.6))
"""Smoothing in positions, least first, and the share of the reference's brightness at which the edge lies then: as the
apertures stage has them, because smoothing blurs a sharp edge over the positions outside."""


LEAST_QUALITY = 3.0
"""Bragg electrons over their standard deviation, below which nothing is said of an orientation: by chance once in
740 positions."""


class Likeness(NamedTuple):
    """How like the reference every position is.

    ``image`` (ny, nx), 0 to 1: the share of the position's Bragg electrons that the reference's pattern explains, less
    where these are few; ``explained`` (ny, nx): that share alone; ``pooled``: standard deviation of the smoothing in
    positions; ``noise``: of the share within the reference.
    """

    image: NDArray[np.float32]
    explained: NDArray[np.float32]
    pooled: float
    noise: float


class _Matched(NamedTuple):
    """Images (ny, nx), unsmoothed: own and all Bragg electrons, and variances of ``own``, of both, and of ``all``."""

    own: NDArray[np.float64]
    bragg: NDArray[np.float64]
    own_variance: NDArray[np.float64]
    covariance: NDArray[np.float64]
    variance: NDArray[np.float64]


def bragg_significance(spots: ScanSpots, positions: NDArray[np.bool_]) -> float:
    """Return the Bragg electrons of some positions (ny, nx) over their standard deviation."""
    chosen = positions.ravel()
    held = float(sum(half[chosen].sum() for half in spots.halves))
    net = held - float(spots.amplitude[chosen].sum() * spots.spots.expected.sum())
    return net / max(held, 1.0) ** 0.5


def brightest(spots: ScanSpots) -> NDArray[np.bool_]:
    """Return the good positions (ny, nx) of the 3 x 3 that hold most Bragg electrons."""
    place = np.unravel_index(np.argmax(ndimage.uniform_filter(spots.maps["bragg"] * spots.good, 3)), spots.good.shape)
    around = np.zeros(spots.good.shape, dtype=bool)
    around[place] = True
    return np.asarray(ndimage.binary_dilation(around, np.ones((3, 3), dtype=bool)) & spots.good)


def misorientation(spots: ScanSpots, reference: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return (ny, nx): the part of the Bragg electrons that the reference's pattern does not explain.

    1 also where there are no sure Bragg electrons, or none in the reference. No angle: what one degree does depends on
    the mosaic spread, on thickness and cell. Of simulated UiO-66 with 0.3 degrees of mosaic spread a part that is
    turned by 1.5 degrees has 0.4 to 0.75, by 4 degrees 0.8 to 1.
    """
    if bragg_significance(spots, reference) < LEAST_QUALITY:
        return np.ones(reference.shape, dtype=np.float32)
    seen = spots.maps["quality"] >= LEAST_QUALITY
    return np.where(seen, 1.0 - likeness_to(spots, reference).explained, 1.0).astype(np.float32)


def likeness_to(spots: ScanSpots, reference: NDArray[np.bool_]) -> Likeness:
    """Return how like the positions of a reference (ny, nx) each position diffracts."""
    matched = _matched(spots, reference)
    pooled, share, noise = _least_pooling(matched, reference)
    own, bragg = _pooled(matched.own, pooled), _pooled(matched.bragg, pooled)
    explained = np.clip(own / np.maximum(bragg, 1e-9), 0.0, 1.0) * (own > 0)
    bright = np.clip(own / max(2.0 * share * float(matched.own[reference].mean()), 1e-9), 0.0, 1.0)
    return Likeness((explained * bright).astype(np.float32), explained.astype(np.float32), pooled, noise)


def _least_pooling(matched: _Matched, reference: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Return the least smoothing that makes the share sure within the reference, its edge, and the noise left."""
    noise = np.inf
    for pooled, share in POOLED:  # noqa: B007 - the last is what is returned
        bragg = _pooled(matched.bragg, pooled)
        terms = zip((matched.own_variance, matched.covariance, matched.variance), (1.0, -2.0, 1.0), strict=True)
        variance = np.sum([factor * _pooled(image, pooled, squared=True) for image, factor in terms], axis=0)
        deviation = np.sqrt(np.maximum(variance, 0.0)) / np.maximum(bragg, 1.0)
        noise = float(np.median(deviation[reference]))
        if noise <= NOISE:
            break
    return pooled, share, noise


def _pooled(image: NDArray[np.float64], sigma: float, *, squared: bool = False) -> NDArray[np.float64]:
    """Return the mean with Gaussian weights; `squared`, the variance of such a mean from single variances."""
    if sigma == 0.0:
        return image
    reach = np.arange(-int(4 * sigma + 0.5), int(4 * sigma + 0.5) + 1)
    kernel = np.exp(-0.5 * (reach / sigma) ** 2)
    kernel /= kernel.sum()
    if squared:
        kernel = kernel**2
    for axis in (0, 1):
        image = ndimage.correlate1d(image, kernel, axis=axis, mode="nearest")
    return image


def _matched(spots: ScanSpots, reference: NDArray[np.bool_]) -> _Matched:
    """Return the electrons of the reference's pattern in each position, found in the half that did not make it."""
    shape, chosen = reference.shape, reference.ravel()
    background = spots.amplitude / 2
    expected = spots.spots.expected
    here = float(background[chosen].sum()) * expected
    patterns = [np.asarray(half[chosen].sum(axis=0)).ravel() - here for half in spots.halves]
    own, own_variance, covariance = np.zeros((3, chosen.size))
    for half, pattern, other in zip(spots.halves, patterns, reversed(patterns), strict=True):
        noise = np.sqrt(np.maximum(here + np.maximum(other, 0.0), 1.0))
        filtered = np.maximum(other - noise, 0.0) / noise**2
        scale = pattern.sum() / max(float(filtered @ pattern), 1e-12)
        weights = filtered * scale
        own += half @ weights - background * float(weights @ expected)
        own_variance += half @ weights**2
        covariance += half @ weights
    counts = spots.counts
    held = np.asarray(counts.sum(axis=1)).ravel()
    bragg = held - spots.amplitude * expected.sum()
    return _Matched(
        own.reshape(shape),
        bragg.reshape(shape),
        own_variance.reshape(shape),
        covariance.reshape(shape),
        held.astype(np.float64).reshape(shape),
    )
