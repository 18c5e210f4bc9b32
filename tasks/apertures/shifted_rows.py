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

from tasks.apertures.row_curves import best_more, best_path, best_slope, best_two, evidence, row_correlations
from tasks.apertures.segmentation import Segmentation
from tasks.apertures.similarity import moved

LEAST = 3
"""Columns: less may be the parallax of a crystal or the slope of a facet."""
GAIN = 0.05
"""Evidence per column and lit row that two shifts have over one: of 678 simulated sound scans 0.026 at most, of 120
with shifted rows 0.089 at least (`python -m tests.benchmarks.scan_faults rows --first 100 --seeds 38`)."""
SHARE = 0.08
"""Of the rows that hold crystals: so many at least have either shift. Fewer are the slant of a facet at its tip, which
gains up to 0.051; of the 120 scans 0.17 at least."""
GAIN_OF_FEW = 0.1
"""The same where fewer than `FEWEST` rows have one of the shifts: two faint rows, first and last of a crystal, agree on
one by chance. They gained up to 0.053 in sound scans (seeds 100 to 137, and the repeats of the tests)."""
RECOGNISED = 0.1
"""Evidence per column of the lit rows at the places found, at least: a correlation of 0.43. Pictures without a contour,
as of a crystal that fills the field, have 0.03 at most, scans with crystals 0.23 at least (seeds 100 to 137)."""
BRIGHT = 0.3
"""Root mean square of a row about its mean, of the brightest row's, from which on it holds crystals."""
FEWEST = 4
"""Rows that hold crystals, at least; and that have one shift, unless they gain `GAIN_OF_FEW`."""
NEIGHBOURS = 6
"""Scans with which one is compared."""
POWER = 1.0 / 3.0
"""Of the Bragg electrons: where a crystal is counts, not how brightly it shines at one tilt."""
WITHIN = 2.0
"""Weight of the next row's word against that of registered scans: its conditions are the same. With 1 two of 84 shifts
came out a column wrong, with 2 and 3 one (seeds 100 to 126)."""
STAY = 0.05
"""Evidence for no change from row to row: more than that of rows without crystals, whose correlations of up to 0.3 are
noise, and a tenth of what rows with crystals have. Chosen, not measured: it keeps empty rows with their neighbours."""
MOST = 4
"""Different shifts of one scan. Chosen, not measured: two is usual, three where rows go to both sides."""

DROPPED = 2
"""Columns by which all rows from one on may lie further on: as many frames were dropped. One is not told from the slope
of a facet: of 337 scans with one dropped frame 3 % passed what a sound one reaches, of those with two 97 %."""
DROPPED_GAIN = 0.03
"""Evidence per column and lit row for that: of 339 sound scans 0.022 at most, of those with two dropped frames 0.038 in
19 of 20 (every second series of seeds 100 to 137, pictures shifted from a random row on)."""

STEEPEST = 16
"""Columns from the first to the last row of a sheared scan, at most. Chosen, not measured: more is another specimen."""
LEAST_RISE = 4
"""Columns: less may be parallax, and costs nothing (`scan_faults distorted`: drift of 3 steps, shear of 2)."""
RISE_GAIN = 0.1
"""Evidence per column and lit row that a rise has over one place: of the 678 sound scans 0.047 at most with a rise of
four columns and more. None of the 120 with shifted rows is explained better by a rise."""


class ShiftedRows(NamedTuple):
    """``rows`` of ``scan``, of those that hold crystals, lie ``columns`` beside the others.

    ``shift`` (ny,): by how many columns further on than its file position each row of the scan was taken; 0 for most.
    """

    scan: int
    rows: int
    columns: int
    shift: NDArray[np.int64]
    sheared: bool = False
    """Whether the rows lie further and further on: by `columns` from the first to the last."""


