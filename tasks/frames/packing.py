"""Which electron of several survives, measured: the packing of the survivors, from spots hit and not hit.

No count in a spot means that no electron came, whatever the camera's rule: the share of camera frames without any
tells how many arrived. What the counts in the same spots let infer depends on the rule in one number, which is set so
that both agree.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.events.coincidence import arrived, hit_table
from tasks.events.hits import frames_hit
from tasks.events.store import ScanEvents
from tasks.frames.counting import FrameLoss, beam_radius, distance_from
from tasks.model.arrays import Floats, Integers
from tasks.model.experiment import PixelPosition

REGION_PX = 7
"""Edge of the square taken for a spot: a normal one of 1 px has 0.1 % beyond, where electrons hide across its edge."""
APART_PX = 13
"""Edge of the square in which a spot is the highest: no two regions overlap."""
LEAST_FILL, MOST_FILL = 0.4, 2.5
"""Electrons of a spot in a camera frame: below, rules hardly differ (by 1 %), above, hardly a frame has no count."""
LEAST_CONTRAST = 8.0
"""Counts within reach over the mean around: the brightness of positions is that of the crystal, not of the halo."""
PACKINGS = (1.0, 0.8, 0.6, 0.4)
"""Tried, and interpolated between. First come is near 0.75 for spots of 0.5 to 1 px and discs of 4 px."""
LEAST_SPOTS = 20
"""Each tells its ratio to some 5 % (simulated): their mean to 1 %, half of TOLERANCE."""
TOLERANCE = 0.02
"""By which both may differ before the rule is taken for another than that of random marks."""


class CountedFrame(NamedTuple):
    """A summed frame with what it was summed from, and its loss by the rule of random marks."""

    counts: NDArray[np.unsignedinteger]
    scan: ScanEvents
    positions: NDArray[np.int64]
    origins: NDArray[np.int64]
    loss: FrameLoss


def measured_packing(
    frames: Sequence[CountedFrame], *, centre: PixelPosition, detector_columns: int, reach: int
) -> float:
    """Return the packing at which these frames agree with how often their spots were hit; 1 if that is not known."""
    seen, spots = np.zeros(len(PACKINGS)), 0
    known = 0.0
    for frame in frames:
        repeats = frame.loss.exposures / len(frame.positions)
        regions = _regions(frame.counts, frame.loss, centre, reach)
        hit = frames_hit(
            frame.scan,
            positions=frame.positions,
            origins=frame.origins,
            detector_columns=detector_columns,
            regions=regions,
        )
        fills, hits = hit_table(frame.loss.brightness, repeats=repeats)
        came = np.interp(hit, hits, fills)
        chosen = np.flatnonzero((came > LEAST_FILL) & (came < MOST_FILL))
        spots += len(chosen)
        known += float(came[chosen].sum()) * frame.loss.exposures
        for number, packing in enumerate(PACKINGS):
            found = arrived(frame.counts, frame.loss.brightness, repeats=repeats, reach=reach, packing=packing)
            total = np.bincount(regions.ravel(), weights=(frame.counts * found.factor).ravel(), minlength=len(hit) + 1)
            seen[number] += float(total[1:][chosen].sum())
    if spots < LEAST_SPOTS or seen[0] < (1.0 + TOLERANCE) * known:
        return 1.0
    return float(np.interp(known, seen[::-1], PACKINGS[::-1]))


def _regions(counts: NDArray[np.unsignedinteger], loss: FrameLoss, centre: PixelPosition, reach: int) -> Integers:
    """Return the squares around lone spots, (slow, fast), numbered from 1."""
    near: Floats = ndimage.uniform_filter(counts.astype(np.float64), 2 * reach + 1, mode="constant")
    around = ndimage.uniform_filter(near, 41, mode="constant")
    top = (near == ndimage.maximum_filter(near, APART_PX)) & (near > LEAST_CONTRAST * around)
    top &= near * (2 * reach + 1) ** 2 > LEAST_FILL / 2 * loss.exposures
    top &= distance_from(counts.shape, centre) > beam_radius(loss.fill, centre)
    regions = np.zeros(counts.shape, dtype=np.int64)
    half = REGION_PX // 2
    for number, (row, column) in enumerate(np.argwhere(top), 1):
        regions[max(row - half, 0) : row + half + 1, max(column - half, 0) : column + half + 1] = number
    return regions
