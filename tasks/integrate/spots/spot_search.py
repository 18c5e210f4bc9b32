"""Spots on counted frames: Poisson significance over a local radial background."""

from itertools import pairwise
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from tasks.integrate.spots.peaks import centroids, disc_offsets, disc_sums, masked_share, peaks, smoothed
from tasks.model.arrays import Floats, Image, Mask

HOT_RATIO = 8.0
"""Height over the highest neighbour: a Gaussian spot centred on its pixel has 7.5 at a sigma of 0.4 px, 4.3 at 0.5 px,
and is taken for a hot pixel only if sharper. At 4 test_spots.py finds more hot pixels than it has."""


MOST_MASKED = 0.2
"""Of the disc about a spot's centre of mass: half a spot leaves 0.28 (tests/unit/integrate/test_masked_frames.py), and
a masked pixel must not cost a small spot."""


class Spots(NamedTuple):
    """Spots frame by frame: px (n, 2) (slow, fast), frame (n,), counts (n,) above background, significance (n,)."""

    px: Floats
    frame: NDArray[np.int64]
    counts: Floats
    significance: Floats

    def where(self, selected: Mask | NDArray[np.int64]) -> "Spots":
        """Return some of the spots."""
        return Spots(*(cast("Any", column)[selected] for column in self))


class SpotFinder(NamedTuple):
    """How spots are looked for: significance in standard deviations, radii in px."""

    threshold: float
    radius: float
    inner_radius: float
    least_counts: float = 5.0


def radii_px(shape: tuple[int, int], beam_px: Floats) -> Image:
    """Return the distance of each pixel from the beam, (slow, fast)."""
    slow = (np.arange(shape[0]) - beam_px[0]).astype(np.float32)
    fast = (np.arange(shape[1]) - beam_px[1]).astype(np.float32)
    return np.sqrt(slow[:, None] ** 2 + fast[None, :] ** 2)


def poisson_significance(counts: Floats, expected: Floats) -> Floats:
    """Return the signed root of the Poisson deviance: normal deviates, right down to a fraction of a count.

    Source: McCullagh & Nelder, Generalized Linear Models (1989), section 2.4.
    """
    counts = np.maximum(counts, 0.0)
    ratio = np.log(np.maximum(counts, 1e-12) / expected)
    deviance = 2.0 * (counts * ratio - (counts - expected))
    return np.sign(counts - expected) * np.sqrt(np.maximum(deviance, 0.0))


def lone_pixels(mean: Floats, frames: int, valid: Mask) -> Mask:
    """Return pixels of the mean image (slow, fast) that stand alone above their neighbours, or are dead among them.

    A spot has a width and moves with the tilt; a hot pixel has neither. `tasks.events.bad_pixels` judges whole
    exposures, before they are shifted and summed; this one judges the frames that came of them, by their mean.
    """
    ring = np.ones((3, 3), dtype=bool)
    ring[1, 1] = False
    neighbours = ndimage.maximum_filter(np.where(valid, mean, 0.0), footprint=ring)
    floor = ndimage.median_filter(mean, size=5)
    above = mean - floor
    deviation = np.sqrt(np.maximum(floor, 1.0 / frames) / frames)
    lonely = above > HOT_RATIO * np.maximum(neighbours - floor, deviation)
    if not valid.all():  # beside what is masked there is no surrounding to stand out of
        lonely &= ~ndimage.binary_dilation(~valid, np.ones((5, 5), dtype=bool))
    # a strong spot that passes raises a median, but not all the pixels around one that is dead
    dead = (mean == 0) & (ndimage.minimum_filter(mean, footprint=ring) * frames > 25.0)
    return valid & ((lonely & (above > 0.05)) | dead)


