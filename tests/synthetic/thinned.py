"""A series counted by a camera that keeps one of electrons near each other in one camera frame, by several rules."""

from pathlib import Path
from typing import Literal

import numpy as np
from numba import njit

from tasks.ingest.models import TiltSeries
from tests.synthetic.stored_events import loaded, put_events

Rule = Literal["marks", "first", "maxima"]
RULES: tuple[Rule, ...] = ("marks", "first", "maxima")
"""Random marks (Matern II), first come (Matern III), local maxima of energies summed in pixels."""


def thinned(
    offsets: np.ndarray, events: np.ndarray, shape: tuple[int, int], rule: Rule, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return offsets and events of what is counted; every position is one camera frame."""
    marks = rng.gamma(2.0, 1.0, len(events))
    keep = np.zeros(len(events), dtype=bool)
    rank = rng.random(len(events))
    bounds = np.asarray(offsets).astype(np.int64)
    scratch = np.zeros((shape[0] + 2, shape[1] + 2))
    _thin(bounds, np.asarray(events).astype(np.int64), shape[1], marks, rank, RULES.index(rule), scratch, keep)
    kept = np.concatenate([[0], np.cumsum(keep)])[bounds]
    return kept.astype(np.uint64), np.asarray(events)[keep]


def thinned_store(series: TiltSeries, folder: Path, rule: Rule, *, seed: int = 0, **changes: object) -> TiltSeries:
    """Return the series as such a camera would have counted it, in a store of its own."""
    scans = []
    folder.mkdir(parents=True, exist_ok=True)
    for index, scan in enumerate(series.scans):
        rng = np.random.default_rng([seed, index])
        offsets, events = thinned(*loaded(scan), series.detector.shape_px, rule, rng)
        update = {"events": put_events(folder / f"scan-{index:03d}.events", offsets, events), "counts": len(events)}
        scans.append(scan.model_copy(update=update))
    return series.model_copy(update={"scans": tuple(scans), **changes})


@njit(cache=True)
def _thin(bounds, events, columns, marks, rank, rule, scratch, keep):
    for k in range(len(bounds) - 1):
        first, last = bounds[k], bounds[k + 1]
        if rule == 1:
            for index in first + np.argsort(rank[first:last]):
                row, column = events[index] // columns + 1, events[index] % columns + 1
                if scratch[row - 1 : row + 2, column - 1 : column + 2].max() == 0.0:
                    scratch[row, column] = 1.0
                    keep[index] = True
        else:
            for index in range(first, last):
                row, column = events[index] // columns + 1, events[index] % columns + 1
                if rule == 0:
                    scratch[row, column] = max(scratch[row, column], marks[index])
                else:
                    scratch[row, column] += marks[index]
            for index in range(first, last):
                row, column = events[index] // columns + 1, events[index] % columns + 1
                highest = scratch[row - 1 : row + 2, column - 1 : column + 2].max()
                if rule == 0:
                    keep[index] = marks[index] == highest
                elif scratch[row, column] == highest:
                    keep[index] = True
                    for other in range(first, index):
                        if events[other] == events[index]:
                            keep[index] = False
        for index in range(first, last):
            scratch[events[index] // columns + 1, events[index] % columns + 1] = 0.0
