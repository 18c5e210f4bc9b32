"""Which electron of several survives, measured: the packing of the survivors, from the disc of the direct beam.

In the middle of a disc of many electrons there is always a count: the density tells how many are counted where no more
can be, and how it falls at positions that scatter more tells how far off that is. Spots no wider than the reach lose as
much by any rule (`tasks.events.coincidence`), so where spots are points the rule is not asked for.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.events.beam_disc import BeamDisc
from tasks.events.store import ScanEvents
from tasks.frames.counting import FrameLoss, beam_radius, counts_in, distance_from
from tasks.model.arrays import Floats
from tasks.model.experiment import PixelPosition

LEAST_INNER_PX = 2.0
"""Radius of the beam's middle, beyond which its edge is felt: a dozen pixels."""
MOST_ERROR = 0.05
"""Of the packing: 5 % of what a full spot holds."""
FULLEST = 0.9
"""Of the highest density of all frames, from which a beam is taken: those that a crystal took nothing from by much
differ by 5 % (everything-uio66, seed 1: `python -m tests.benchmarks.realism`)."""
LEAST_PACKING, MOST_PACKING = 0.4, 1.6
"""Bounds: first come has 0.6, charge that spreads by 0.6 px 1.55 (`tasks/simulate/README.md`)."""


class CountedFrame(NamedTuple):
    """A summed frame with what it was summed from, and its loss by the rule of random marks."""

    counts: NDArray[np.unsignedinteger]
    scan: ScanEvents
    positions: NDArray[np.int64]
    origins: NDArray[np.int64]
    loss: FrameLoss


class _Beam(NamedTuple):
    """Of one frame: counts of each position in the beam's middle and beside the beam, (2, positions); density."""

    own: Floats
    density: float


def packing_of_beam(
    frames: Sequence[CountedFrame], *, centre: PixelPosition, disc: BeamDisc, detector_columns: int, reach: int
) -> float:
    """Return the packing by the density of counts in the middle of the direct beam's disc; 1 if that is not known.

    A position that scatters one electron more leaves one less in the beam: the slope of the beam's counts over the
    others' tells how many more would be counted, which is zero where the beam is full. Frames on which a crystal takes
    much from the beam are left out: it does so unevenly over the disc.
    """
    inner = disc.radius_px - 2.0 * disc.edge_px - reach
    if inner < LEAST_INNER_PX:
        return 1.0
    beams, pixels = [], 0
    for frame in frames:
        distance = distance_from(frame.counts.shape, centre)
        beside = max(2.0 * disc.reach_px, beam_radius(frame.loss.fill, centre))
        parts = np.where(distance <= inner, 1, np.where(distance > beside, 2, 0))
        own = counts_in(frame.scan, frame.positions, frame.origins, detector_columns, parts)
        pixels = int((parts == 1).sum())
        seen = own[:, own.sum(axis=0) > 0]  # without lost camera frames
        beams.append(_Beam(seen, float(own[0].sum()) / frame.loss.exposures / pixels * (2 * reach + 1) ** 2))
    most = max((beam.density for beam in beams), default=0.0)
    full = [beam for beam in beams if beam.density > FULLEST * most > 0]
    products, squares, noise = 0.0, 0.0, 0.0
    for own, _ in full:
        beam, others = own - own.mean(axis=1, keepdims=True)
        products += float(beam @ others)
        squares += float(others @ others) - float(own[1].sum())  # less what chance adds
        noise += float((beam @ beam) * (others @ others)) / len(beam)
    if squares <= 0:
        return 1.0
    share = pixels / (np.pi * disc.radius_px**2)
    density = float(np.mean([beam.density for beam in full]))
    if np.sqrt(noise) / squares / share > MOST_ERROR * density:
        return 1.0
    return packing_at(density, float(np.clip(-products / squares / share, 0.0, 1.0)))


def packing_at(density: float, slope: float) -> float:
    """Return the packing at which so many are counted within reach and frame, and so many more of one more.

    Solves the equations of `tasks.events.coincidence.counted_within`.
    """
    above = (1.0 - slope) / density
    if above >= 1.0:
        return min(above, MOST_PACKING)
    tried = np.linspace(LEAST_PACKING, 1.0, 61)
    return float(tried[np.argmin(np.abs(1.0 - tried * density - slope**tried))])
