"""Where spots are looked for around a beam: the radial background of sum patterns, and how far pixels exceed it."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

from tasks.events.inversion import distances
from tasks.events.scan_beam import DirectBeam

CLIP_SIGMA = 3.0
"""A normal deviate passes once in 740 times, and the mean of what is left is 0.4 % of a deviation too low. With 2
`python -m tests.benchmarks.apertures weak --seeds 1` finds no crystal, with 4 four of five, precise to 0.92 (0.98)."""
LEAST_WEIGHT = 0.5
"""Of the filter that must lie on valid pixels: at a straight edge of a dead sector half of it does. Chosen, not
measured: less, and the maximum of a spot is made up."""
BESIDE = 2.0
"""Radii of the direct beam within which a spot lies next to it. Of the tails in `tasks.apertures.tiles.TAIL` 0.56 to
0.67 lie within 1.5 radii, 0.83 to 0.90 within 2, 0.90 to 0.97 within 3; of crystals 0.05 at most within any."""


class Scored(NamedTuple):
    """Of every pixel (slow, fast): standard deviations over the background, and that."""

    score: NDArray[np.float64]
    radial: NDArray[np.float64]


class SpotField:
    """A detector around a beam: what sum patterns of one scan have in common, whichever positions they hold.

    Attributes
    ----------
    radius
        Of every pixel (slow, fast), px.
    inner
        Pixels within it are those of the direct beam, px.
    good
        (slow, fast), whether a pixel counts: enough of the filter around it was measured.
    """

    def __init__(
        self, shape: tuple[int, ...], beam: DirectBeam, *, sigma_px: float, valid: NDArray[np.bool_] | None
    ) -> None:
        self.radius = distances(shape, beam.centre)
        self.inner = beam_radius(beam, sigma_px)
        self._sigma, self._area = sigma_px, 4.0 * np.pi * sigma_px**2
        self._valid = np.ones(shape, dtype=bool) if valid is None else valid
        self.good, self._weight = self._valid, None
        if not self._valid.all():
            weight = ndimage.gaussian_filter(self._valid.astype(np.float64), sigma_px)
            self._weight = np.maximum(weight, LEAST_WEIGHT)
            self.good = self._valid & (weight > LEAST_WEIGHT)
        self._silent = (self.radius < self.inner) | ~self.good
        ring = (self.radius / 2.0).astype(np.int64)
        mine = ring[self.good]
        self._order = np.flatnonzero(self.good)[np.argsort(mine.astype(np.uint16), kind="stable")]
        self._edges = np.concatenate([[0], np.cumsum(np.bincount(mine, minlength=int(ring.max()) + 1))])

    def scored(self, total: NDArray[np.uint32]) -> Scored:
        """Return what a sum pattern (slow, fast) holds beyond its radial background."""
        image = np.where(self._valid, total, 0).astype(np.float64)
        smooth = ndimage.gaussian_filter(image, self._sigma)
        if self._weight is not None:
            smooth /= self._weight
        radial = self._background(image, smooth)
        area = self._area
        score = 2.0 * (np.sqrt(smooth * area + 0.375) - np.sqrt(radial * area + 0.375))  # Anscombe: unit variance
        score[self._silent] = 0.0
        return Scored(score, radial)

    def _background(self, image: NDArray[np.float64], smooth: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the background as a function of the radius, per pixel.

        Iterated mean over rings of 2 px, without pixels whose smoothed value exceeds it by 3 standard deviations
        (the smoothing averages `area` pixels); starts from the ring medians. A ring without any pixel that counts takes
        the level of those beside it.
        """
        by_ring = smooth.ravel()[self._order]
        level = _medians(by_ring.copy(), self._edges)
        _clipped_means(image.ravel()[self._order], by_ring, self._edges, self._area, CLIP_SIGMA, level)
        known = np.diff(self._edges) > 0
        if not known.any():
            return np.zeros(image.shape)
        centres = 2.0 * np.arange(len(level)) + 1.0
        return np.interp(self.radius, centres[known], level[known])


def beam_radius(beam: DirectBeam, sigma_px: float) -> float:
    """Return the radius within which pixels are those of the direct beam, px."""
    return (5.0 if beam.seen else 2.0) * max(beam.sigma, sigma_px) + 2.0


def _medians(values: NDArray[np.float64], edges: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the median between every two edges, 0 where there is nothing; the values are put in another order."""
    found = np.zeros(len(edges) - 1)
    for number, (begin, end) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
        if end > begin:
            ring, upper = values[begin:end], (end - begin) // 2
            lower = (end - begin - 1) // 2
            ring.partition([lower, upper])
            found[number] = 0.5 * (ring[lower] + ring[upper])
    return found


@njit(cache=True, nogil=True)
def _clipped_means(
    image: NDArray[np.float64],
    smooth: NDArray[np.float64],
    edges: NDArray[np.int64],
    area: float,
    clip: float,
    level: NDArray[np.float64],
) -> None:  # pragma: no cover
    """Iterate the level of every ring, in place."""
    for ring in range(len(level)):
        for _ in range(4):
            limit = level[ring] + clip * np.sqrt(max(level[ring], 0.25 / area) / area)
            number, total = 0, 0.0
            for index in range(edges[ring], edges[ring + 1]):
                if smooth[index] <= limit:
                    number += 1
                    total += image[index]
            if number > 0:
                level[ring] = total / number
