"""Pictures of the regions of one scan, and how they overlap with those of another one after a shift."""

from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.apertures.segmentation import RegionImage, Segmentation
from tasks.apertures.similarity import moved, overlaps
from tasks.apertures.window import Window, is_one_tile, whole_field

SMOOTH = 0.7
"""Standard deviation in positions: less than the distance of two positions, so that outlines stay."""
REACH = 3
"""Positions that the filter reaches, four standard deviations."""


class RegionPictures(NamedTuple):
    """Square roots of smoothed weights: robust against uneven brightness. Each image in its window."""

    scan_shape: tuple[int, int]
    windows: tuple[Window, ...]
    images: tuple[NDArray[np.float64], ...]

    def stack(self) -> NDArray[np.float64]:
        """Return whole images, (k, ny, nx)."""
        found = np.zeros((len(self.images), *self.scan_shape))
        for whole, window, image in zip(found, self.windows, self.images, strict=True):
            whole[window.slices] = image
        return found

    def total(self) -> NDArray[np.float64]:
        """Return the sum of all, (ny, nx)."""
        found = np.zeros(self.scan_shape)
        for window, image in zip(self.windows, self.images, strict=True):
            found[window.slices] += image
        return found


def pictures_of(segmentation: Segmentation) -> RegionPictures:
    """Return the pictures of all regions of a scan."""
    made = [picture_of(region) for region in segmentation.regions]
    return RegionPictures(segmentation.scan_shape, tuple(one[0] for one in made), tuple(one[1] for one in made))


def picture_of(region: RegionImage) -> tuple[Window, NDArray[np.float64]]:
    """Return the picture of one region and the window in which it lies."""
    if is_one_tile(region.scan_shape):
        window, image = whole_field(region.scan_shape), region.image()
    else:
        window = region.window.grown(REACH).common(whole_field(region.scan_shape))
        image = region.image()[window.slices]
    return window, np.sqrt(np.maximum(ndimage.gaussian_filter(image, SMOOTH), 0.0))


def overlaps_after(a: RegionPictures, b: RegionPictures, shift: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return cosines (k, l) of the pictures of `a`, moved by whole positions, with those of `b`."""
    if is_one_tile(a.scan_shape):
        return overlaps(moved(a.stack(), shift), b.stack())
    field = whole_field(a.scan_shape)
    found = np.zeros((len(a.images), len(b.images)))
    norms = [float(np.linalg.norm(image)) for image in b.images]
    top, bottom, left_of, right_of = np.array(b.windows).reshape(-1, 4).T
    for k, (window, image) in enumerate(zip(a.windows, a.images, strict=True)):
        place = window.moved(shift)
        left = place.common(field)
        norm = float(np.linalg.norm(image if left == place else _cut(image, place, left)))
        meet = (top < left.bottom) & (bottom > left.top) & (left_of < left.right) & (right_of > left.left)
        for l in np.flatnonzero(meet).tolist():
            if norm * norms[l] > 0:
                both = left.common(b.windows[l])
                shared = _cut(image, place, both) * _cut(b.images[l], b.windows[l], both)
                found[k, l] = float(shared.sum()) / max(norm * norms[l], 1e-12)
    return found


def best_overlaps(
    a: RegionPictures, b: RegionPictures, *, shift: NDArray[np.int64], reach: int, cost: float
) -> NDArray[np.float64]:
    """Return the best overlaps (k, l) within `reach` positions of a shift, less `cost` per position; 0 at least."""
    best = np.zeros((len(a.images), len(b.images)))
    if not best.size:
        return best
    for row, column in product(range(-reach, reach + 1), repeat=2):
        shape = overlaps_after(a, b, shift + np.array([row, column]))
        best = np.maximum(best, shape - cost * float(np.hypot(row, column)))
    return best


def _cut(image: NDArray[np.float64], place: Window, window: Window) -> NDArray[np.float64]:
    """Return the part of an image, which lies at `place`, that lies within a window."""
    return image[window.moved(-np.array([place.top, place.left])).slices]
