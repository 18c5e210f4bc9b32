"""Scans of which some rows lie beside their places: a fault of the scan generator or of the camera's triggers.

Two witnesses. The rows of registered neighbours know where a row belongs, but shine differently and are parallel to it
only nearly. The next row of the same scan was taken under the same conditions: the pictures of all its regions go on
from row to row, and a row that lies beside its place breaks them all at once, by the same number of columns.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.apertures.row_curves import best_more, best_path, best_two, evidence, row_correlations
from tasks.apertures.segment import Segmentation
from tasks.apertures.similarity import moved

LEAST = 3
"""Columns: less may be the parallax of a crystal or the slope of a facet."""
GAIN = 0.05
"""Evidence per column and lit row that two shifts have over one: of 678 simulated sound scans 0.026 at most, of 120
with shifted rows 0.089 at least (`python -m tests.benchmarks.scan_faults rows --first 100 --seeds 38`)."""
SHARE = 0.08
"""Of the rows that hold crystals: so many at least have either shift. Fewer are the slant of a facet at its tip, which
gains up to 0.051; of the 120 scans 0.17 at least."""
BRIGHT = 0.3
"""Root mean square of a row about its mean, of the brightest row's, from which on it holds crystals."""
FEWEST = 4
"""Rows that hold crystals and have one shift: two faint ones, first and last of a crystal, agree on one by chance."""
NEIGHBOURS = 6
"""Scans with which one is compared."""
POWER = 1.0 / 3.0
"""Of the Bragg electrons: where a crystal is counts, not how brightly it shines at one tilt."""


WITHIN = 2.0
"""Weight of the next row's word against that of registered scans: its conditions are the same. With 1 two of 84 shifts
came out a column wrong, with 2 and 3 one (seeds 100 to 126)."""
MOST = 4
"""Different shifts of one scan. Chosen, not measured: two is usual, three where rows go to both sides."""


class ShiftedRows(NamedTuple):
    """``rows`` of ``scan``, of those that hold crystals, lie ``columns`` beside the others.

    ``shift`` (ny,): by how many columns further on than its file position each row of the scan was taken; 0 for most.
    """

    scan: int
    rows: int
    columns: int
    shift: NDArray[np.int64]


def scans_with_shifted_rows(segmentations: Sequence[Segmentation], offsets: NDArray[np.float64]) -> list[ShiftedRows]:
    """Return the scans of which the rows are explained much better with two shifts than with one.

    A scan that is shifted as a whole has drifted: registration has taken care of it.
    """
    pictures = [_picture(one) for one in segmentations]
    found = []
    for scan, segmentation in enumerate(segmentations):
        others = sorted((j for j in range(len(pictures)) if j != scan), key=lambda j: (abs(j - scan), j))[:NEIGHBOURS]
        if len(others) >= 2:
            shifts = [np.rint(offsets[scan] - offsets[other]).astype(np.int64) for other in others]
            references = [moved(pictures[other][None], shift)[0] for other, shift in zip(others, shifts, strict=True)]
            one = _shifted(scan, pictures[scan], references, _channels(segmentation))
            found += [] if one is None else [one]
    return found


def _picture(segmentation: Segmentation) -> NDArray[np.float64]:
    bragg = np.maximum(segmentation.maps["bragg"], 0.0)
    return np.asarray(ndimage.gaussian_filter(bragg, (0.0, 0.5)) ** POWER)


def _channels(segmentation: Segmentation) -> NDArray[np.float64]:
    """Return the pictures of a scan's regions, (k, ny, nx), each of the norm 1."""
    weights = segmentation.factors.weights
    images = np.moveaxis(weights.reshape(*segmentation.good.shape, -1), -1, 0)
    smooth = np.sqrt(np.maximum(ndimage.gaussian_filter(images, (0.0, 0.0, 0.5)), 0.0))
    norm = np.sqrt(np.square(smooth).sum(axis=(1, 2), keepdims=True))
    return np.asarray(smooth / np.maximum(norm, 1e-12))


def _shifted(
    scan: int, picture: NDArray[np.float64], references: list[NDArray[np.float64]], channels: NDArray[np.float64]
) -> ShiftedRows | None:
    strength = np.minimum(
        _strength(np.median([one.std(axis=1) for one in references], axis=0)), _strength(picture.std(axis=1))
    )
    lit = strength > 1.0
    if lit.sum() < FEWEST:
        return None
    curves = np.array([row_correlations(picture[None], one[None]) for one in references])
    against = evidence(curves.mean(axis=0))
    between = WITHIN * evidence(row_correlations(channels[:, :-1], channels[:, 1:]))
    levels = _levels(against * lit[:, None], between * (lit[1:] & lit[:-1])[:, None], lit)
    if len(levels) < 2:
        return None
    faint = np.minimum(strength, 1.0) ** 2
    _, path = best_path(against * faint[:, None], between * np.minimum(faint[1:], faint[:-1])[:, None], levels)
    values, count = np.unique(path[lit], return_counts=True)
    most = int(values[np.argmax(count)])
    shift = np.zeros(len(path), dtype=np.int64)
    for level in np.unique(path[path != most]):
        groups = (path == most) & lit, (path == level) & lit
        shift[path == level] = _columns(evidence(curves), between, groups, near=int(level) - most)
    return ShiftedRows(scan, int(count.sum() - count.max()), int(np.ptp(shift)), shift)


def _columns(
    curves: NDArray[np.float64],
    between: NDArray[np.float64],
    groups: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    *,
    near: int,
) -> int:
    """Return by how many columns the rows of the second group lie further on than those of the first.

    Every registered scan may lie a little beside its place, by columns that it shares with both groups: its evidence,
    (n_scans, ny, n), is that at the best of its places. The best within two columns of `near`.
    """
    one, two = (curves[:, rows].sum(axis=1) for rows in groups)
    down, up = groups[0][:-1] & groups[1][1:], groups[1][:-1] & groups[0][1:]
    number, middle = curves.shape[2], (between.shape[1] - 1) // 2
    found = {}
    for columns in range(near - 2, near + 3):
        first, last = max(0, -columns), min(number, number - columns)
        seen = (one[:, first:last] + two[:, first + columns : last + columns]).max(axis=1).mean()
        steps = [between[rows, middle + way].sum() for rows, way in ((down, -columns), (up, columns)) if rows.any()
                 and abs(way) <= middle]  # fmt: skip
        found[columns] = float(seen + sum(steps))
    return max(found, key=lambda columns: found[columns])


def _levels(against: NDArray[np.float64], between: NDArray[np.float64], lit: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the shifts that the rows have, as indices into those that are tried: one unless more gain enough."""
    totals = [best_path(against, between, np.array([index]))[0] for index in range(against.shape[1])]
    levels, total = np.array([int(np.argmax(totals))]), max(totals)
    while len(levels) < MOST:
        if len(levels) == 1:
            more, grown = best_two(against, between, LEAST)
        else:
            more, grown = best_more(against, between, levels, LEAST)
        _, path = best_path(against, between, grown)
        number = [int((path[lit] == level).sum()) for level in grown]
        if more - total < GAIN * lit.sum() or min(number) < max(SHARE * lit.sum(), FEWEST):
            break
        total, levels = more, grown
    return levels


def _strength(deviation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the deviation of every row over that from which on it holds crystals."""
    return np.asarray(deviation / (BRIGHT * max(float(deviation.max()), 1e-12)))
