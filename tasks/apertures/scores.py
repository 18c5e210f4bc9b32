"""Apertures judged on events that had no part in their choice."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from tasks.apertures.factorise import Factors, factorise
from tasks.apertures.models import ApertureFigures, ApertureScores
from tasks.apertures.segmentation import Segmentation


class Judged(NamedTuple):
    """Electrons in the spots of one scan's aperture, from the judging half: own crystal, others, background."""

    own: float
    others: float
    background: float


def judge(segmentation: Segmentation, sets: Sequence[NDArray[np.bool_]]) -> list[list[Judged]]:
    """Judge sets of masks, each with one mask per region, (k, ny, nx).

    The regions' patterns are fitted to one half of the events; the other half's counts, summed over each mask, are
    explained as a mixture of these patterns and the background.
    """
    k = len(segmentation.regions)
    if not k:
        return [[] for _ in sets]
    chosen, expected, share = segmentation.chosen_half, segmentation.spots.expected, segmentation.amplitude
    start = Factors(0.5 * segmentation.weights, segmentation.patterns)
    held = factorise(chosen, 0.5 * share, expected, start=start, iterations=10, held="weights")
    judging = segmentation.counts - chosen
    return [_judged(masks.reshape(k, -1).astype(np.float64), judging, share, expected, held.patterns) for masks in sets]


def _judged(
    flat: NDArray[np.float64],
    judging: csr_matrix,
    share: NDArray[np.float64],
    expected: NDArray[np.float64],
    patterns: NDArray[np.float64],
) -> list[Judged]:
    """Return what masks (k, n_positions) hold of patterns (k, n_spots)."""
    k = len(flat)
    summed = csr_matrix(flat @ judging)
    amplitude = 0.5 * flat @ share
    even = np.full((k, k), max(float(summed.sum()) / k**2, 1e-6))
    amounts = factorise(
        summed, amplitude, expected, start=Factors(even, patterns), iterations=200, held="patterns"
    ).weights
    background = amplitude * expected.sum()
    return [
        Judged(float(amounts[i, i]), float(amounts[i].sum() - amounts[i, i]), float(background[i])) for i in range(k)
    ]


def score_tracks(
    tables: Sequence[tuple[dict[int, Judged], dict[int, Judged]]], n_tracks: int
) -> list[ApertureScores | None]:
    """Return, per track, the figures of the clean and of the all-positions aperture, summed over the scans.

    ``tables``: of every scan, by track, what its clean aperture holds and what the other.
    """
    made: list[ApertureScores | None] = []
    for number in range(n_tracks):
        clean, whole = (_figures([scan[which][number] for scan in tables if number in scan[which]]) for which in (0, 1))
        made.append(None if clean is None or whole is None else ApertureScores(clean=clean, all_positions=whole))
    return made


def _figures(scans: list[Judged]) -> ApertureFigures | None:
    own, others = sum(one.own for one in scans), sum(one.others for one in scans)
    if not own > 0:
        return None
    noise = np.sqrt([one.own + one.others + one.background for one in scans if one.own > 0])
    ratio = np.array([one.own for one in scans if one.own > 0]) / noise
    return ApertureFigures(
        bragg_electrons=own, purity=own / (own + others), signal_to_noise=float(np.sqrt((ratio**2).mean()))
    )
