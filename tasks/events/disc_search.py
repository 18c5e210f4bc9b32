"""Discs in a counted pattern: a matched filter against the Poisson background, round by round.

The filter is the sum over a top hat of the disc's radius, whose significance Poisson's law gives down to a fraction of
a count. A disc hides its neighbours' maxima as far as twice its radius: what was found is fitted, all discs together,
and subtracted, and the next round searches what is left. Centres follow from the edge, not from the centre of mass:
the fit gives each disc a slope, which the rocking of a crystal puts into it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np
from numba import njit

from tasks.events.beam_disc import BeamDisc
from tasks.events.disc_fit import MISFIT, fit_discs
from tasks.model.arrays import Floats, Image, Integers, Mask

ROUNDS = 5
"""Of finding and subtracting, at most. Discs of 300 to 3000 counts are found in the first even 0.9 radii apart
(tests/unit/events/test_disc_search.py); the others are for weak ones beside strong ones. Chosen, not measured."""
QUICK_SWEEPS = 4
"""Of the fit within a round: enough to subtract a disc, SWEEPS follow in the end."""
RING_PX, LEAST_FREE_OF_RING = 2.0, 0.15
"""Width of the rings in which the background is counted, and the share of one that must lie between the discs: below it
the pixels under the discs are counted too, less the discs. Chosen, not measured: such a background is as good as the
fit of the discs, which is as good as the background."""
APART = 0.6
"""Radii between the centres of two discs that are told apart: at 0.6 they share 0.63 of their area, and a pair fits an
uneven single disc as well. Chosen, not measured."""
LEAST_EXPECTED = 0.02
"""Counts; keeps the significance finite on an empty background."""
LEAST_SEEN = 0.6
"""Of a disc's pixels that must be valid: the integrator asks the same of a spot."""
START_OF_THRESHOLD = 1.0
"""Deviations below the threshold at which a maximum is fitted: its significance is judged at the fitted centre."""


class FoundDiscs(NamedTuple):
    """Centres (n, 2) (slow, fast), counts (n,) above everything else, and their significance (n,)."""

    px: Floats
    counts: Floats
    significance: Floats

    def where(self, selected: Mask | Integers) -> "FoundDiscs":
        """Return some of the discs."""
        return FoundDiscs(*(cast("Any", column)[selected] for column in self))


def find_discs(
    image: Image | Floats,
    valid: Mask,
    background_of: Callable[[Floats, Mask], Image | Floats],
    disc: BeamDisc,
    *,
    radius: Image | Floats,
    inner_px: float,
    threshold: float,
    least_counts: float,
) -> tuple[FoundDiscs, Floats]:
    """Return the discs of a pattern, most significant first, and the background (slow, fast) without them.

    Parameters
    ----------
    image
        (slow, fast), electrons.
    background_of
        The background (slow, fast) from the pixels of a mask; where discs leave too few pixels of a ring, these are
        what the discs' fit has left of them.
    radius, inner_px
        (slow, fast), distance from the beam; nearer pixels than `inner_px` are the beam's.
    threshold
        In deviations of a normal distribution.
    """
    counts = np.ascontiguousarray(image, dtype=np.float64)
    valid = valid & (radius >= inner_px)
    found = FoundDiscs(np.zeros((0, 2)), np.zeros(0), np.zeros(0))
    model = np.zeros(counts.shape)
    background = np.asarray(background_of(counts, valid), dtype=np.float64)
    seen = box_sums(valid.astype(np.float64), disc.radius_px)
    allowed = (seen > LEAST_SEEN * seen.max()) & (radius >= inner_px + 0.5 * disc.radius_px)

    def without(px: Floats) -> Floats:
        free = valid & ~covered(counts.shape, px, disc)
        poor = valid & ~free & poor_rings(free, valid, radius)
        return np.asarray(background_of(np.where(free, counts, counts - model), free | poor), dtype=np.float64)

    for _ in range(ROUNDS):
        score, excess = _significance(counts, valid, background, model, disc.radius_px)
        new = _maxima(np.where(allowed & (excess >= 0.5 * least_counts), score, 0.0), found.px, disc, threshold)
        if not len(new):
            break
        px = np.concatenate([found.px, new])
        start = np.concatenate([found.counts, np.maximum(excess[new[:, 0], new[:, 1]], least_counts)])
        fit = fit_discs(counts, valid, background, px=px, start=start, disc=disc, sweeps=QUICK_SWEEPS)
        model = fit.model
        background = without(fit.px)
        fit = fit_discs(counts, valid, background, px=fit.px, start=fit.counts, disc=disc, sweeps=QUICK_SWEEPS)
        kept = (fit.significance > threshold) & (fit.counts >= least_counts)
        found, model = FoundDiscs(fit.px, fit.counts, fit.significance).where(kept), fit.model
    background = without(found.px)
    last = fit_discs(counts, valid, background, px=found.px, start=found.counts, disc=disc)
    found = FoundDiscs(last.px, last.counts, last.significance)
    found = found.where((found.significance > threshold) & (found.counts >= least_counts))
    return found.where(np.argsort(-found.significance, kind="stable")), background


