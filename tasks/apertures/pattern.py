"""The sum pattern of one scan: radial background and Bragg spots."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.feature import peak_local_max

from tasks.events.inversion import distances
from tasks.events.scan_beam import DirectBeam
from tasks.events.virtual_detectors import BACKGROUND, BEAM, IGNORED

CLIP_SIGMA = 3.0
"""A normal deviate passes once in 740 times, and the mean of what is left is 0.4 % of a deviation too low. With 2
`python -m tests.benchmarks.apertures weak --seeds 1` finds no crystal, with 4 four of five, precise to 0.92 (0.98)."""


LEAST_WEIGHT = 0.5
"""Of the filter that must lie on valid pixels: at a straight edge of a dead sector half of it does. Chosen, not
measured: less, and the maximum of a spot is made up."""


class BraggSpots(NamedTuple):
    """Bragg spots of one scan.

    ``px`` (n, 2) slow and fast; ``expected`` (n,) background electrons in each spot's region over the whole scan;
    ``measured``: of the background that the detector would hold outside the beam, the share on valid pixels.
    """

    px: NDArray[np.float64]
    expected: NDArray[np.float64]
    measured: float = 1.0


class _Scored(NamedTuple):
    """Of every pixel (slow, fast): standard deviations over the background, that, its radius, and whether it counts.

    Pixels within ``inner`` px are those of the direct beam.
    """

    score: NDArray[np.float64]
    radial: NDArray[np.float64]
    radius: NDArray[np.float64]
    good: NDArray[np.bool_]
    inner: float


def find_bragg_spots(
    total: NDArray[np.uint32],
    beam: DirectBeam,
    *,
    sigma_px: float,
    threshold: float,
    max_spots: int,
    valid: NDArray[np.bool_] | None = None,
    more: NDArray[np.float64] | None = None,
) -> tuple[BraggSpots, NDArray[np.int32]]:
    """Find Bragg spots: maxima that exceed a Poisson expectation from the radial background.

    Parameters
    ----------
    total
        Sum pattern of the whole scan.
    sigma_px
        Standard deviation of a spot; matched Gaussian filter, regions of 2.2 sigma radius, nearest spot wins.
    threshold
        In standard deviations of the filtered background.
    valid
        (slow, fast), pixels that were measured; None = all. Others belong to no region.
    more
        (n, 2) px of spots that parts of the scan have shown, strongest first: those are taken that are not near
        another one.

    Returns
    -------
    The spots, and the region of every pixel (slow, fast): spot number + 1, or BACKGROUND, BEAM, IGNORED.
    """
    score, radial, radius, good, inner = _scored(total, beam, sigma_px, valid)
    px = _maxima(score, sigma_px, threshold, max_spots)
    if more is not None:
        px = np.rint(apart(np.concatenate([px, more]), sigma_px)[:max_spots]).astype(np.int64)
    labels = regions(total.shape, px, reach=2.2 * sigma_px)
    away = ndimage.gaussian_filter((labels == IGNORED).astype(np.float64), 0.8 * sigma_px) > 0.98
    labels[(labels == IGNORED) & away & (score < CLIP_SIGMA) & (radius >= inner)] = BACKGROUND
    labels[radius < inner] = BEAM if beam.seen else IGNORED
    labels[~good] = IGNORED
    outside = np.where(radius >= inner, radial, 0.0)
    measured = 1.0 if good.all() else float(outside[good].sum() / max(outside.sum(), 1e-12))
    expected = np.bincount(np.maximum(labels, 0).ravel(), weights=radial.ravel(), minlength=len(px) + 1)[1:]
    return BraggSpots(px.astype(np.float64), expected.astype(np.float64), measured), labels


def brightest_spots(
    total: NDArray[np.uint32],
    beam: DirectBeam,
    *,
    sigma_px: float,
    threshold: float,
    max_spots: int,
    valid: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the spots of a sum pattern, (n, 2) px, and how far they exceed the background; as `find_bragg_spots`."""
    score = _scored(total, beam, sigma_px, valid).score
    px = _maxima(score, sigma_px, threshold, max_spots)
    return px.astype(np.float64), score[tuple(px.T)]


