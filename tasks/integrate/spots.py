"""Spots on counted frames: Poisson significance over a local radial background."""

from itertools import pairwise
from typing import Any, NamedTuple, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

Floats = NDArray[np.float64]
Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

HOT_RATIO = 8.0


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


def radii_px(shape: tuple[int, int], beam_px: Floats) -> Floats:
    """Return the distance of each pixel from the beam, (slow, fast)."""
    slow, fast = np.ogrid[: shape[0], : shape[1]]
    return np.asarray(np.hypot(slow - beam_px[0], fast - beam_px[1]))


def poisson_significance(counts: Floats, expected: Floats) -> Floats:
    """Return the signed root of the Poisson deviance: normal deviates, right down to a fraction of a count.

    Source: McCullagh & Nelder, Generalized Linear Models (1989), section 2.4.
    """
    counts = np.maximum(counts, 0.0)
    ratio = np.log(np.maximum(counts, 1e-12) / expected)
    deviance = 2.0 * (counts * ratio - (counts - expected))
    return np.sign(counts - expected) * np.sqrt(np.maximum(deviance, 0.0))


def hot_pixels(mean: Floats, frames: int, valid: Mask) -> Mask:
    """Return pixels of the mean image (slow, fast) that stand alone above their neighbours, or are dead among them.

    A spot has a width and moves with the tilt; a hot pixel has neither.
    """
    ring = np.ones((3, 3), dtype=bool)
    ring[1, 1] = False
    neighbours = ndimage.maximum_filter(np.where(valid, mean, 0.0), footprint=ring)
    floor = ndimage.median_filter(mean, size=5)
    above = mean - floor
    deviation = np.sqrt(np.maximum(floor, 1.0 / frames) / frames)
    lonely = above > HOT_RATIO * np.maximum(neighbours - floor, deviation)
    # a strong spot that passes raises a median, but not all the pixels around one that is dead
    dead = (mean == 0) & (ndimage.minimum_filter(mean, footprint=ring) * frames > 25.0)
    return valid & ((lonely & (above > 0.05)) | dead)


def direct_beam_radius(mean: Floats, valid: Mask, radius: Floats) -> float:
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


def find_spots(image: Image, valid: Mask, background: Image, *, radius: Floats, finder: SpotFinder) -> Spots:
    """Return the spots of one frame, ``frame`` all zero.

    Parameters
    ----------
    image, background
        (slow, fast), electrons.
    radius
        (slow, fast), distance from the beam in px.
    """
    smooth = ndimage.gaussian_filter(np.where(valid, image, np.float32(0)), max(0.6, 0.5 * finder.radius))
    size = 2 * int(np.ceil(finder.radius)) + 1
    offsets = _disc_offsets(finder.radius)
    # a maximum with half of the counts per pixel that it takes is summed up: most of those of noise are not
    least = finder.least_counts / len(offsets)
    high = smooth > background + np.float32(0.5) * np.maximum(np.float32(least), np.sqrt(background / len(offsets)))
    peak = (smooth == ndimage.maximum_filter(smooth, size=size)) & high & valid & (radius > finder.inner_radius)
    place = np.argwhere(peak)
    total, expected = _disc_sums(image, valid, background, place, offsets)
    significance = poisson_significance(total, np.maximum(expected, 0.02))
    strong = (significance > finder.threshold) & (total - expected >= finder.least_counts)
    position, chosen = place[strong].astype(np.float64), significance[strong]
    net = np.where(valid, image - background, 0.0)
    centre, counts = _centroids(net, position, finder.radius)
    inside = (np.abs(centre - position) < finder.radius + 1).all(axis=1) & (counts >= finder.least_counts)
    return Spots(centre, np.zeros(len(centre), dtype=np.int64), counts, chosen).where(inside)


def spot_radius(image: Image, valid: Mask, background: Image, *, radius: Floats, inner_radius: float) -> list[float]:
    """Return the root mean square radii in px of the strong, compact components of one frame."""
    total = ndimage.uniform_filter(np.where(valid, image, 0.0), 3) * 9
    strong = (poisson_significance(total, np.maximum(background * 9, 0.02)) > 8) & valid & (radius > inner_radius)
    labels, count = ndimage.label(strong)
    if count == 0:
        return []
    net = np.where(valid, np.maximum(image - background, 0), 0.0)
    index = np.arange(1, count + 1)
    slow, fast = np.mgrid[: image.shape[0], : image.shape[1]]
    mass = np.maximum(ndimage.sum(net, labels, index), 1e-9)
    size = ndimage.sum(strong, labels, index)
    means = [ndimage.sum(net * axis, labels, index) / mass for axis in (slow, fast)]
    squares = [ndimage.sum(net * axis**2, labels, index) / mass for axis in (slow, fast)]
    moment = sum(square - mean**2 for square, mean in zip(squares, means, strict=True))
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


def _disc_offsets(radius: float) -> NDArray[np.int64]:
    """Return the offsets (k, 2) of the pixels of a disc from its centre."""
    reach = int(np.ceil(radius))
    slow, fast = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return np.argwhere(np.hypot(slow, fast) <= radius + 0.25) - reach


@njit(cache=True, nogil=True)
def _disc_sums(
    image: Image, valid: Mask, background: Image, place: NDArray[np.int64], offsets: NDArray[np.int64]
) -> tuple[Floats, Floats]:  # pragma: no cover
    """Sum image and background (n,) over the valid pixels of discs around places (n, 2)."""
    total = np.zeros(len(place))
    expected = np.zeros(len(place))
    for i in range(len(place)):
        for k in range(len(offsets)):
            slow, fast = place[i, 0] + offsets[k, 0], place[i, 1] + offsets[k, 1]
            if 0 <= slow < image.shape[0] and 0 <= fast < image.shape[1] and valid[slow, fast]:
                total[i] += image[slow, fast]
                expected[i] += background[slow, fast]
    return total, expected


def _centroids(net: Floats, position: Floats, radius: float) -> tuple[Floats, Floats]:
    offsets = _disc_offsets(radius)
    limit = np.array(net.shape) - 1
    centre = position.copy()
    counts = np.zeros(len(position))
    for _ in range(2):
        pixel = np.clip(np.rint(centre).astype(np.int64)[:, None, :] + offsets, 0, limit)
        weight = np.maximum(net[pixel[..., 0], pixel[..., 1]], 0.0)
        counts = weight.sum(axis=1)
        moved = (weight[..., None] * pixel).sum(axis=1) / np.maximum(counts, 1e-9)[:, None]
        centre = np.where(counts[:, None] > 0, moved, centre)
    return centre, counts