def direct_beam_radius(mean: Floats, valid: Mask, radius: Image) -> float:
    """Return the radius in px around the centre that the direct beam and its near tails take."""
    ring = radius.astype(np.int64)
    number = np.bincount(ring[valid])
    profile = np.bincount(ring[valid], weights=mean[valid]) / np.maximum(number, 1)
    profile = profile[: max(4, int(0.25 * len(profile)))]
    peak = float(profile[:6].max())
    floor = float(np.median(profile[len(profile) // 2 :]))
    below = np.flatnonzero(profile < floor + 0.02 * (peak - floor))
    below = below[below > int(np.argmax(profile[:6]))]
    edge = float(below[0]) if len(below) else 6.0
    return min(max(edge, 4.0), 0.08 * float(ring.max()))


def find_spots(image: Image, valid: Mask, background: Image, *, radius: Image, finder: SpotFinder) -> Spots:
    """Return the spots of one frame, ``frame`` all zero.

    Parameters
    ----------
    image, background
        (slow, fast), electrons.
    radius
        (slow, fast), distance from the beam in px.
    """
    offsets = disc_offsets(finder.radius)
    # a maximum with half of the counts per pixel that it takes is summed up: most of those of noise are not
    least = 0.5 * finder.least_counts / len(offsets)
    smooth = smoothed(image, valid, max(0.6, 0.5 * finder.radius))
    window = int(np.ceil(finder.radius))
    outside = valid & (radius > finder.inner_radius)
    place = peaks(smooth, background, outside, window, least, 0.5 / len(offsets) ** 0.5)
    total, expected = disc_sums(image, valid, background, place, offsets)
    significance = poisson_significance(total, np.maximum(expected, 0.02))
    strong = (significance > finder.threshold) & (total - expected >= finder.least_counts)
    position, chosen = place[strong].astype(np.float64), significance[strong]
    centre, counts = centroids(image, valid, background, position, offsets)
    inside = (np.abs(centre - position) < finder.radius + 1).all(axis=1) & (counts >= finder.least_counts)
    inside &= masked_share(valid, np.rint(centre).astype(np.int64), offsets) <= MOST_MASKED
    return Spots(centre, np.zeros(len(centre), dtype=np.int64), counts, chosen).where(inside)


def spot_radius(image: Image, valid: Mask, background: Image, *, radius: Image, inner_radius: float) -> list[float]:
    """Return the root mean square radii in px of the strong, compact components of one frame."""
    total = ndimage.uniform_filter(np.where(valid, image, np.float32(0.0)), 3) * np.float32(9)
    place = np.nonzero((total > 9 * background) & valid & (radius > inner_radius))
    certain = poisson_significance(total[place].astype(np.float64), np.maximum(background[place] * 9.0, 0.02)) > 8
    strong = np.zeros(valid.shape, dtype=bool)
    strong[place[0][certain], place[1][certain]] = True
    labels, count = ndimage.label(strong)
    if count == 0:
        return []
    slow, fast = np.nonzero(strong)
    component = labels[slow, fast] - 1
    net = np.maximum(image[slow, fast] - background[slow, fast], 0).astype(np.float64)
    size = np.bincount(component, minlength=count)
    mass = np.maximum(np.bincount(component, weights=net, minlength=count), 1e-9)
    moment = np.zeros(count)
    for axis in (slow, fast):
        mean = np.bincount(component, weights=net * axis, minlength=count) / mass
        moment += np.bincount(component, weights=net * (axis - mean[component]) ** 2, minlength=count) / mass
    good = (mass > 30) & (size >= 4) & (size < 400)
    return [float(value) for value in np.sqrt(np.maximum(moment[good], 0.05))]


def merge_over_frames(spots: Spots, distance_px: float) -> NDArray[np.int64]:
    """Return the number (n,) of the reflection that each spot belongs to.

    Spots on neighbouring frames within ``distance_px`` of each other are one reflection.
    """
    first: list[NDArray[np.int64]] = []
    second: list[NDArray[np.int64]] = []
    order = np.argsort(spots.frame, kind="stable")
    bounds = np.searchsorted(spots.frame[order], np.arange(int(spots.frame.max(initial=0)) + 2))
    groups = [order[begin:end] for begin, end in pairwise(bounds)]
    for one, other in pairwise(groups):
        if len(one) == 0 or len(other) == 0:
            continue
        gap, near = cKDTree(spots.px[other]).query(spots.px[one], distance_upper_bound=distance_px)
        found = np.isfinite(np.asarray(gap))
        first.append(one[found])
        second.append(other[np.asarray(near)[found]])
    number = len(spots.frame)
    rows = np.concatenate(first) if first else np.zeros(0, dtype=np.int64)
    columns = np.concatenate(second) if second else np.zeros(0, dtype=np.int64)
    links = sparse.coo_array((np.ones(len(rows)), (rows, columns)), shape=(number, number))
    return np.asarray(connected_components(links, directed=False)[1], dtype=np.int64)