def apart(px: NDArray[np.float64], sigma_px: float) -> NDArray[np.float64]:
    """Return the spots (n, 2) px that do not lie nearer to one before them than two maxima may."""
    near = cKDTree(px).query_pairs(_distance(sigma_px), output_type="ndarray")
    kept = np.ones(len(px), dtype=bool)
    for first, second in near[np.lexsort(near.T[::-1])]:
        if kept[first]:
            kept[second] = False
    return px[kept]


def _distance(sigma_px: float) -> int:
    return max(2, round(1.5 * sigma_px))


def _maxima(score: NDArray[np.float64], sigma_px: float, threshold: float, most: int) -> NDArray[np.int64]:
    return np.asarray(
        peak_local_max(
            score, min_distance=_distance(sigma_px), threshold_abs=threshold, num_peaks=most, exclude_border=False
        )
    )


def _scored(total: NDArray[np.uint32], beam: DirectBeam, sigma_px: float, valid: NDArray[np.bool_] | None) -> _Scored:
    radius = distances(total.shape, beam.centre)
    inner = (5.0 if beam.seen else 2.0) * max(beam.sigma, sigma_px) + 2.0
    good = np.ones(total.shape, dtype=bool) if valid is None else valid
    image = np.where(good, total, 0).astype(np.float64)
    smooth = ndimage.gaussian_filter(image, sigma_px)
    if not good.all():
        weight = ndimage.gaussian_filter(good.astype(np.float64), sigma_px)
        smooth /= np.maximum(weight, LEAST_WEIGHT)
        good = good & (weight > LEAST_WEIGHT)
    area = 4.0 * np.pi * sigma_px**2
    radial, _ = radial_background(image, smooth, radius, area=area, valid=good)
    score = 2.0 * (np.sqrt(smooth * area + 0.375) - np.sqrt(radial * area + 0.375))  # Anscombe: unit variance
    score[(radius < inner) | ~good] = 0.0
    return _Scored(score, radial, radius, good, inner)


def radial_background(
    image: NDArray[np.float64],
    smooth: NDArray[np.float64],
    radius: NDArray[np.float64],
    *,
    area: float,
    valid: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the background as a function of the radius, per pixel, and the pixels that made it.

    Iterated mean over rings of 2 px, without pixels whose smoothed value exceeds it by 3 standard deviations
    (the smoothing averages `area` pixels); starts from the ring medians. Only `valid` pixels (slow, fast) count; a ring
    without any takes the level of those beside it.
    """
    ring = (radius / 2.0).astype(np.int64)
    n = int(ring.max()) + 1
    level = _ring_medians(smooth[valid], ring[valid], n)
    used = valid
    for _ in range(4):
        limit = level + CLIP_SIGMA * np.sqrt(np.maximum(level, 0.25 / area) / area)
        used = valid & (smooth <= limit[ring])
        number = np.bincount(ring[used], minlength=n)
        mean = np.bincount(ring[used], weights=image[used], minlength=n) / np.maximum(number, 1)
        level = np.where(number > 0, mean, level)
    centres = 2.0 * np.arange(n) + 1.0
    known = np.bincount(ring[valid], minlength=n) > 0
    if not known.any():
        return np.zeros(image.shape), used
    return np.interp(radius, centres[known], level[known]), used


def _ring_medians(image: NDArray[np.float64], ring: NDArray[np.int64], n: int) -> NDArray[np.float64]:
    order = np.argsort(ring.ravel().astype(np.uint16), kind="stable")
    edges = np.cumsum(np.bincount(ring.ravel(), minlength=n))[:-1]
    parts = np.split(image.ravel()[order], edges)
    return np.array([np.median(part) if part.size else 0.0 for part in parts])


def regions(shape: tuple[int, ...], px: NDArray[np.integer | np.floating], *, reach: float) -> NDArray[np.int32]:
    """Return the region (slow, fast) of every pixel within reach of its nearest spot: its number + 1, else IGNORED."""
    labels = np.zeros(shape, dtype=np.int32)
    if not len(px):
        return labels
    seeds = np.zeros(shape, dtype=np.int32)
    row, column = np.clip(np.rint(px).astype(np.int64), 0, np.array(shape) - 1).T
    seeds[row, column] = np.arange(1, len(px) + 1)
    distance, nearest = ndimage.distance_transform_edt(seeds == 0, return_indices=True)
    within = distance <= reach
    labels[within] = seeds[tuple(nearest[:, within])]
    return labels
