"""How the camera counted, by its word and by its events, and what a scan was before electrons were lost by it."""

import numpy as np
from numpy.typing import NDArray

from tasks.events.coincidence import ArrivedCounts, arrived
from tasks.events.pairs import EventPairs, count_pairs, exclusion_reach, no_pairs
from tasks.events.store import ScanEvents, camera_frames, exposed_frames
from tasks.ingest.events import open_events
from tasks.ingest.models import CountingFound, TiltScan, TiltSeries
from tasks.model.arrays import Floats

SAMPLED_SCANS, SAMPLED_POSITIONS = 20, 300
"""Scans of a series, and positions of each, whose pairs are counted: 0.2 s, and with 50 electrons each on 576 x 576 px
the direct beam alone makes 10 000 pairs."""
METHODS = {"local-maxima-3x3": 1, "ideal": -1}
"""Reach in px of the ways of counting that a manifest may state: by its contract."""


def judge_counting(series: TiltSeries) -> CountingFound:
    """Return how the camera counted: what the pairs of electrons show, or where they are too few, what is stated."""
    stated = series.counting
    pairs = no_pairs()
    if all(_told_apart(series, scan) for scan in series.scans):
        for scan in series.scans[:: max(1, len(series.scans) // SAMPLED_SCANS)]:
            positions = np.arange(series.scan.shape[0] * series.scan.shape[1])
            every = positions[:: max(1, len(positions) // SAMPLED_POSITIONS)]
            pairs = pairs.plus(
                count_pairs(
                    open_events(scan),
                    every,
                    series.detector.shape_px,
                    per_position=camera_frames_per_position(series, scan),
                )
            )
    found = exclusion_reach(pairs)
    said = METHODS[stated.method] if stated is not None else None
    return CountingFound(
        stated=None if stated is None else stated.method,
        reach_px=(-1 if said is None else said) if found is None else found,
        known=found is not None or said is not None,
        frames_per_position=float(np.mean([camera_frames_per_position(series, scan) for scan in series.scans])),
        pairs_found=tuple(int(number) for number in pairs.found),
        pairs_expected=tuple(round(float(number), 1) for number in pairs.expected),
        note=_note(said, found, pairs),
    )


def _note(said: int | None, found: int | None, pairs: EventPairs) -> str | None:
    if found is None or found == said:
        return None
    if found < 0:
        seen = f"{pairs.found[1]} pairs of electrons within 1 px in one camera frame, {pairs.expected[1]:.0f} expected"
        return None if said is None else f"the manifest says local maxima, but there are {seen}: all electrons count"
    side = 2 * found + 1
    missing = f"{pairs.found[: found + 1].sum()} pairs of electrons within {found} px in one camera frame, "
    missing += f"{pairs.expected[: found + 1].sum():.0f} expected: local maxima of {side} x {side} px were counted"
    return missing if said is None else f"the manifest says otherwise, but there are {missing}"


def camera_frames_per_position(series: TiltSeries, scan: TiltScan) -> float:
    """Return the camera frames of each position: those of the file, or those stated where the file does not tell."""
    if series.counting is not None and not scan.frames_told and not scan.entries_are_frames:
        return float(series.counting.frames_per_position)
    return max(scan.frames_per_position, 1.0)


def _told_apart(series: TiltSeries, scan: TiltScan) -> bool:
    """Tell whether it is known which electrons came in one camera frame."""
    return scan.frames_told or camera_frames_per_position(series, scan) <= 1.0


def exposures_of(scan: ScanEvents, positions: NDArray[np.int64], per_position: float) -> float:
    """Return the camera frames that some positions were exposed for.

    Where the file sums the camera frames of a position, an empty position is lost.
    """
    begins, ends = camera_frames(scan, positions)
    if scan.frames is None and per_position > 1:
        return per_position * len(begins)
    return exposed_frames(begins, ends, per_position * len(positions))


def arrived_at_scan(
    pattern: NDArray[np.uint32], series: TiltSeries, scan: TiltScan, counting: CountingFound | None
) -> ArrivedCounts | None:
    """Return what a whole scan, (slow, fast), was before electrons were lost to others; None where all are counted."""
    if counting is None or counting.reach_px < 0:
        return None
    positions = np.arange(series.scan.shape[0] * series.scan.shape[1])
    exposures = exposures_of(open_events(scan), positions, camera_frames_per_position(series, scan))
    return arrived(pattern, np.ones(len(positions)), repeats=exposures / len(positions), reach=counting.reach_px)


def scan_as_arrived(
    pattern: NDArray[np.uint32], series: TiltSeries, scan: TiltScan, counting: CountingFound | None
) -> NDArray[np.uint32] | Floats:
    """Return the electrons of a whole scan, (slow, fast), that arrived; those counted where all are."""
    found = arrived_at_scan(pattern, series, scan, counting)
    return pattern if found is None else np.asarray(pattern * found.factor, dtype=np.float64)
