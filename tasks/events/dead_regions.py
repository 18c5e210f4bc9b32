"""Dead rows, columns, blocks and sectors of a counted pattern: empty rectangles with sharp, straight edges.

A rectangle in which nothing was counted is dead if so much was expected in it that chance and the errors of the
expectation are out of the question, and if it ends sharply: just outside of every edge, along its whole length, counts
are what they should be. What scatters nothing by nature (between reflections, beyond a lens's aperture, between Laue
circles) fades, is round, or is not expected to count.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.events.empty_rectangles import PixelRectangle, heaviest_empty, integral, sum_within
from tasks.events.expected import GAP_CELLS_PX, Rings, expected_counts

LEAST_EXPECTED = 50.0
"""Counts in an empty rectangle: chance makes none of 25 among a million rectangles (exp(-25) = 1e-11); the rest is for
errors of the expectation up to a factor of two. The heaviest in 64 sound scans held 20 (`python -m
tests.benchmarks.validity`, seeds 1 to 4)."""
LEAST_OF_LINE = 25.0
"""The same for a whole row or column: there are a thousand of them, not a million rectangles."""
STRIP_COUNTS = 8.0
"""Expected in each part of a strip outside an edge: it then holds less than a quarter by chance once in 330."""
STRIP_SHARE = 0.25
"""Of what is expected, that a part must hold to be alive: see STRIP_COUNTS."""
STRIP_PX = (2, 4, 8, 16, 32)
"""Widths of the strips, the narrowest that holds enough: a sharp edge is seen in 2 px where counts are many."""
PARTS = 4
"""Along an edge: a round gap touches a rectangle in its middle, and is wide open at its corners."""
SECTOR_SHARE = 0.05
"""Of the detector: more is a sector. Chosen, not measured: 29 of 576 rows; the sectors of known cameras are a quarter,
an eighth or a sixteenth."""
MOST_REGIONS = 64
"""Of one pattern. Chosen, not measured: more dead regions than rows of a small detector are another kind of image."""


class EmptyRegion(NamedTuple):
    """An empty rectangle and the counts that were expected in it."""

    place: PixelRectangle
    expected: float


def dead_regions(pattern: NDArray[np.unsignedinteger], valid: NDArray[np.bool_], rings: Rings) -> list[EmptyRegion]:
    """Return the dead rectangles of a sum of exposures, heaviest first.

    Parameters
    ----------
    pattern, valid
        (slow, fast). Pixels that are not valid neither count nor end a rectangle.
    rings
        About the direct beam.
    """
    found: list[EmptyRegion] = []
    alive = valid
    for _ in range(2):  # with what is dead the rings' levels are too low: what was found is left out of them
        expected = np.where(alive, expected_counts(pattern, alive, rings), 0.0)
        sharp = _sharp(_candidates(pattern, alive, expected), pattern, expected, alive)
        more = _expected_without(sharp, pattern, alive, rings)
        if not more:
            break
        found += more
        alive = valid & ~covered_by(found, valid.shape)
    return sorted(found, key=lambda one: -one.expected)


def covered_by(regions: list[EmptyRegion], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the pixels (slow, fast) of some rectangles."""
    inside = np.zeros(shape, dtype=bool)
    for region in regions:
        inside[region.place.pixels] = True
    return inside


def _candidates(
    pattern: NDArray[np.unsignedinteger], valid: NDArray[np.bool_], expected: NDArray[np.float64]
) -> list[EmptyRegion]:
    occupied = (pattern > 0) & valid
    left = expected.copy()
    found: list[EmptyRegion] = []
    while len(found) < MOST_REGIONS:
        place, weight = heaviest_empty(occupied, left)
        if weight < LEAST_EXPECTED:
            break
        place = _about(place, left > 0)
        found.append(EmptyRegion(place, weight))
        left[place.pixels] = 0.0
    return [*found, *_whole_lines(occupied, left)]


