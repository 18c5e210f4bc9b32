"""The disc of a series' direct beam, from the sums of some of its scans."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tasks.events.beam_disc import BeamDisc
from tasks.events.disc import disc_of_scans, spread_over, stated_radius_px
from tasks.events.sums import sum_pattern
from tasks.ingest.counting import arrived_at_scan, judge_counting
from tasks.ingest.events import open_events
from tasks.ingest.models import TiltSeries
from tasks.model.arrays import Floats, Mask

FULL = 1.0
"""Electrons within reach and camera frame above which the beam's shape is not believed: 37 % are lost there, and what
is left says little of the edge where more came. Chosen, not measured."""


def disc_of_series(series: TiltSeries) -> tuple[BeamDisc | None, tuple[str, ...]]:
    """Return the disc of a series, None where its spots are points, and what contradicts the manifest.

    What a counting camera lost is put back; where a direct beam is too full for it, its reflections are measured.
    """
    shape = series.detector.shape_px
    middle = ((shape[0] - 1) / 2, (shape[1] - 1) / 2)
    chosen = spread_over(len(series.scans))
    valid = series.valid_pixels()
    full: list[Mask | None] = []

    def patterns() -> Iterator[NDArray[np.uint32] | Floats]:
        counting = judge_counting(series)
        for index in chosen:
            scan = series.scans[index]
            counted = sum_pattern(open_events(scan), shape)
            found = arrived_at_scan(counted, series, scan, counting)
            full.append(None if found is None else np.asarray(found.fill > FULL))
            yield counted if found is None else np.asarray(counted * found.factor, dtype=np.float64)

    return disc_of_scans(
        patterns(),
        valid=[valid[index] for index in chosen],
        start=series.detector.direct_beam_px or middle,
        reach_px=0.25 * min(shape),
        stated_px=stated_radius_px(series.beam, series.detector),
        full=(full[number] for number in range(len(chosen))),
    )
