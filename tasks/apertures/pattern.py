"""The sum pattern of one scan: radial background and Bragg spots."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.feature import peak_local_max

from tasks.apertures.spot_field import BESIDE, CLIP_SIGMA, SpotField, beam_radius
from tasks.events.scan_beam import DirectBeam
from tasks.events.virtual_detectors import BACKGROUND, BEAM, IGNORED


class BraggSpots(NamedTuple):
    """Bragg spots of one scan.

    ``px`` (n, 2) slow and fast; ``expected`` (n,) background electrons in each spot's region over the whole scan;
    ``measured``: of the background that the detector would hold outside the beam, the share on valid pixels.
    """

    px: NDArray[np.float64]
    expected: NDArray[np.float64]
    measured: float = 1.0


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
    field = SpotField(total.shape, beam, sigma_px=sigma_px, valid=valid)
    radius, inner, good = field.radius, field.inner, field.good
    score, radial = field.scored(total)
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
    total: NDArray[np.uint32], field: SpotField, *, sigma_px: float, threshold: float, max_spots: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the spots of a sum pattern, (n, 2) px, and how far they exceed the background; as `find_bragg_spots`."""
    score = field.scored(total).score
    px = _maxima(score, sigma_px, threshold, max_spots)
    return px.astype(np.float64), score[tuple(px.T)]


def beside_beam(beam: DirectBeam, spots: BraggSpots) -> NDArray[np.bool_]:
    """Return which spots lie next to the direct beam, (n_spots,)."""
    radius = beam_radius(beam, beam.sigma) if beam.window_px is None else beam.window_px
    return np.asarray(np.hypot(*(spots.px - beam.centre).T) < BESIDE * radius)


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
