"""What each summed frame lost by the way in which its camera counted."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

from tasks.events.canvas import Canvas
from tasks.events.coincidence import ArrivedCounts, arrived, lost_share
from tasks.events.store import ScanEvents, position_blocks
from tasks.ingest import exposures_of
from tasks.model.arrays import Floats, Image, Integers, Mask
from tasks.model.experiment import PixelPosition

BEAM_RADIUS_PX = 15.0
"""Loss so near the direct beam is not looked at. Chosen, not measured: smaller, and a defocused beam is judged where no
reflection lost anything; larger, and the innermost reflections are not looked at."""
LEAST_LOSS = 0.02
"""Of the worst spot of a series, below which nothing is corrected: 1 % of |F|, less than any R factor feels. Chosen,
not measured: lower, and sound series are changed for nothing."""
SPOT_COUNTS = 16.0
"""Electrons within reach of a pixel from which its loss is looked at: a spot of four standard deviations."""
SPOT_RATIO = 4.0
"""Of a spot over its surroundings of SURROUNDINGS_PX, from which its electrons are taken for the crystal's. Chosen, not
measured: the halo, which is as bright beside the crystal, has no such contrast."""
SURROUNDINGS_PX = 41
"""Edge of the square that a spot is compared with: wider than the largest disc, 32 px."""
FILL_OF_BRIGHTNESS = 2.0
"""Spots fuller than this say little about the brightness of positions: 86 % of the camera frames have their count."""
BRIGHTNESS_MAX, BRIGHTNESS_STEPS = 6.0, 240
"""Of a position over the mean, and steps of the table by which it is found: 0.025, a tenth of the error of one."""
MOST_STRETCH = 2.0
"""Of the smoothed brightness: smoothing takes half of the spread of the smallest crystals. Chosen, not measured."""
HALF_CELL_PX = 24
"""Edge of the cells of a chessboard that halve the spots: wider than one, so that none lies in both halves by much."""
BRIGHTNESS_LEAST = 0.02
"""A position of no count may be bright by this: its logarithm stays finite, and it hardly adds to any sum."""
FILL_LIMIT = 3.0
"""Electrons within reach and camera frame above which a pixel cannot be corrected: spots as full came to 0.94 of what
arrived, those of 4 to 0.8 (natrolite, 250 electrons, seed 1: `python -m tests.benchmarks.coincidence`)."""


class FrameLoss(NamedTuple):
    """What one summed frame lost.

    ``factor`` (slow, fast): electrons that arrived for each counted; ``fill`` (slow, fast): electrons within
    reach of a pixel in one camera frame. ``exposures``: camera frames; ``brightness`` (positions,): of the crystal,
    relative; ``worst``: the largest share of a spot's electrons that was lost outside the direct beam.
    """

    factor: NDArray[np.float32]
    fill: NDArray[np.float32]
    exposures: float
    brightness: Floats
    worst: float

    @property
    def spread(self) -> float:
        """Variance of the brightness."""
        return float(self.brightness.var())

    @property
    def saturated(self) -> Mask:
        """Pixels whose factor is not known, (slow, fast)."""
        return np.asarray(self.fill > FILL_LIMIT)


def frame_loss(
    counts: NDArray[np.unsignedinteger],
    scan: ScanEvents,
    *,
    positions: NDArray[np.int64],
    shifts: NDArray[np.int64],
    scan_shape: tuple[int, int],
    detector_columns: int,
    canvas: Canvas,
    centre: PixelPosition,
    per_position: float,
    reach: int,
    packing: float,
    least_spread: float,
) -> FrameLoss:
    """Return what a frame summed over these positions lost; shifts and canvas as in `sum_events`.

    `least_spread` is the least variance of the brightness, from what is known of other tilts.
    """
    exposures = exposures_of(scan, positions, per_position)
    repeats = exposures / max(len(positions), 1)
    first = arrived(counts, np.ones(len(positions)), repeats=repeats, reach=reach, packing=packing)
    worst = _worst(counts, first, centre, reach, 0.0)
    if worst < LEAST_LOSS / 2:
        return FrameLoss(first.factor, first.fill, exposures, np.ones(len(positions)), worst)
    spots, around = _crystal_pixels(counts, first, centre, reach)
    own = counts_in(scan, positions, shifts + canvas.origin, detector_columns, spots)
    curves = _curves(counts, first, spots, around, exposures, repeats)
    bright = brightness(own, curves, positions=positions, scan_shape=scan_shape, least=least_spread)
    result = arrived(counts, bright, repeats=repeats, reach=reach, packing=packing)
    spread = float(bright.var())
    worst = _worst(counts, result, centre, reach, spread)
    return FrameLoss(result.factor, result.fill, exposures, bright, worst)


def counts_in(
    scan: ScanEvents,
    positions: NDArray[np.int64],
    origins: NDArray[np.int64],
    detector_columns: int,
    parts: NDArray[np.int64],
) -> Floats:
    """Return the electrons (2, positions) of every position in either part, 1 and 2, of the canvas (slow, fast).

    `origins` (positions, 2) is added to their places on the detector.
    """
    own = np.zeros((2, len(positions)))
    for part in position_blocks(scan, positions):
        here = part.ranges
        _own_counts(part.begins, part.ends, part.events, origins[here], detector_columns, parts, own[:, here])
    return own


def brightness(
    own: Floats, curves: Floats, *, positions: NDArray[np.int64], scan_shape: tuple[int, int], least: float = 0.0
) -> Floats:
    """Return the relative brightness (positions,) of the crystal at each position, of mean one.

    Smoothed over neighbours, and spread as much as two halves of the spots have in common: that holds no noise.

    Parameters
    ----------
    own
        (2, positions), counts of each position in either half of the crystal's spots.
    curves
        (2, BRIGHTNESS_STEPS + 1), the counts expected there of a position of each brightness.
    least
        Variance that it has at least.
    """
    if own.sum(axis=1).min() < SPOT_COUNTS or not (curves[:, -1] > curves[:, 0]).all():
        return np.ones(len(positions))
    table = np.linspace(0.0, BRIGHTNESS_MAX, BRIGHTNESS_STEPS + 1)
    first, second, both = (
        np.interp(counted, curve, table)
        for counted, curve in zip((*own, own.sum(axis=0)), (*curves, curves.sum(axis=0)), strict=True)
    )
    common = max(float(np.cov(first / first.mean(), second / second.mean())[0, 1]), least)
    smooth = _smoothed(both, positions, scan_shape)
    smooth = smooth / max(float(smooth.mean()), 1e-9) - 1.0
    stretch = min(float(np.sqrt(common / max(float(smooth.var()), 1e-12))), MOST_STRETCH)
    bright = np.maximum(1.0 + stretch * smooth, BRIGHTNESS_LEAST)
    return np.asarray(bright / bright.mean())


def _curves(
    counts: NDArray[np.unsignedinteger],
    first: ArrivedCounts,
    spots: Integers,
    around: Floats,
    exposures: float,
    repeats: float,
) -> Floats:
    """Return the counts (2, BRIGHTNESS_STEPS + 1) of a position in either half of the spots, by its brightness.

    The crystal's electrons follow the brightness, those of the surroundings do not.
    """
    table = np.linspace(0.0, BRIGHTNESS_MAX, BRIGHTNESS_STEPS + 1)
    curves = np.zeros((2, len(table)))
    for half in (0, 1):
        chosen = spots == half + 1
        rate = (counts[chosen] * first.factor[chosen]) / exposures
        still = np.minimum(around[chosen] / exposures, rate)
        fill = first.fill[chosen].astype(np.float64)
        ground = np.minimum(still / np.maximum(rate, 1e-12), 1.0)
        curves[half] = [
            (rate * relative * (1.0 - lost_share(relative * fill))).sum()
            for relative in (ground + (1.0 - ground) * bright for bright in table)
        ]
    return curves * repeats


def _smoothed(value: Floats, positions: NDArray[np.int64], scan_shape: tuple[int, int]) -> Floats:
    """Return the mean over neighbours that belong to the aperture, weighted 1, 2 and 4 by their nearness."""
    image, inside = np.zeros(scan_shape), np.zeros(scan_shape)
    image.ravel()[positions], inside.ravel()[positions] = value, 1.0
    kernel = np.array([1.0, 2.0, 1.0])
    for axis in (0, 1):
        image = ndimage.convolve1d(image, kernel, axis=axis, mode="constant")
        inside = ndimage.convolve1d(inside, kernel, axis=axis, mode="constant")
    return np.asarray(image.ravel()[positions] / inside.ravel()[positions])


def _crystal_pixels(
    counts: NDArray[np.unsignedinteger], first: ArrivedCounts, centre: PixelPosition, reach: int
) -> tuple[Integers, Floats]:
    """Return the pixels (slow, fast) of spots that are not full, 1 and 2 by halves, and the counts around a pixel."""
    side = 2 * reach + 1
    near = ndimage.uniform_filter(counts.astype(np.float64), side, mode="constant")
    around = ndimage.uniform_filter(near, SURROUNDINGS_PX, mode="constant")
    spots = (near * side**2 > SPOT_COUNTS) & (near > SPOT_RATIO * around) & (first.fill < FILL_OF_BRIGHTNESS)
    spots &= distance_from(counts.shape, centre) > beam_radius(first.fill, centre)
    slow, fast = (np.arange(length) // HALF_CELL_PX for length in counts.shape)
    return np.where(spots, 1 + (slow[:, None] + fast[None, :]) % 2, 0), around


def beam_radius(fill: Image, centre: PixelPosition) -> float:
    """Return the radius in px within which losses are the direct beam's: half again where it fell to half, 15 least."""
    distance = distance_from(fill.shape, centre).astype(np.int64)
    ring = np.bincount(distance.ravel(), weights=fill.ravel()) / np.bincount(distance.ravel())
    below = np.flatnonzero(ring < 0.5 * ring[:3].max())
    below = below[below > int(np.argmax(ring[:3]))]
    half = float(below[0]) if len(below) and ring[:3].max() > FILL_OF_BRIGHTNESS / 2 else 0.0
    return max(BEAM_RADIUS_PX, 1.5 * half + 3.0)


