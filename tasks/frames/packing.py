"""Which electron of several survives, measured: the packing of the survivors, from lone spots or from the beam's disc.

No count in a spot means that no electron came, whatever the camera's rule: the share of camera frames without any
tells how many arrived. What the counts in the same spots let infer depends on the rule in one number, which is set so
that both agree. In the middle of a disc of many electrons there is always a count: there the density tells that number
at which no more are counted, and how the density falls at positions that scatter more tells how far off that is.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.events.beam_disc import BeamDisc
from tasks.events.coincidence import arrived
from tasks.events.hits import frames_hit
from tasks.events.store import ScanEvents
from tasks.frames.counting import FrameLoss, beam_radius, counts_in, distance_from
from tasks.model.arrays import Floats, Integers
from tasks.model.experiment import PixelPosition

REGION_PX = 7
"""Edge of the square taken for a spot: a normal one of 1 px has 0.1 % beyond, where electrons hide across its edge."""
APART_PX = 13
"""Edge of the square in which a spot is the highest: no two regions overlap."""
LEAST_FILL, MOST_FILL = 0.8, 1.8
"""Electrons of a spot in a camera frame: below, rules hardly differ (by 1 %), above, hardly a frame has no count, and
the sum of `arrivals` ends too early: of ten frames by 2 % at 1.8, by 9 % at 2.5 (computed)."""
TOGETHER = 10
"""Positions in which a reflection is taken to be as bright: 3 x 3 and one more. Chosen, not measured: fewer end the sum
of `arrivals` too early, more hold other thicknesses."""
LEAST_CONTRAST = 8.0
"""Counts within reach over the mean around: the brightness of positions is that of the crystal, not of the halo."""
PACKINGS = (1.6, 1.4, 1.2, 1.0, 0.8, 0.6, 0.4)
"""Tried, and interpolated between. First come is near 0.75 for spots of 0.5 to 1 px, charge that spreads by 0.3 to
0.6 px above one."""
LEAST_SPOTS = 12
"""Each tells its ratio to some 5 % (simulated): their mean to 1 %, half of TOLERANCE."""
TOLERANCE = 0.09
"""By which both may differ before the rule is taken for another than that of random marks."""

LEAST_INNER_PX = 2.0
"""Radius of the beam's middle, beyond which its edge is felt: a dozen pixels."""
MOST_ERROR = 0.05
"""Of the packing by the beam: 5 % of what a full spot holds."""


class CountedFrame(NamedTuple):
    """A summed frame with what it was summed from, and its loss by the rule of random marks."""

    counts: NDArray[np.unsignedinteger]
    scan: ScanEvents
    positions: NDArray[np.int64]
    origins: NDArray[np.int64]
    loss: FrameLoss


def measured_packing(
    frames: Sequence[CountedFrame],
    *,
    scan_columns: int,
    centre: PixelPosition,
    detector_columns: int,
    reach: int,
) -> float:
    """Return the packing at which these frames agree with how often their spots were hit; 1 if that is not known."""
    seen, spots = np.zeros(len(PACKINGS)), 0
    known = 0.0
    for frame in frames:
        repeats = frame.loss.exposures / len(frame.positions)
        regions = _regions(frame.counts, frame.loss, centre, reach)
        groups = _neighbours(frame.positions, scan_columns)
        hit = frames_hit(
            frame.scan,
            positions=frame.positions,
            origins=frame.origins,
            groups=groups,
            detector_columns=detector_columns,
            regions=regions,
        )
        came = arrivals(hit, np.bincount(groups) * repeats)
        chosen = np.flatnonzero((came > LEAST_FILL) & (came < MOST_FILL))
        spots += len(chosen)
        known += float(came[chosen].sum()) * frame.loss.exposures
        for number, packing in enumerate(PACKINGS):
            found = arrived(frame.counts, frame.loss.brightness, repeats=repeats, reach=reach, packing=packing)
            total = np.bincount(regions.ravel(), weights=(frame.counts * found.factor).ravel(), minlength=len(came) + 1)
            seen[number] += float(total[1:][chosen].sum())
    marks = seen[PACKINGS.index(1.0)]
    if spots < LEAST_SPOTS or abs(marks - known) < TOLERANCE * known:
        return 1.0
    return float(np.interp(-known, -seen, PACKINGS))


