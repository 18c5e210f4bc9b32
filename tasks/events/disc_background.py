"""The background of a pattern of discs, by rings about the beam: counted between the discs."""

import numpy as np

from tasks.events.beam_disc import BeamDisc
from tasks.events.disc_search import box_sums
from tasks.model.arrays import Floats, Integers, Mask

RING_PX = 2.0
"""Width of the rings of the background, as in `tasks.apertures.pattern`."""
LEAST_OF_RING = 25
"""Pixels between the discs that a ring's mean takes: fewer, and its neighbours stand in. The mean of 25 pixels is known
to a fifth of a pixel's own deviation."""
CLIP_CYCLES = 6
"""Of leaving out what stands above the rings, before any disc is known: each lowers the rings and shows more discs."""
CLIP_DEVIATIONS, CLIP_COUNTS = 3.5, 2.0
"""Pixels above a ring's level by so many Poisson deviations, plus so many counts, are spots: as the integrator's rings
(`tasks.integrate.spots.background`)."""
CLIP_SIGMA = 3.0
"""Deviations above its ring at which a disc is taken out before any is known, as in `tasks.apertures.pattern`."""


class DiscRings:
    """The background (slow, fast) from some pixels, by rings; before any disc is known, from the dim parts of rings."""

    def __init__(self, valid: Mask, radius: Floats, disc: BeamDisc) -> None:
        self.valid, self.radius, self.disc = valid, radius, disc
        self.ring = (radius / RING_PX).astype(np.int64)
        self.seen = np.maximum(box_sums(valid.astype(np.float64), disc.radius_px), 1.0)

    def __call__(self, image: Floats, keep: Mask) -> Floats:
        """Return the background (slow, fast) from the kept pixels of an image."""
        if keep.sum() == self.valid.sum():
            return self._between_unknown_discs(image)
        value, which = image[keep], self.ring[keep]
        used = np.ones(len(value), dtype=bool)
        for _ in range(3):
            level = self._level(value[used], which[used])
            used = value <= (level + CLIP_DEVIATIONS * np.sqrt(np.maximum(level, 0.0)) + CLIP_COUNTS)[which]
        return self._image(level)

    def _between_unknown_discs(self, image: Floats) -> Floats:
        mean = self._means(image)
        used = self.valid
        area = np.pi * self.disc.radius_px**2
        for _ in range(CLIP_CYCLES):
            background = self._image(self._level(image[used], self.ring[used]))
            expected = self._means(background)  # a steep halo's mean over a disc is not its level
            used = self.valid & (mean <= expected + CLIP_SIGMA * np.sqrt(np.maximum(expected, 0.25 / area) / area))
        return background

    def _means(self, image: Floats) -> Floats:
        return np.asarray(box_sums(np.where(self.valid, image, 0.0), self.disc.radius_px) / self.seen)

    def _level(self, value: Floats, which: Integers) -> Floats:
        number = np.bincount(which, minlength=int(self.ring.max()) + 1)
        mean = np.bincount(which, weights=value, minlength=len(number)) / np.maximum(number, 1)
        known = np.flatnonzero(number >= LEAST_OF_RING)
        return np.maximum(np.interp(np.arange(len(number)), known, mean[known]) if len(known) else mean, 0.0)

    def _image(self, level: Floats) -> Floats:
        return np.asarray(np.interp(self.radius / RING_PX - 0.5, np.arange(len(level)), level))
