"""Several reflections at a glance: how each crossed the Ewald sphere, and which probe positions its electrons are of.

What `trace_reflection` gives in full, this gives in part for many at once, and does not read the frames.
"""

from collections.abc import Sequence
from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.frames import FrameSeries
from tasks.integrate import USED, Measurements, own_pixels, to_asymmetric_unit
from tasks.model import SourceError
from tasks.model.arrays import Floats, Integers, Mask
from tasks.trace.electrons import ElectronSource


class PositionMap(NamedTuple):
    """Electrons of a spot by probe position: ``electrons`` (ny, nx) from ``corner`` on, -1 outside the crystal.

    ``tilt_deg`` is that of the frame.
    """

    tilt_deg: float
    corner: tuple[int, int]
    electrons: Integers


class Crossing(NamedTuple):
    """One equivalent of a reflection, of the frames in a row that saw it, by tilt: all (n,) but ``hkl``.

    ``counts`` and ``background`` are those of the spot's own pixels, ``predicted`` is above it, NaN where it was not
    fitted; ``used``: in the intensity. ``brightest``: the measurement of most electrons, for `position_maps`.
    """

    hkl: tuple[int, int, int]
    tilt_deg: Floats
    counts: Integers
    background: Floats
    predicted: Floats
    used: Mask
    brightest: int


class Glimpse(NamedTuple):
    """The crossings of one reflection of a crystal, those of most electrons, by tilt; ``in_all``: how many it has."""

    crossings: tuple[Crossing, ...]
    in_all: int


def glimpses(
    wanted: Sequence[NDArray[np.int32]], every: Measurements, laue: gemmi.SpaceGroup, frames: FrameSeries, *, most: int
) -> list[Glimpse]:
    """Return at most so many crossings of each of several reflections.

    Parameters
    ----------
    wanted
        For each reflection the indices (k, 3) of what it is in the axes of the measurements; their equivalents count.
    every
        What `read_traces` returns of a crystal's `kept_traces`.
    """
    own = to_asymmetric_unit(every.hkl, laue)
    found = []
    for indices in wanted:
        mapped = np.unique(to_asymmetric_unit(indices, laue), axis=0)
        rows = np.flatnonzero((own[:, None] == mapped[None]).all(axis=2).any(axis=1))
        runs = _in_a_row(every, rows[every.core[rows].any(axis=(1, 2))])
        shown = sorted(runs, key=lambda rows: -_signal(every, rows))[:most]
        shown.sort(key=lambda rows: (int(every.frame[rows[0]]), every.hkl[rows[0]].tolist()))
        found.append(Glimpse(tuple(_crossing(every, rows, frames) for rows in shown), len(runs)))
    return found


def position_maps(
    measurements: Sequence[int], every: Measurements, frames: FrameSeries, electrons: ElectronSource
) -> dict[int, PositionMap]:
    """Return the map of each of some measurements; the electrons of a frame are read once.

    Raises
    ------
    SourceError
        If the event store does not hold the electrons that were counted.
    """
    rows = np.array(sorted(set(measurements)), dtype=np.int64)
    found: dict[int, PositionMap] = {}
    for frame in np.unique(every.frame[rows]).tolist():
        here = rows[every.frame[rows] == frame]
        spots = [own_pixels(every.centre[row], every.core[row]) for row in here]
        tilt, positions, numbers = electrons.counted(frames, frame, spots)
        for row, number in zip(here.tolist(), numbers, strict=True):
            if number.sum() != every.counts[row]:
                raise SourceError(
                    f"{electrons.series.scans[tilt].events.path}: holds {number.sum()} electrons of "
                    f"{every.hkl[row].tolist()}, the integration recorded {every.counts[row]}",
                    "the files of this run do not belong together any more: run again in a new folder",
                )
            found[row] = _map(positions, number, _tilt_deg(frames, frame), electrons.series.scan.shape)
    return found


def _in_a_row(every: Measurements, rows: Integers) -> list[Integers]:
    """Return the measurements of each equivalent on frames that follow one another."""
    rows = rows[np.lexsort((every.frame[rows], *every.hkl[rows].T))]
    if not len(rows):
        return []
    other = (np.diff(every.hkl[rows], axis=0) != 0).any(axis=1) | (np.diff(every.frame[rows]) != 1)
    return np.split(rows, np.flatnonzero(other) + 1)


def _signal(every: Measurements, rows: Integers) -> float:
    """Return the most electrons above background that a crossing has, or should have."""
    net = every.counts[rows] - every.background[rows]
    return float(max(net.max(), np.nan_to_num(every.predicted[rows]).max()))


def _crossing(every: Measurements, rows: Integers, frames: FrameSeries) -> Crossing:
    h, k, l = (int(index) for index in every.hkl[rows[0]])
    return Crossing(
        hkl=(h, k, l),
        tilt_deg=np.array([_tilt_deg(frames, int(frame)) for frame in every.frame[rows]]),
        counts=every.counts[rows],
        background=every.background[rows],
        predicted=every.predicted[rows],
        used=every.state[rows] == USED,
        brightest=int(rows[np.argmax(every.counts[rows])]),
    )


def _tilt_deg(frames: FrameSeries, frame: int) -> float:
    return frames.frames[frame].angle_deg + frames.frames[frame].width_deg / 2


def _map(positions: Integers, number: Integers, tilt_deg: float, scan_shape: tuple[int, int]) -> PositionMap:
    rows, columns = np.divmod(positions, scan_shape[1])
    top, left = int(rows.min()), int(columns.min())
    image = np.full((int(rows.max()) - top + 1, int(columns.max()) - left + 1), -1, dtype=np.int64)
    image[rows - top, columns - left] = number
    return PositionMap(tilt_deg, (top, left), image)