def packing_of_beam(
    frames: Sequence[CountedFrame], *, centre: PixelPosition, disc: BeamDisc, detector_columns: int, reach: int
) -> float | None:
    """Return the packing by the density of counts in the middle of the direct beam's disc; None if that is not known.

    A position that scatters one electron more leaves one less in the beam: the slope of the beam's counts over the
    others' tells how many more would be counted, which is zero where the beam is full.
    """
    inner = disc.radius_px - 2.0 * disc.edge_px - reach
    if inner < LEAST_INNER_PX or not frames:
        return None
    pixels, counts, exposures = 0, 0.0, 0.0
    products, squares, noise = 0.0, 0.0, 0.0
    for frame in frames:
        distance = distance_from(frame.counts.shape, centre)
        beside = max(2.0 * disc.reach_px, beam_radius(frame.loss.fill, centre))
        parts = np.where(distance <= inner, 1, np.where(distance > beside, 2, 0))
        own = counts_in(frame.scan, frame.positions, frame.origins, detector_columns, parts)
        beam, others = own[:, own.sum(axis=0) > 0]
        if not len(beam):
            continue
        pixels = int((parts == 1).sum())
        counts, exposures = counts + float(beam.sum()), exposures + frame.loss.exposures
        beam, spread = beam - beam.mean(), others - others.mean()
        products += float(beam @ spread)
        squares += float(spread @ spread - others.sum())  # less what chance adds
        noise += float((beam @ beam) * (spread @ spread) / len(beam))
    if not counts or squares <= 0:
        return None
    share = pixels / (np.pi * disc.radius_px**2)
    density = counts / exposures / pixels * (2 * reach + 1) ** 2
    if np.sqrt(noise) / squares / share > MOST_ERROR * density:
        return None
    return packing_at(density, float(np.clip(-products / squares / share, 0.0, 1.0)))


def packing_at(density: float, slope: float) -> float:
    """Return the packing at which so many are counted within reach and frame, and so many more of one more."""
    above = (1.0 - slope) / density
    if above >= 1.0:
        return min(above, PACKINGS[0])
    tried = np.linspace(PACKINGS[-1], 1.0, 61)
    return float(tried[np.argmin(np.abs(1.0 - tried * density - slope**tried))])


def arrivals(hit: Integers, frames: Floats) -> Floats:
    """Return the electrons for each camera frame that hit regions, (k,), by the frames hit, (k, groups).

    The mean of the logarithm that no hit tells, -ln(1 - h), over groups of so many `frames`, (groups,). Of few frames n
    and x hits it is 1/n + 1/(n - 1) + ... over x terms, whose expectation is h + h^2/2 + ... up to h^n/n.
    """
    whole = np.maximum(np.rint(frames).astype(np.int64), 1)
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, int(whole.max(initial=1)) + 1))])
    each = harmonic[whole] - harmonic[np.maximum(whole - hit, 0)]
    return np.asarray((each * whole).sum(axis=1) / whole.sum())


def _neighbours(positions: NDArray[np.int64], scan_columns: int) -> NDArray[np.int64]:
    """Return groups (n,) of some `TOGETHER` positions that lie together: how bright each reflection is differs."""
    row, column = positions // scan_columns // 3, positions % scan_columns // 3
    snake = np.where(row % 2 == 0, column, scan_columns - column)
    order = np.lexsort([snake, row])
    groups = np.empty(len(positions), dtype=np.int64)
    groups[order] = np.arange(len(positions)) // TOGETHER
    last = int(groups.max(initial=0))
    if last and (groups == last).sum() < TOGETHER:
        groups[groups == last] = last - 1
    return groups


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