def poor_rings(free: Mask, valid: Mask, radius: Image | Floats) -> Mask:
    """Return the pixels (slow, fast) of rings of which discs leave too little."""
    ring = (radius / RING_PX).astype(np.int64)
    number = int(ring.max()) + 1
    left = np.bincount(ring[free], minlength=number) / np.maximum(np.bincount(ring[valid], minlength=number), 1)
    return np.asarray((left < LEAST_FREE_OF_RING)[ring])


def covered(shape: tuple[int, ...], px: Floats, disc: BeamDisc) -> Mask:
    """Return the pixels (slow, fast) that discs at px (n, 2) reach."""
    mask = np.zeros(shape, dtype=bool)
    _mark(mask, np.asarray(px, dtype=np.float64), disc.reach_px)
    return mask


def box_sums(image: Floats, radius_px: float) -> Floats:
    """Return the sum over a top hat of a radius around every pixel, (slow, fast); exact for whole numbers."""
    reach = int(np.floor(radius_px + 0.25))
    half = np.floor(np.sqrt(np.maximum((radius_px + 0.25) ** 2 - np.arange(-reach, reach + 1.0) ** 2, 0.0)))
    result: Floats = _row_sums(np.ascontiguousarray(image), half.astype(np.int64), reach)
    return result


def poisson_deviation(counts: Floats, expected: Floats) -> Floats:
    """Return the signed root of the Poisson deviance (McCullagh & Nelder, Generalized Linear Models, 1989, 2.4)."""
    above = np.maximum(counts, 0.0)
    ratio = np.log(np.maximum(above, 1e-12) / expected)
    return np.asarray(np.sign(above - expected) * np.sqrt(np.maximum(2.0 * (above * ratio - (above - expected)), 0.0)))


def _significance(
    counts: Floats, valid: Mask, background: Floats, model: Floats, radius_px: float
) -> tuple[Floats, Floats]:
    """Return the significance of what every top hat holds above background and model, and that excess."""
    total = box_sums(np.where(valid, counts, 0.0), radius_px)
    fitted = box_sums(np.where(valid, model, 0.0), radius_px)
    expected = np.maximum(box_sums(np.where(valid, background, 0.0), radius_px) + fitted, LEAST_EXPECTED)
    damped = np.sqrt(expected / (expected + (MISFIT * fitted) ** 2))
    return poisson_deviation(total, expected) * damped, total - expected


def _maxima(score: Floats, known: Floats, disc: BeamDisc, threshold: float) -> Integers:
    """Return the places (n, 2) of the maxima of a significance, best first, none near a better one."""
    least = threshold - START_OF_THRESHOLD
    place = np.argwhere(score > least)
    if not len(place):
        return np.zeros((0, 2), dtype=np.int64)
    order = np.argsort(-score[place[:, 0], place[:, 1]], kind="stable")
    taken = np.zeros(score.shape, dtype=bool)
    _mark(taken, known, APART * disc.radius_px)
    chosen: Integers = _greedy(place[order], taken, disc.radius_px)
    return chosen


@njit(cache=True, nogil=True)
def _mark(mask: Mask, px: Floats, radius: float) -> None:  # pragma: no cover
    rows, columns = mask.shape
    reach = int(np.ceil(radius)) + 1
    for i in range(len(px)):
        middle_row, middle_column = round(px[i, 0]), round(px[i, 1])
        for row in range(max(0, middle_row - reach), min(rows, middle_row + reach + 1)):
            for column in range(max(0, middle_column - reach), min(columns, middle_column + reach + 1)):
                if (row - px[i, 0]) ** 2 + (column - px[i, 1]) ** 2 <= radius * radius:
                    mask[row, column] = True


@njit(cache=True, nogil=True)
def _greedy(place: Integers, taken: Mask, radius: float) -> Integers:  # pragma: no cover
    """Return the places, in their order, that no earlier one has taken with all within a radius of it."""
    rows, columns = taken.shape
    kept = np.empty_like(place)
    number = 0
    reach = int(np.ceil(radius))
    for i in range(len(place)):
        row, column = place[i, 0], place[i, 1]
        if taken[row, column]:
            continue
        kept[number] = place[i]
        number += 1
        for y in range(max(0, row - reach), min(rows, row + reach + 1)):
            for x in range(max(0, column - reach), min(columns, column + reach + 1)):
                if (y - row) ** 2 + (x - column) ** 2 <= radius * radius:
                    taken[y, x] = True
    return kept[:number].copy()


@njit(cache=True, nogil=True)
def _row_sums(image: Floats, half: Integers, reach: int) -> Floats:  # pragma: no cover
    rows, columns = image.shape
    result = np.zeros(image.shape)
    running = np.zeros(columns + 1)
    for source in range(rows):
        for column in range(columns):
            running[column + 1] = running[column] + image[source, column]
        for k in range(2 * reach + 1):
            row = source + k - reach
            if row < 0 or row >= rows:
                continue
            width = half[k]
            for column in range(columns):
                result[row, column] += running[min(columns, column + width + 1)] - running[max(0, column - width)]
    return result
