"""Faults that are there in some scans only: regions told scan by scan, lines told by how often they are empty."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tasks.events.dead_lines import lines_dead_in_some
from tasks.events.dead_regions import dead_regions
from tasks.events.empty_rectangles import PixelRectangle
from tasks.events.expected import GAP_CELLS_PX, Rings, expected_counts

SAME_PLACE = 0.7
"""Shared area of the dead regions of two scans, over that of both, from which they are one fault: few counts leave an
edge uncertain by some rows. Chosen, not measured."""
CONFIRMED = 6.0
"""Counts expected in a region that is known to be dead in other scans, from which none at all says dead here too: by
chance in one scan of 400, which then loses a region that hardly counts."""

Patterns = Callable[[int], NDArray[np.uint32]]
"""Returns the sum of a scan, (slow, fast), by its number."""
Passing = tuple[PixelRectangle, NDArray[np.int64]]
"""A rectangle, and the scans (k,) in which it is dead."""


def regions_in_some_scans(patterns: Patterns, number: int, valid: NDArray[np.bool_], rings: Rings) -> list[Passing]:
    """Return the rectangles that are dead in some scans.

    Every scan is looked at by itself. What several show at one place is one fault: its edges are found again in the
    sum of those scans, and the other scans are asked whether anything was counted there.
    """
    seen = [(region.place, scan) for scan in range(number) for region in dead_regions(patterns(scan), valid, rings)]
    found: list[Passing] = []
    while seen:
        first = seen[0][0]
        same = sorted({scan for place, scan in seen if place.shared(first) >= SAME_PLACE})
        seen = [(place, scan) for place, scan in seen if place.shared(first) < SAME_PLACE]
        place = _edges_in_sum(patterns, same, valid, rings, first)
        more = _confirming(patterns, sorted(set(range(number)) - set(same)), valid, rings, place)
        scans = sorted({*same, *more})
        found.append((place, np.array(scans, dtype=np.int64)))
        seen = [one for one in seen if not (one[1] in scans and _within(one[0], place))]
    return found


def _within(inner: PixelRectangle, outer: PixelRectangle) -> bool:
    """Tell whether a rectangle lies in another, but for what few counts leave uncertain."""
    rows = min(inner.bottom, outer.bottom) - max(inner.top, outer.top)
    columns = min(inner.right, outer.right) - max(inner.left, outer.left)
    return max(rows, 0) * max(columns, 0) >= SAME_PLACE * inner.area


def _edges_in_sum(
    patterns: Patterns, scans: list[int], valid: NDArray[np.bool_], rings: Rings, place: PixelRectangle
) -> PixelRectangle:
    """Return the rectangle that is dead in the sum of some scans where each shows about this one."""
    if len(scans) == 1:
        return place
    together = np.zeros(valid.shape, dtype=np.uint32)
    for scan in scans:
        together += patterns(scan)
    regions = [one.place for one in dead_regions(together, valid, rings)]
    return max(regions, key=place.shared, default=place)


def _confirming(
    patterns: Patterns, scans: list[int], valid: NDArray[np.bool_], rings: Rings, place: PixelRectangle
) -> list[int]:
    """Return the scans that counted nothing where another is dead, though something was due."""
    inside = valid[place.pixels]
    outside = valid.copy()
    outside[place.pixels] = False
    agreeing = []
    for scan in scans:
        pattern = patterns(scan)
        if (pattern[place.pixels] * inside).any():
            continue
        due = expected_counts(pattern, outside, rings, GAP_CELLS_PX)[place.pixels]
        if float((due * inside).sum()) >= CONFIRMED:
            agreeing.append(scan)
    return agreeing


def lines_in_some_scans(
    patterns: Patterns, masks: NDArray[np.bool_], mask_of_scan: NDArray[np.int64], rings: Rings
) -> list[Passing]:
    """Return the single rows and columns that are dead in some scans; see `lines_dead_in_some`."""
    number, shape = len(mask_of_scan), masks.shape[1:]
    counts = [np.zeros((number, extent)) for extent in shape]
    expected = [np.zeros((number, extent)) for extent in shape]
    for scan in range(number):
        valid = masks[mask_of_scan[scan]]
        pattern = np.where(valid, patterns(scan), 0)
        due = np.where(valid, expected_counts(pattern, valid, rings, GAP_CELLS_PX), 0.0)
        for axis in (0, 1):
            counts[axis][scan] = pattern.sum(axis=1 - axis)
            expected[axis][scan] = due.sum(axis=1 - axis)
    rows = [
        (PixelRectangle(one.line, 0, one.line + 1, shape[1]), one.scans)
        for one in lines_dead_in_some(counts[0], expected[0])
    ]
    columns = [
        (PixelRectangle(0, one.line, shape[0], one.line + 1), one.scans)
        for one in lines_dead_in_some(counts[1], expected[1])
    ]
    return [*rows, *columns]
