"""The events of one scan."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

EXPOSED_STEPS = 50
"""Of the fixed point for the mean of camera frames: each takes the error at one electron per frame to 0.6 of itself."""


class ScanEvents(NamedTuple):
    """Electrons of one scan, position by position.

    Those of position p are ``events[offsets[p]:offsets[p + 1]]``, each a flat detector pixel,
    slow * columns + fast. Mostly memory-mapped. Where positions have several camera frames, and the source tells
    which electron came in which, ``frames`` (k + 1,) bounds the events of every camera frame that holds any.
    """

    offsets: NDArray[np.uint64]
    events: NDArray[np.uint32]
    frames: NDArray[np.uint64] | None = None


def camera_frames(scan: ScanEvents, positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the events of the camera frames that hold any begin and end, (k,), of some positions.

    A position is one camera frame where the source tells of no others.
    """
    bounds = scan.offsets.astype(np.int64)
    begins, ends = bounds[positions], bounds[positions + 1]
    if scan.frames is not None:
        edges = np.asarray(scan.frames).astype(np.int64)
        inside = [edges[slice(*np.searchsorted(edges, pair))] for pair in zip(begins, ends, strict=True)]
        begins = np.concatenate([np.zeros(0, dtype=np.int64), *inside])
        ends = edges[np.searchsorted(edges, begins, side="right")] if len(begins) else begins
    filled = ends > begins
    return begins[filled], ends[filled]


def exposed_frames(begins: NDArray[np.int64], ends: NDArray[np.int64], every: float) -> float:
    """Return how many of `every` camera frames were exposed, from the bounds of those that hold electrons.

    The others were lost, but for those that chance left empty: n frames of m electrons leave n exp(-m) empty, and
    those that are not hold m / (1 - exp(-m)) on average.
    """
    if not len(begins):
        return every
    held = float((ends - begins).mean())
    mean = held
    for _ in range(EXPOSED_STEPS):
        mean = held * -np.expm1(-mean)
    return float(min(every, len(begins) / max(-np.expm1(-mean), len(begins) / every)))
