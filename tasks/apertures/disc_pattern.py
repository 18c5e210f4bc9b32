"""The sum pattern of one scan where spots are discs: background between them, discs, and the region of every pixel."""

import numpy as np
from numpy.typing import NDArray

from tasks.apertures.pattern import CLIP_SIGMA, BraggSpots, regions
from tasks.events.disc import BeamDisc, disc_of_scans, spread_over, stated_radius_px
from tasks.events.disc_search import box_sums, covered, find_discs
from tasks.events.inversion import distances
from tasks.events.scan_beam import DirectBeam
from tasks.events.sums import sum_pattern
from tasks.events.virtual_detectors import BACKGROUND, BEAM, IGNORED
from tasks.ingest import TiltSeries, open_events
from tasks.model.arrays import Floats, Integers, Mask

LEAST_COUNTS = 8.0
"""Of a disc in the whole scan: fewer do not tell whose it is."""
RING_PX = 2.0
"""Width of the rings of the background, as in `tasks.apertures.pattern`."""
LEAST_OF_RING = 25
"""Pixels between the discs that a ring's mean takes: fewer, and its neighbours stand in. The mean of 25 pixels is known
to a fifth of a pixel's own deviation."""
CLIP_CYCLES = 6
"""Of leaving out what stands above the rings, before any disc is known: each lowers the rings and shows fainter discs."""
CLIP_DEVIATIONS, CLIP_COUNTS = 3.5, 2.0
"""Pixels above a ring's level by so many Poisson deviations, plus so many counts, are spots: as the integrator's rings
(`tasks.integrate.spots.background`)."""


def disc_of_series(series: TiltSeries) -> tuple[BeamDisc | None, tuple[str, ...]]:
    """Return the disc of a series, None where its spots are points, and what contradicts the manifest."""
    shape = series.detector.shape_px
    middle = ((shape[0] - 1) / 2, (shape[1] - 1) / 2)
    return disc_of_scans(
        (sum_pattern(open_events(series.scans[index]), shape) for index in spread_over(len(series.scans))),
        start=series.detector.direct_beam_px or middle,
        reach_px=0.25 * min(shape),
        stated_px=stated_radius_px(series.beam, series.detector),
    )


def find_bragg_discs(
    total: NDArray[np.uint32], beam: DirectBeam, disc: BeamDisc, *, threshold: float, max_spots: int
) -> tuple[BraggSpots, NDArray[np.int32]]:
    """Find Bragg discs and the region of every pixel; as `find_bragg_spots`, with discs for spots.

    Where regions overlap, the nearest centre wins. The background is counted between the discs only.
    """
    radius = distances(total.shape, beam.centre)
    inner = disc.reach_px + 1.0 if beam.seen else 0.0
    image = total.astype(np.float64)
    valid = radius >= inner
    found, background = find_discs(
        image, valid, _Background(valid, radius, disc), disc, radius=radius, inner_px=inner, threshold=threshold,
        least_counts=LEAST_COUNTS,
    )  # fmt: skip
    px = found.px[:max_spots]
    labels = regions(total.shape, px, reach=disc.radius_px + disc.edge_px)
    free = (labels == IGNORED) & ~covered(total.shape, found.px, disc)
    labels[free & valid] = BACKGROUND
    labels[~valid] = BEAM if beam.seen else IGNORED
    expected = np.bincount(np.maximum(labels, 0).ravel(), weights=background.ravel(), minlength=len(px) + 1)[1:]
    return BraggSpots(px, expected.astype(np.float64)), labels


class _Background:
    """The background (slow, fast) from some pixels, by rings; before any disc is known, from the dim parts of rings."""

    def __init__(self, valid: Mask, radius: Floats, disc: BeamDisc) -> None:
        self.valid, self.radius, self.disc = valid, radius, disc
        self.ring = (radius / RING_PX).astype(np.int64)
        self.seen = np.maximum(box_sums(valid.astype(np.float64), disc.radius_px), 1.0)

    def __call__(self, image: Floats, keep: Mask) -> Floats:
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