def _whole_lines(occupied: NDArray[np.bool_], expected: NDArray[np.float64]) -> list[EmptyRegion]:
    """Return the rows and columns without an occupied pixel in which enough is expected."""
    rows, columns = occupied.shape
    due = expected.sum(axis=1), expected.sum(axis=0)
    across = np.flatnonzero(~occupied.any(axis=1) & (due[0] >= LEAST_OF_LINE)).tolist()
    down = np.flatnonzero(~occupied.any(axis=0) & (due[1] >= LEAST_OF_LINE)).tolist()
    return [
        *(EmptyRegion(PixelRectangle(row, 0, row + 1, columns), float(due[0][row])) for row in across),
        *(EmptyRegion(PixelRectangle(0, column, rows, column + 1), float(due[1][column])) for column in down),
    ]


def _least_expected(place: PixelRectangle, shape: tuple[int, ...]) -> float:
    line = place.area in shape and (place.right - place.left == shape[1] or place.bottom - place.top == shape[0])
    return LEAST_OF_LINE if line else LEAST_EXPECTED


def _about(place: PixelRectangle, judged: NDArray[np.bool_]) -> PixelRectangle:
    """Return the least rectangle that holds the judged pixels of another."""
    inside = judged[place.pixels]
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return PixelRectangle(
        place.top + int(rows[0]), place.left + int(columns[0]), place.top + int(rows[-1]) + 1,
        place.left + int(columns[-1]) + 1,
    )  # fmt: skip


def _sharp(
    candidates: list[EmptyRegion],
    pattern: NDArray[np.unsignedinteger],
    expected: NDArray[np.float64],
    valid: NDArray[np.bool_],
) -> list[EmptyRegion]:
    """Return the candidates whose edges are sharp and straight."""
    if not candidates:
        return []
    outside = ~covered_by(candidates, valid.shape)
    sums = integral(np.where(outside, expected, 0.0)), integral(np.where(outside & valid, pattern, 0.0))
    return [one for one in candidates if _ends_sharply(one.place, sums, valid.shape)]


def _expected_without(
    candidates: list[EmptyRegion], pattern: NDArray[np.unsignedinteger], valid: NDArray[np.bool_], rings: Rings
) -> list[EmptyRegion]:
    """Return the candidates in which enough is expected by what lies outside of them, wide gaps considered.

    Other candidates as large as sectors are left out of the expectation too: several may be dead at once.
    """
    large = [one for one in candidates if one.place.area >= SECTOR_SHARE * valid.size]
    kept = []
    for one in candidates:
        others = valid & ~covered_by([*large, one], valid.shape)
        here = valid[one.place.pixels]
        due = expected_counts(pattern, others, rings, GAP_CELLS_PX)[one.place.pixels][here].sum()
        if due >= _least_expected(one.place, valid.shape):
            kept.append(EmptyRegion(one.place, float(due)))
    return kept


def _ends_sharply(
    place: PixelRectangle, sums: tuple[NDArray[np.float64], NDArray[np.float64]], shape: tuple[int, ...]
) -> bool:
    """Tell whether every part of the edges that can be judged, and at least one, has live pixels beside it."""
    judged = 0
    for part in _edge_parts(place):
        for width in STRIP_PX:
            strip = _strip(place, part, width, shape)
            due = sum_within(sums[0], strip)
            if due >= STRIP_COUNTS:
                if sum_within(sums[1], strip) < STRIP_SHARE * due:
                    return False
                judged += 1
                break
    return judged > 0


def _edge_parts(place: PixelRectangle) -> list[tuple[int, int, int]]:
    """Return (side, first, last): above, below, before, behind, each edge cut into at most `PARTS`."""
    parts = []
    for side in range(4):
        first, last = (place.left, place.right) if side < 2 else (place.top, place.bottom)
        cuts = np.unique(np.linspace(first, last, min(PARTS, max((last - first) // 8, 1)) + 1).astype(int)).tolist()
        parts += [(side, begin, end) for begin, end in pairwise(cuts)]
    return parts


def _strip(place: PixelRectangle, part: tuple[int, int, int], width: int, shape: tuple[int, ...]) -> PixelRectangle:
    side, first, last = part
    if side == 0:
        return PixelRectangle(max(place.top - width, 0), first, place.top, last)
    if side == 1:
        return PixelRectangle(place.bottom, first, min(place.bottom + width, shape[0]), last)
    if side == 2:
        return PixelRectangle(first, max(place.left - width, 0), last, place.left)
    return PixelRectangle(first, place.right, last, min(place.right + width, shape[1]))
