"""What a sound detector would have counted between the reflections, from the rings about the direct beam."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

RING_PX = 4.0
"""Width of a ring: 4 * 2 pi r pixels. Chosen, not measured: a halo falls by a tenth over some 10 px."""
SPOT_CELLS_PX = (8,)
"""Edge of the cells whose emptiness tells how often anything comes: about a spot, so that a spot counts once."""
MOST_IN_CELL = 10.0
"""Counts of a cell above which its emptiness is not asked in a search: chance then empties none (exp(-10)), and what
does may be the very fault that is looked for. `GAP_CELLS_PX` ask nevertheless, when a fault is judged by the others."""
GAP_CELLS_PX = (8, 16, 32, 64)
"""The same, and as wide as the gaps that reflections leave between Laue circles."""
CLIP_DEVIATIONS, CLIP_COUNTS = 3.5, 2.0
"""Pixels above the level by so many Poisson deviations plus so many counts are spots; as in the background of frames,
where the clipped mean is then low by 0.1 % at most."""
LEAST_EMPTY = 0.02
"""Of the cells of a ring: where fewer are empty, their number tells no rate any more, and spots no longer matter to it.
Chosen, not measured."""


class Rings(NamedTuple):
    """Rings of 4 px about the direct beam: ``number`` (slow, fast) of each pixel, how many there are, their centre."""

    number: NDArray[np.int64]
    size: int
    centre: NDArray[np.float64]


def rings_about(centre: NDArray[np.float64], shape: tuple[int, ...]) -> Rings:
    """Return the rings of a detector of this shape (slow, fast) about a centre, (2,) px."""
    radius = np.hypot(np.arange(shape[0])[:, None] - centre[0], np.arange(shape[1])[None, :] - centre[1])
    number = (radius / RING_PX).astype(np.int64)
    return Rings(number, int(number.max()) + 1, centre)


def expected_counts(
    pattern: NDArray[np.unsignedinteger],
    valid: NDArray[np.bool_],
    rings: Rings,
    cells_px: tuple[int, ...] = SPOT_CELLS_PX,
) -> NDArray[np.float64]:
    """Return the counts expected in every pixel (slow, fast) if nothing were wrong, from the valid ones of its ring.

    The level of a ring is the smallest of its clipped mean and of the rates at which cells are hit at all: with strong
    spots on no background the mean says nothing of what lies between them.

    Parameters
    ----------
    cells_px
        Edges of the cells: none, `SPOT_CELLS_PX` or, where wide gaps matter, `GAP_CELLS_PX`.
    """
    return np.asarray(ring_levels(pattern, valid, rings, cells_px)[rings.number])


def ring_levels(
    pattern: NDArray[np.unsignedinteger],
    valid: NDArray[np.bool_],
    rings: Rings,
    cells_px: tuple[int, ...] = SPOT_CELLS_PX,
) -> NDArray[np.float64]:
    """Return the counts per pixel (rings,) between the reflections; see `expected_counts`."""
    mean = _clipped_means(pattern, valid, rings)
    level = mean
    for edge in cells_px:
        few = mean * edge**2 <= MOST_IN_CELL if cells_px == SPOT_CELLS_PX else True
        level = np.where(few, np.minimum(level, _hit_rates(pattern, valid, rings, edge)), level)
    # near the beam a level falls steeply within its ring: at its outer edge it is the next one's
    return np.minimum(level, np.append(level[1:], level[-1:]))


def _clipped_means(pattern: NDArray[np.unsignedinteger], valid: NDArray[np.bool_], rings: Rings) -> NDArray[np.float64]:
    level = np.full(rings.size, np.inf)
    for _ in range(4):
        limit = level + CLIP_DEVIATIONS * np.sqrt(level) + CLIP_COUNTS
        number, total = _ring_sums(pattern, valid, rings.number, limit)
        level = total / np.maximum(number, 1.0)
    return level


@njit(cache=True, nogil=True)
def _ring_sums(
    pattern: NDArray[np.unsignedinteger],
    valid: NDArray[np.bool_],
    ring: NDArray[np.int64],
    limit: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # pragma: no cover
    number, total = np.zeros(len(limit)), np.zeros(len(limit))
    for row in range(pattern.shape[0]):
        for column in range(pattern.shape[1]):
            if valid[row, column] and pattern[row, column] <= limit[ring[row, column]]:
                number[ring[row, column]] += 1.0
                total[ring[row, column]] += pattern[row, column]
    return number, total


def _hit_rates(
    pattern: NDArray[np.unsignedinteger], valid: NDArray[np.bool_], rings: Rings, edge: int
) -> NDArray[np.float64]:
    """Return hits per pixel (rings,) from the share of cells without any; infinite where hardly a cell is empty."""
    rows, columns = (extent // edge for extent in pattern.shape)
    cut = (slice(0, rows * edge), slice(0, columns * edge))
    shape = (rows, edge, columns, edge)
    hit = ((pattern > 0) & valid)[cut].reshape(shape).any(axis=(1, 3))
    whole = valid[cut].reshape(shape).all(axis=(1, 3))
    middle = edge * (np.arange(max(rows, columns, 1)) + 0.5) - 0.5
    radius = np.hypot(middle[:rows, None] - rings.centre[0], middle[None, :columns] - rings.centre[1])
    wide = 2.0 * edge
    member = (radius / wide).astype(np.int64)
    size = int(member.max(initial=0)) + 1
    number = np.bincount(member[whole], minlength=size)
    empty = np.bincount(member[whole & ~hit], minlength=size)
    rate = -np.log((empty + 0.5) / (number + 1.0)) / edge**2
    rate = np.where(empty > LEAST_EMPTY * number, rate, np.inf)
    at = np.minimum(((np.arange(rings.size) + 0.5) * RING_PX / wide).astype(np.int64), size - 1)
    return np.asarray(rate[at])