def scans_with_shifted_rows(segmentations: Sequence[Segmentation], offsets: NDArray[np.float64]) -> list[ShiftedRows]:
    """Return the scans of which the rows are explained much better with several shifts than with one.

    Three columns and more between any rows; two where all rows from one on lie further on, as if frames were dropped.

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
    bragg = np.maximum(segmentation.map_of("bragg"), 0.0)
    return np.asarray(ndimage.gaussian_filter(bragg, (0.0, 0.5)) ** POWER)


def _channels(segmentation: Segmentation) -> NDArray[np.float64]:
    """Return the pictures of a scan's regions, (k, ny, nx), each of the norm 1."""
    images = np.moveaxis(segmentation.weights.reshape(*segmentation.scan_shape, -1), -1, 0)
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
    bright = against * lit[:, None], between * (lit[1:] & lit[:-1])[:, None]
    levels = _levels(*bright, lit)
    rival, path = best_path(*bright, levels)
    if against[np.arange(len(path)), path][lit].mean() < RECOGNISED:
        return None
    sheared = _sheared(scan, *bright, lit, rival=rival)
    if sheared is not None or len(levels) < 2:
        return sheared or _begun(scan, *bright, lit)
    faint = np.minimum(strength, 1.0) ** 2
    steps = between * np.minimum(faint[1:], faint[:-1])[:, None]
    steps[:, (between.shape[1] - 1) // 2] += STAY
    _, path = best_path(against * faint[:, None], steps, levels)
    values, count = np.unique(path[lit], return_counts=True)
    most = int(values[np.argmax(count)])
    shift = np.zeros(len(path), dtype=np.int64)
    for level in np.unique(path[path != most]):
        groups = (path == most) & lit, (path == level) & lit
        shift[path == level] = _columns(evidence(curves), between, groups, near=int(level) - most)
    return ShiftedRows(scan, int(count.sum() - count.max()), int(np.ptp(shift)), shift)


def _sheared(
    scan: int, against: NDArray[np.float64], between: NDArray[np.float64], lit: NDArray[np.bool_], *, rival: float
) -> ShiftedRows | None:
    """Return a scan whose rows lie further and further on, if that explains them better than `rival`; or None."""
    total, path = best_slope(against, between, STEEPEST)
    rise = int(path[-1] - path[0])
    single = max(best_path(against, between, np.array([index]))[0] for index in range(against.shape[1]))
    if total <= rival or abs(rise) < LEAST_RISE or total - single < RISE_GAIN * lit.sum():
        return None
    shift = path - int(path[len(path) // 2])
    return ShiftedRows(scan, int(lit.sum()), abs(rise), shift, sheared=True)


def _begun(
    scan: int, against: NDArray[np.float64], between: NDArray[np.float64], lit: NDArray[np.bool_]
) -> ShiftedRows | None:
    """Return a scan of which all rows from one on lie `DROPPED` columns further on, or None.

    So little is believed of nothing else: there is one place to choose, and few ways to be wrong. A scan that drifted
    a little is none of these: its rows go on evenly.
    """
    before = np.concatenate([np.zeros((1, against.shape[1])), np.cumsum(against, axis=0)])
    middle = (between.shape[1] - 1) // 2
    still = between[:, middle].sum()
    begin, end = np.flatnonzero(lit)[[FEWEST, -FEWEST]] if lit.sum() >= 2 * FEWEST else (0, 0)
    totals = {}
    for row in range(begin, end + 1 if end else 0):
        both = before[row, :-DROPPED] + (before[-1] - before[row])[DROPPED:]
        totals[row] = both.max() + still - between[row - 1, middle] + between[row - 1, middle - DROPPED]
    first = max(totals, key=lambda row: totals[row], default=0)
    if not totals or totals[first] - before[-1].max() - still < DROPPED_GAIN * lit.sum():
        return None
    if totals[first] <= best_slope(against, between, STEEPEST)[0]:
        return None
    shift = np.where(np.arange(len(lit)) >= first, DROPPED, 0)
    later = int(lit[first:].sum())
    if 2 * later > lit.sum():
        return ShiftedRows(scan, int(lit.sum()) - later, DROPPED, shift - DROPPED)
    return ShiftedRows(scan, later, DROPPED, shift)


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
        least = GAIN if min(number) >= FEWEST else GAIN_OF_FEW
        if more - total < least * lit.sum() or min(number) < SHARE * lit.sum():
            break
        total, levels = more, grown
    return levels


def _strength(deviation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the deviation of every row over that from which on it holds crystals."""
    return np.asarray(deviation / (BRIGHT * max(float(deviation.max()), 1e-12)))
