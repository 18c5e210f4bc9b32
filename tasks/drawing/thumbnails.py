"""Small pictures of scans with the crystals on them, for an overview of all tilts."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]

DARK, BRIGHT = 0.01, 0.99
"""Shares of positions that are drawn black and white: single odd positions do not set a thumbnail's contrast. Chosen,
not measured."""
TINT = 0.55
"""Of a crystal's colour where it covers a cell wholly; the rest is the scan. Chosen, not measured: both are seen."""


def thumbnail(
    counts: NDArray[np.integer], regions: Sequence[tuple[NDArray[np.bool_], Colour]], *, size: int
) -> NDArray[np.uint8]:
    """Return a scan as a picture (rows, columns, 4) of red, green, blue and opacity, row 0 first.

    Parameters
    ----------
    counts
        (ny, nx): what is drawn in grey.
    regions
        Masks (ny, nx) with their colours, drawn over each other in this order.
    size
        Rows and columns at most; positions are averaged in squares.
    """
    step = max(1, -(-max(counts.shape) // size))
    grey = _averaged(counts.astype(np.float64), step)
    low, high = np.quantile(grey, (DARK, BRIGHT))
    level = np.clip((grey - low) / (high - low), 0.0, 1.0) if high > low else np.zeros_like(grey)
    picture = np.repeat(255.0 * level[..., None], 3, axis=2)
    for mask, colour in regions:
        share = TINT * _averaged(mask.astype(np.float64), step)[..., None]
        picture = (1.0 - share) * picture + share * np.array(colour, dtype=np.float64)
    out = np.full((*grey.shape, 4), 255, dtype=np.uint8)
    out[..., :3] = np.rint(picture).astype(np.uint8)
    return out


def _averaged(image: NDArray[np.float64], step: int) -> NDArray[np.float64]:
    """Return the means over squares of `step` positions; those at the far edges are over what there is."""
    rows, columns = (-size % step for size in image.shape)
    sums, positions = (
        np.pad(one, ((0, rows), (0, columns)))
        .reshape((image.shape[0] + rows) // step, step, (image.shape[1] + columns) // step, step)
        .sum(axis=(1, 3))
        for one in (image, np.ones_like(image))
    )
    return sums / positions
