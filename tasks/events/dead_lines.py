"""Rows and columns that are dead in some scans only, or always count too much.

One row of one scan holds too few counts to tell. Its counts over the scans tell: a sound row of few counts is empty now
and then, a row that is dead in some scans is empty more often than Poisson's law allows.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

LEAST_EVIDENCE = 30.0
"""Logarithm of the likelihood ratio of a line that is dead in some scans to one that never is: by chance exp(-30) for
each of some 1000 lines; the rest is for errors of the expectation."""
CERTAIN = 0.99
"""Probability from which an empty line of a scan is taken for dead, given that the line is dead in some."""
AROUND = 8
"""Lines on either side whose evidence is subtracted: what reflections leave empty is wider than a line."""
HOT_LINE, HOT_COUNTS = 3.0, 3.0
"""A pixel of a hot line counts 3 times the median of the seven lines about it, plus 3: what lies across a line is wider
than one pixel, but for spots (see HOT_SHARE)."""
HOT_SHARE = 0.6
"""Of the pixels of a line that must be hot: a row of spots that stay excited at all tilts fills some tenth of it."""


class DeadLine(NamedTuple):
    """The number of a row or column, and the scans (k,) in which it is dead."""

    line: int
    scans: NDArray[np.int64]


def lines_dead_in_some(counts: NDArray[np.float64], expected: NDArray[np.float64]) -> list[DeadLine]:
    """Return the lines that are dead in some scans.

    Parameters
    ----------
    counts, expected
        (scans, lines), sums over the valid pixels of a line in each scan; the expectation is zero where a line is
        known to be dead.
    """
    share, evidence = _mixture(counts, expected)
    typical = ndimage.median_filter(evidence, size=2 * AROUND + 1, mode="nearest")
    found = []
    for line in np.flatnonzero(evidence - typical > LEAST_EVIDENCE).tolist():
        empty = (counts[:, line] == 0) & (expected[:, line] > 0)
        by_chance = (1.0 - share[line]) * np.exp(-expected[:, line])
        dead = empty & (share[line] / np.maximum(share[line] + by_chance, 1e-300) > CERTAIN)
        if dead.any():
            found.append(DeadLine(line, np.flatnonzero(dead)))
    return found


def _mixture(
    counts: NDArray[np.float64], expected: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return, per line, the share of scans in which it is dead and the evidence for that (maximum likelihood)."""
    judged = expected > 0
    empty = judged & (counts == 0)
    alive = np.exp(-np.minimum(expected, 700.0))
    number = np.maximum(judged.sum(axis=0), 1)
    share = 0.5 * empty.sum(axis=0) / number
    for _ in range(20):
        dead = np.where(empty, share / np.maximum(share + (1.0 - share) * alive, 1e-300), 0.0)
        share = dead.sum(axis=0) / number
    share = np.minimum(share, 1.0 - 1e-9)
    gain = np.where(empty, np.log(np.maximum(share + (1.0 - share) * alive, 1e-300)) + np.minimum(expected, 700.0), 0.0)
    loss = np.where(judged & ~empty, np.log1p(-share), 0.0)
    return share, np.asarray((gain + loss).sum(axis=0))


def hot_lines(pattern: NDArray[np.unsignedinteger], valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the rows of a sum of scans, (slow,), most pixels of which count far more than those of the rows beside.

    For columns hand in the transposed pattern.
    """
    counts = np.where(valid, pattern, 0).astype(np.float64)
    beside = ndimage.median_filter(counts, size=(7, 1), mode="nearest")
    hot = valid & (counts > HOT_LINE * beside + HOT_COUNTS)
    number = valid.sum(axis=1)
    return np.asarray((number > 0) & (hot.sum(axis=1) >= HOT_SHARE * number))
