"""The same crystal at every tilt: registration of scans and identity of regions."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from tasks.apertures.segment import Segmentation
from tasks.apertures.similarity import diffraction_similarity, images_of, matched, moved, overlaps, shift_candidates

WINDOW = 4
"""How many earlier tilts a region is compared with, which bridges missing tilts and occlusions."""
ACCEPT = 0.45
"""Least similarity (0 to 1) at which two regions are taken for the same crystal."""


class Pair(NamedTuple):
    """Regions of an earlier scan against those of a later one: shift (2,) positions, score (k, l) in [0, 1]."""

    shift: NDArray[np.int64]
    score: NDArray[np.float64]


class Track(NamedTuple):
    """One crystal: tilt index -> region, and the confidence of each link."""

    regions: dict[int, int]
    confidence: dict[int, float]


def compare(
    first: Segmentation,
    second: Segmentation,
    *,
    step_deg: float,
    axis: NDArray[np.float64],
    inverse_angstrom_per_px: float,
) -> Pair:
    """Register two scans and score every pair of their regions.

    Shape and place after the shift count with the diffraction that persists between the tilts; the shift is the
    candidate under which the regions match best one to one.
    """
    a, b = images_of(first), images_of(second)
    if not len(a) or not len(b):
        return Pair(np.zeros(2, dtype=np.int64), np.zeros((len(a), len(b))))
    likeness = diffraction_similarity(
        first, second, step_deg=step_deg, axis=axis, inverse_angstrom_per_px=inverse_angstrom_per_px
    )
    pairs = []
    for shift in shift_candidates(a.sum(axis=0), b.sum(axis=0)):
        shape = overlaps(moved(a, shift), b)
        pairs.append(Pair(shift, np.clip(shape * (0.6 + 0.4 * likeness) + 0.15 * shape * likeness, 0.0, 1.0)))
    return max(pairs, key=lambda pair: matched(pair.score**2))


def track_regions(
    segmentations: list[Segmentation],
    tilt_deg: NDArray[np.float64],
    *,
    axis: NDArray[np.float64],
    inverse_angstrom_per_px: float,
) -> list[Track]:
    """Link the regions of all tilts, sorted by tilt, to tracks; at every tilt the best assignment as a whole wins."""
    tracks: list[Track] = []
    for later in range(len(segmentations)):
        k = segmentations[later].factors.weights.shape[1]
        pairs = {
            earlier: compare(
                segmentations[earlier], segmentations[later], step_deg=float(tilt_deg[later] - tilt_deg[earlier]),
                axis=axis, inverse_angstrom_per_px=inverse_angstrom_per_px,
            )
            for earlier in range(max(0, later - WINDOW), later)
        }  # fmt: skip
        score = np.zeros((len(tracks), k))
        for number, track in enumerate(tracks):
            seen = [pairs[tilt].score[region] for tilt, region in track.regions.items() if tilt in pairs]
            if seen:
                score[number] = np.mean(seen[-3:], axis=0)
        _extend(tracks, score, later)
    return tracks


def _extend(tracks: list[Track], score: NDArray[np.float64], tilt: int) -> None:
    taken = set()
    for number, region in zip(*linear_sum_assignment(score, maximize=True), strict=True):
        best = float(score[number, region])
        if best < ACCEPT:
            continue
        others = np.delete(score[:, region], number), np.delete(score[number], region)
        rival = max([0.0, *others[0], *others[1]])
        tracks[number].regions[tilt] = int(region)
        tracks[number].confidence[tilt] = float(np.clip(best - 0.5 * max(0.0, rival - 0.3), 0.0, 1.0))
        taken.add(int(region))
    tracks.extend(Track({tilt: new}, {tilt: 0.5}) for new in range(score.shape[1]) if new not in taken)
