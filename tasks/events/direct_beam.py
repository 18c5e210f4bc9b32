"""Where the direct beam hits the detector, frame by frame.

Two independent measurements: the brightest compact peak, and the centre of inversion of the pattern (Friedel's law),
which is there when the beam itself is blocked. A peak is believed at once when no other peak of the pattern is
nearly as strong; otherwise it must lie at the centre of inversion, where no Bragg spot lies.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.events.bad_pixels import HOT_RATIO
from tasks.events.beam_disc import BeamDisc
from tasks.events.disc_centre import disc_centre, disc_contrast
from tasks.events.inversion import distances, highest, self_convolution
from tasks.model.experiment import PixelPosition

OBVIOUS = 10.0
"""A peak this many times stronger than any other of its pattern is the direct beam."""
DOMINANCE = 3.0
"""One this many times stronger is, unless the pattern has its centre of inversion elsewhere."""
AGREEMENT_PX = 3.0
"""Between the peak and the centre of inversion: less than the distance of any reflection; chosen, not measured."""
SYMMETRY_RIVAL = 1.7
"""A centre of inversion is at least this many times better than any other point."""
PAIRED_LEAST = 8
"""Spots that have an image: a few pair up by chance about any point; chosen, not measured."""
SPOT_PX = 13
"""Width of the widest thing that is taken for a spot and not for background."""
PEAK_SIGMA = 6.0
"""Standard deviations above the surroundings: by chance once in 10^9 pixels."""
PEAK_PX = 5
"""Width of the box in which a peak is looked for."""
RADIUS_MAX_PX = 24.0
"""Of a beam: a larger plateau is something else; chosen, not measured."""


class BeamFit(NamedTuple):
    """A direct beam: centre (slow, fast), the radius that holds most of it, and which measurement gave it."""

    centre: PixelPosition
    radius_px: float
    by: Literal["peak", "symmetry"]


def find_beam(
    image: NDArray[np.floating | np.integer],
    *,
    start: PixelPosition | None,
    reach_px: float,
    mask: NDArray[np.bool_] | None = None,
    disc: BeamDisc | None = None,
) -> BeamFit | None:
    """Return the direct beam of one pattern, or None if neither measurement is significant.

    Parameters
    ----------
    image
        (slow, fast), any linear scale with about 0 for no electrons; a saturated beam is a plateau, which is fine.
    start, reach_px
        The beam lies within `reach_px` of `start`; anywhere if it is None.
    mask
        (slow, fast), True where a pixel is valid.
    disc
        That of the series; None = spots are points.
    """
    valid = np.ones(image.shape, dtype=bool) if mask is None else mask
    pattern = _without_hot_pixels(np.where(valid, image, 0.0).astype(np.float64))
    near = np.ones(image.shape, dtype=bool) if start is None else distances(image.shape, start) <= reach_px
    if disc is None:
        peak, dominance = _brightest(pattern, near & valid)
    else:
        peak, dominance = _brightest_disc(pattern, near & valid, valid, disc)
    if peak is not None and dominance >= OBVIOUS:
        return peak
    widest = SPOT_PX if disc is None else max(SPOT_PX, 2 * int(np.ceil(disc.reach_px)) + 3)
    twin = _centre_of_spots(pattern, valid, near, widest)
    if twin is None:
        return peak if dominance >= DOMINANCE else None
    agree = peak is not None and np.hypot(*np.subtract(peak.centre, twin)) <= AGREEMENT_PX
    return peak if agree else BeamFit(twin, 2.0, "symmetry")


def _without_hot_pixels(pattern: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lower the brightest pixels to the highest of their eight neighbours where they exceed it 6 times.

    Only the 100 brightest can be taken for a beam. A beam as sharp as one pixel stays a peak at its place.
    """
    count = min(100, pattern.size)
    rows, columns = np.unravel_index(np.argpartition(pattern, -count, axis=None)[-count:], pattern.shape)
    padded = np.pad(pattern, 1)
    around = [padded[rows + 1 + i, columns + 1 + j] for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
    beside = np.max(around, axis=0)
    hot = pattern[rows, columns] > HOT_RATIO * beside
    pattern[rows[hot], columns[hot]] = beside[hot]
    return pattern


def _brightest(pattern: NDArray[np.float64], allowed: NDArray[np.bool_]) -> tuple[BeamFit | None, float]:
    """Return the strongest compact peak in the allowed region, and how much it exceeds all others of the pattern."""
    smooth = ndimage.uniform_filter(pattern, PEAK_PX)
    contrast = smooth - ndimage.uniform_filter(pattern, 4 * PEAK_PX + 1)
    if not allowed.any() or not contrast[allowed].max() > 0:
        return None, 0.0
    top = highest(contrast, allowed)
    fit = centroid(pattern, (float(top[0]), float(top[1])))
    if fit is None:
        return None, 0.0
    outside = distances(pattern.shape, fit.centre) > 2.0 * fit.radius_px + 2 * PEAK_PX
    other = float(contrast[outside].max()) if outside.any() else 0.0
    noise = np.sqrt(max(float(smooth[top]), 1e-12)) / PEAK_PX
    if contrast[top] < PEAK_SIGMA * noise:
        return None, 0.0
    return fit, float(contrast[top]) / max(other, float(noise))


def _brightest_disc(
    pattern: NDArray[np.float64], allowed: NDArray[np.bool_], valid: NDArray[np.bool_], disc: BeamDisc
) -> tuple[BeamFit | None, float]:
    """Return the strongest disc in the allowed region, and how much it exceeds all others of the pattern."""
    contrast = disc_contrast(pattern, disc)
    if not allowed.any() or not contrast[allowed].max() > 0:
        return None, 0.0
    top = highest(contrast, allowed)
    area = np.pi * disc.radius_px**2
    noise = np.sqrt(max(float(contrast[top]), 1.0) / area)
    if contrast[top] < PEAK_SIGMA * noise:
        return None, 0.0
    centre = disc_centre(pattern, (float(top[0]), float(top[1])), disc, valid=valid)
    outside = distances(pattern.shape, centre) > 2.0 * disc.reach_px
    other = float(contrast[outside].max()) if outside.any() else 0.0
    return BeamFit(centre, disc.radius_px, "peak"), float(contrast[top]) / max(other, float(noise))


def centroid(pattern: NDArray[np.float64], start: PixelPosition) -> BeamFit | None:
    """Return the centre of mass of the peak at `start` above its surroundings, within the radius of half its height.

    The window follows the peak until it stands still. The half-height cut keeps neighbouring Bragg spots and the
    slope of a halo out; a plateau counts by its area.
    """
    height, width = pattern.shape
    centre = start
    radius = 3.0
    for _ in range(10):
        reach = int(np.ceil(2 * RADIUS_MAX_PX))
        row, column = round(centre[0]), round(centre[1])
        if not (0 <= row < height and 0 <= column < width):
            return None
        top, left = max(0, row - reach), max(0, column - reach)
        box = pattern[top : row + reach + 1, left : column + reach + 1]
        slow, fast = np.indices(box.shape)
        distance = np.hypot(slow + top - centre[0], fast + left - centre[1])
        ring = box[(distance > 2 * radius + 2) & (distance <= 3 * radius + 6)]
        level = float(np.median(ring)) if ring.size else 0.0
        smooth = ndimage.gaussian_filter(box, 0.7)
        core = distance <= 2.0 * radius
        half = level + 0.5 * (float(np.percentile(smooth[core], 98)) - level)
        labels, _ = ndimage.label(smooth > half)
        nearest = labels[min(row - top, box.shape[0] - 1), min(column - left, box.shape[1] - 1)]
        inside = (labels == nearest) if nearest else (smooth > half) & core
        inside &= distance <= RADIUS_MAX_PX
        area = int(inside.sum())
        if area == 0:
            return None
        weight = np.where(inside, smooth - half, 0.0)  # 0 at the rim: whole pixels do not step in and out
        total = float(weight.sum())
        if not total > 0:
            return None
        moved = (float((weight * slow).sum()) / total + top, float((weight * fast).sum()) / total + left)
        grown = float(np.clip(np.sqrt(area / np.pi) * 1.3, 2.0, RADIUS_MAX_PX))
        still = np.hypot(moved[0] - centre[0], moved[1] - centre[1]) < 1e-3 and abs(grown - radius) < 1e-3
        centre, radius = moved, grown
        if still:
            break
    return BeamFit(centre, radius, "peak")


def _centre_of_spots(
    pattern: NDArray[np.float64], valid: NDArray[np.bool_], near: NDArray[np.bool_], widest_px: int
) -> PixelPosition | None:
    """Return the c for which spots lie at c + r and c - r (Friedel's law), to about a quarter of a pixel.

    The pattern is reduced to its spots, all made equally strong, so that one strong spot, which is always symmetric
    to itself, counts no more than any other; its self-convolution has its maximum at 2 c.
    """
    root = ndimage.gaussian_filter(np.sqrt(np.maximum(pattern, 0.0)), 1.2)
    # White top-hat: what is brighter than its surroundings and narrower than a spot, 13 px for points. Unlike a
    # difference of Gaussians it makes no bright rim around a beam stop, which would be symmetric about the stop.
    detail = ndimage.white_tophat(root, size=(widest_px, widest_px))
    middle = float(np.median(detail[valid]))
    spread = 1.4826 * float(np.median(np.abs(detail[valid] - middle))) + 1e-12
    spots = np.clip((detail - middle) / spread - 3.0, 0.0, 3.0)
    spots[ndimage.binary_dilation(~valid, iterations=4)] = 0.0
    twice = ndimage.gaussian_filter(self_convolution(spots), 1.0)
    rows, columns = np.indices(twice.shape)
    inside = near[rows // 2, columns // 2]
    top = highest(twice, inside)
    far = inside & (np.hypot(rows - top[0], columns - top[1]) > 12)
    if not twice[top] > 0 or not far.any():
        return None
    if twice[top] < SYMMETRY_RIVAL * twice[far].max() or _paired(spots > 0, top) < PAIRED_LEAST:
        return None
    slow, fast = _parabola_top(twice, *top)
    return slow / 2, fast / 2


def _paired(spots: NDArray[np.bool_], twice: tuple[int, int]) -> int:
    """Return how many spots have an image among the spots by inversion about half of `twice`."""
    labels, _ = ndimage.label(spots)
    rows, columns = np.nonzero(spots)
    mirror = twice[0] - rows, twice[1] - columns
    on = (mirror[0] >= 0) & (mirror[0] < spots.shape[0]) & (mirror[1] >= 0) & (mirror[1] < spots.shape[1])
    images = labels[mirror[0][on], mirror[1][on]]
    return len(np.unique(images[images > 0]))


def _parabola_top(image: NDArray[np.float64], row: int, column: int) -> PixelPosition:
    def along(before: float, here: float, after: float) -> float:
        bend = before - 2 * here + after
        return 0.0 if bend >= 0 else float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5))

    if not (0 < row < image.shape[0] - 1 and 0 < column < image.shape[1] - 1):
        return float(row), float(column)
    here = image[row, column]
    return (
        row + along(image[row - 1, column], here, image[row + 1, column]),
        column + along(image[row, column - 1], here, image[row, column + 1]),
    )
