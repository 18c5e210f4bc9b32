"""Apertures judged on events that had no part in their choice."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from tasks.apertures.factorise import Factors, factorise
from tasks.apertures.follow import Followed
from tasks.apertures.masks import Masks
from tasks.apertures.models import ApertureFigures, ApertureScores
from tasks.apertures.segment import Segmentation


class Judged(NamedTuple):
    """Electrons in the spots of one scan's aperture, from the judging half: own crystal, others, background."""

    own: float
    others: float
    background: float


def judge(segmentation: Segmentation, masks: NDArray[np.bool_]) -> list[Judged]:
    """Judge one mask per region, (k, ny, nx).

    The regions' patterns are fitted to one half of the events; the other half's counts, summed over each mask, are
    explained as a mixture of these patterns and the background.
    """
    k = segmentation.factors.weights.shape[1]
    if not k:
        return []
    chosen, expected = segmentation.chosen_half, segmentation.spots.expected
    start = Factors(0.5 * segmentation.factors.weights, segmentation.factors.patterns)
    held = factorise(chosen, 0.5 * segmentation.amplitude, expected, start=start, iterations=10, held="weights")
    flat = masks.reshape(k, -1).astype(np.float64)
    judging = segmentation.counts - chosen
    summed = csr_matrix(flat @ judging)
    amplitude = 0.5 * flat @ segmentation.amplitude
    even = np.full((k, k), max(float(summed.sum()) / k**2, 1e-6))
    found = Factors(even, held.patterns)
    amounts = factorise(summed, amplitude, expected, start=found, iterations=200, held="patterns").weights
    background = amplitude * expected.sum()
    return [
        Judged(float(amounts[i, i]), float(amounts[i].sum() - amounts[i, i]), float(background[i])) for i in range(k)
    ]


def score_tracks(followed: Followed, masks: list[Masks], n_tracks: int) -> list[ApertureScores | None]:
    """Return, per track, the figures of the clean and of the all-positions aperture, summed over the scans."""
    tables = {"clean": [], "all": []}  # type: dict[str, list[dict[int, Judged]]]
    for segmentation, owners, one in zip(followed.segmentations, followed.owners, masks, strict=True):
        for name, mask in (("clean", one.clean), ("all", one.whole)):
            tables[name].append(dict(zip(owners, judge(segmentation, mask), strict=True)))
    made: list[ApertureScores | None] = []
    for number in range(n_tracks):
        clean, whole = (_figures([scan[number] for scan in tables[name] if number in scan]) for name in tables)
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