def distance_from(shape: tuple[int, ...], centre: PixelPosition) -> Floats:
    """Return the distance of every pixel from a place, (slow, fast), px."""
    return np.hypot(np.arange(shape[0])[:, None] - centre[0], np.arange(shape[1])[None, :] - centre[1])


def _worst(
    counts: NDArray[np.unsignedinteger], result: ArrivedCounts, centre: PixelPosition, reach: int, spread: float
) -> float:
    side = 2 * reach + 1
    near = ndimage.uniform_filter(counts.astype(np.float64), side, mode="constant") * side**2
    spots = (near > SPOT_COUNTS) & (distance_from(counts.shape, centre) > beam_radius(result.fill, centre))
    return float(lost_share(float(result.fill[spots].max(initial=0.0)), spread)) if spots.any() else 0.0


@njit(cache=True, nogil=True)
def _own_counts(
    begins: Integers,
    ends: Integers,
    events: NDArray[np.uint32],
    origins: Integers,
    columns: int,
    spots: Integers,
    own: Floats,
) -> None:  # pragma: no cover
    """Add the electrons of every position that lie in either half of the spots."""
    for k in range(len(begins)):
        for index in range(begins[k], ends[k]):
            row = events[index] // columns + origins[k, 0]
            column = events[index] % columns + origins[k, 1]
            half = spots[row, column]
            if half:
                own[half - 1, k] += 1.0
