"""Shadows: a beam stop and its arm, or anything else that stands still between sample and detector.

Unlike a dead block a shadow has fuzzy edges and any shape. Its core holds hardly anything of what the rings about the
beam let expect; around the core everything belongs to it that is still darker than it should be.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.events.expected import GAP_CELLS_PX, RING_PX, Rings, ring_levels

BOXES_PX = ((5, 5), (11, 11))
"""Boxes (slow, fast) in which counts are compared with what is expected: as wide as most spots, and, where counts are
few, as wide as a stop."""
ARM_BOXES_PX = ((45, 5), (5, 45))
"""The same for the arm of a stop, looked for only from the stop on: along the tilt axis reflections leave gaps as long.
"""
DARK = 0.2
"""Of what is expected: a box with less lies in the core. Chosen, not measured: thickness and descan change a halo by a
half; a stop lets next to nothing through."""
BOX_COUNTS = 20.0
"""Expected in a box that can be judged: less than a fifth of them comes by chance once in 10^5."""
LEAST_AREA_PX = 50
"""Of a core: gaps between reflections that stay excited over all tilts are narrower. Chosen, not measured."""
LEAST_MISSING = 100.0
"""Counts that a core lacks: several boxes, each of which chance alone would empty once in 10^5."""
MATE_SHARE = 0.5
"""Of what is expected at the inverse of a dark place, below which that is dark too. The sum over the tilts is
symmetric, a stop and its arm stand on one side. Without this limit a series without background (seed 21 of the
benchmark) shows two gaps on the tilt axis as shadows."""
MOST_SHADOWS = 16
"""Dark places that are judged, the largest first. Chosen, not measured: each costs some 30 ms; there is one stop."""
EDGE_PX = 12
"""Reach of a fuzzy edge, and of a round stop's, over which the level falls from all to nothing. Chosen, not measured: a
wider fall is that of a halo."""
FULL = 0.85
"""Of what is expected, from which a pixel lies outside of the edge: the rest is within what a halo varies by."""
MARGIN_PX = 3
"""Added all round: close to the beam the halo is so steep that the dim edge of a stop passes for its own fall."""
EDGE_SIGMA_PX = 1.5
"""Of the Gaussian under which the edge is looked at: sharp enough to follow it, wide enough to hold counts."""


def shadowed(pattern: NDArray[np.unsignedinteger], exposure: NDArray[np.float64], rings: Rings) -> NDArray[np.bool_]:
    """Return the pixels (slow, fast) that lie in a shadow.

    Every dark place is judged by what the rest of its rings lets expect, wide gaps between reflections considered.

    Parameters
    ----------
    pattern
        The sum of all scans.
    exposure
        (slow, fast), the share of the scans in which a pixel was measured: zero where it never was.
    """
    counts = np.where(exposure > 0, pattern, 0)
    labels, number = ndimage.label(_dark(counts, _expected(counts, exposure, rings, exposure > 0, ())))
    area = np.bincount(labels.ravel(), minlength=number + 1)
    large = np.flatnonzero(area[1:] >= LEAST_AREA_PX) + 1
    core = np.zeros(pattern.shape, dtype=bool)
    for label in large[np.argsort(-area[large], kind="stable")][:MOST_SHADOWS].tolist():
        here = labels == label
        around = ndimage.binary_dilation(here, iterations=EDGE_PX)
        expected = _expected(counts, exposure, rings, (exposure > 0) & ~around & ~core, GAP_CELLS_PX)
        dark = here & _dark(counts, expected)
        enough = dark.sum() >= LEAST_AREA_PX and (expected - counts)[dark].sum() >= LEAST_MISSING
        if enough and not _mate_is_dark(dark, counts, expected, rings):
            core |= dark
    if not core.any():
        return core
    around = ndimage.binary_dilation(core, iterations=EDGE_PX)
    expected = _expected(counts, exposure, rings, (exposure > 0) & ~around, ())
    arm = _dark(counts, expected, ARM_BOXES_PX)
    core = np.asarray(ndimage.binary_propagation(core, mask=core | arm))
    return _with_its_edge(core, counts.astype(np.float64), expected)


def _mate_is_dark(
    dark: NDArray[np.bool_], counts: NDArray[np.unsignedinteger], expected: NDArray[np.float64], rings: Rings
) -> bool:
    """Tell whether a place away from the beam is dark on the other side of it too: a gap between reflections is."""
    rows, columns = np.nonzero(dark)
    if np.hypot(rows - rings.centre[0], columns - rings.centre[1]).min() <= EDGE_PX:
        return False
    mate = np.rint(2.0 * rings.centre[0] - rows).astype(int), np.rint(2.0 * rings.centre[1] - columns).astype(int)
    inside = (mate[0] >= 0) & (mate[0] < dark.shape[0]) & (mate[1] >= 0) & (mate[1] < dark.shape[1])
    due = float(expected[mate[0][inside], mate[1][inside]].sum())
    return due > 0 and float(counts[mate[0][inside], mate[1][inside]].sum()) < MATE_SHARE * due


def _expected(
    counts: NDArray[np.unsignedinteger],
    exposure: NDArray[np.float64],
    rings: Rings,
    others: NDArray[np.bool_],
    cells_px: tuple[int, ...],
) -> NDArray[np.float64]:
    """Return what is expected of every pixel by those of `others` that were measured in all scans."""
    whole = others & (exposure == exposure.max(initial=0.0))
    level = ring_levels(counts, whole, rings, cells_px)
    return _behind_a_round_stop(level, counts, exposure, rings)[rings.number] * exposure


def _dark(
    counts: NDArray[np.unsignedinteger], expected: NDArray[np.float64], boxes: tuple[tuple[int, int], ...] = BOXES_PX
) -> NDArray[np.bool_]:
    """Return the pixels whose box holds hardly anything of what is expected in it."""
    dark = np.zeros(counts.shape, dtype=bool)
    for box in boxes:
        area = box[0] * box[1]
        seen = ndimage.uniform_filter(counts.astype(np.float64), box, mode="constant") * area
        due = ndimage.uniform_filter(expected, box, mode="constant") * area
        dark |= (due >= BOX_COUNTS) & (seen < DARK * due)
    return dark


def _behind_a_round_stop(
    level: NDArray[np.float64],
    counts: NDArray[np.unsignedinteger],
    exposure: NDArray[np.float64],
    rings: Rings,
) -> NDArray[np.float64]:
    """Return the levels with those of the innermost rings raised to that just outside, if all of them are dark.

    A stop about the beam hides whole rings, of which nothing is left to compare with. A halo falls outwards, so that
    at least its level beside the stop is expected behind it.
    """
    measured = np.bincount(rings.number.ravel(), weights=exposure.ravel(), minlength=rings.size)
    mean = np.bincount(rings.number.ravel(), weights=counts.ravel(), minlength=rings.size) / np.maximum(measured, 1e-9)
    reach = max(1, round(EDGE_PX / RING_PX))
    for edge in range(rings.size // 2, 0, -1):
        beside = float(level[edge : edge + reach + 1].max(initial=0.0))
        if beside > 0 and bool((mean[:edge] < DARK * beside).all()):
            raised = level.copy()
            raised[:edge] = np.maximum(level[:edge], beside)
            return raised
    return level


def _with_its_edge(
    core: NDArray[np.bool_], counts: NDArray[np.float64], expected: NDArray[np.float64]
) -> NDArray[np.bool_]:
    near = ndimage.binary_dilation(core, iterations=EDGE_PX)
    seen = ndimage.gaussian_filter(counts, EDGE_SIGMA_PX, mode="constant")
    due = ndimage.gaussian_filter(expected, EDGE_SIGMA_PX, mode="constant")
    dim = near & (seen < FULL * due)
    # grown along what is dim from the core, so that a dim place beside the shadow is not taken in
    grown = ndimage.binary_propagation(core, mask=core | dim)
    return np.asarray(ndimage.binary_dilation(grown, iterations=MARGIN_PX))
