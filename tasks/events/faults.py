"""The faults of a detector over a series of scans: what never counts, always counts, or lies in a shadow, and when."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.events.bad_pixels import dead_pixels, hot_pixels
from tasks.events.dead_lines import hot_lines
from tasks.events.dead_regions import SECTOR_SHARE, dead_regions
from tasks.events.empty_rectangles import PixelRectangle
from tasks.events.expected import rings_about
from tasks.events.passing_faults import Patterns, lines_in_some_scans, regions_in_some_scans
from tasks.events.scan_beam import find_direct_beam
from tasks.events.shadows import shadowed

GROUPS = 4
"""Groups of scans in each of which a hot pixel must stand out: a reflection comes and goes with the tilt."""
LINES_PX = 12
"""Rows or columns side by side that are still called so, and not a block. Chosen, not measured: a word of the report
hangs on it, no pixel."""

AT_BEAM_PX = 5
"""A shadow so near the direct beam is called a beam stop. Chosen, not measured: a word of the report, no pixel."""

FaultKind = Literal[
    "hot pixels", "dead pixels", "hot lines", "rows", "columns", "block", "sector", "shadow", "beam stop"
]


class DetectorFault(NamedTuple):
    """What is wrong: its kind, its pixels (slow, fast), and the scans (k,) in which it is so."""

    kind: FaultKind
    pixels: NDArray[np.bool_]
    scans: NDArray[np.int64]


class FoundFaults(NamedTuple):
    """The valid pixels of every scan: ``masks`` (k, slow, fast), and which of them is that of a scan, (n,)."""

    masks: NDArray[np.bool_]
    mask_of_scan: NDArray[np.int64]
    faults: tuple[DetectorFault, ...]


def find_faults(patterns: Patterns, number: int, bad: NDArray[np.bool_], *, start: NDArray[np.float64]) -> FoundFaults:
    """Find what is wrong with a detector from the sums of its scans.

    First what is wrong at all tilts and what stands in the way of the electrons, in the sum of all scans; then what is
    wrong in some of them. What is known already is left out of everything that is compared with.

    Parameters
    ----------
    patterns, number
        The sums of the scans by their number, and how many there are.
    bad
        (slow, fast), pixels that are known not to be usable.
    start
        (2,), about where the direct beam lies, px.
    """
    total, groups = _totals(patterns, number, bad.shape)
    every = np.arange(number)
    faults: list[DetectorFault] = []
    valid = ~bad

    def add(kind: FaultKind, pixels: NDArray[np.bool_]) -> None:
        if (pixels & valid).any():
            faults.append(DetectorFault(kind, pixels & valid, every))
            valid[pixels] = False

    if not total.any():
        return FoundFaults(valid[None], np.zeros(number, dtype=np.int64), ())
    beam = find_direct_beam(np.where(valid, total, 0).astype(np.uint32), start=start)
    rings = rings_about(beam.centre, bad.shape)
    add("hot pixels", hot_pixels([np.where(valid, group, 0) for group in groups]))
    add("dead pixels", dead_pixels(total))
    hot = hot_lines(total, valid)[:, None] | hot_lines(total.T, valid.T)[None, :]
    add("hot lines", hot)
    for region in dead_regions(total, valid, rings):
        add(kind_of(region.place, bad.shape), _filled(region.place, bad.shape))
    # a hard-edged stop was found in part, as blocks: as a shadow it is found whole
    blocks = np.any([np.zeros_like(valid), *(fault.pixels for fault in faults if fault.kind == "block")], axis=0)
    add("shadow", shadowed(total, np.where(valid | blocks, 1.0, 0.0), rings))
    regions = regions_in_some_scans(patterns, number, valid, rings)
    some = [DetectorFault(kind_of(place, bad.shape), _filled(place, bad.shape) & valid, at) for place, at in regions]
    masks, of_scan = _masks(valid, some, number)
    lines = lines_in_some_scans(patterns, masks, of_scan, rings)
    some += [DetectorFault(kind_of(place, bad.shape), _filled(place, bad.shape) & valid, at) for place, at in lines]
    masks, of_scan = _masks(valid, some, number)
    return FoundFaults(masks, of_scan, (*_pieced_together(faults, beam.centre), *some))


def _pieced_together(faults: list[DetectorFault], centre: NDArray[np.float64]) -> list[DetectorFault]:
    """Return the faults with those that touch one another as one, where they are pieces of one thing.

    A round stop with sharp edges is found as many blocks, one with fuzzy edges as blocks and a shadow about them.
    """
    pieces = [fault for fault in faults if fault.kind in ("block", "columns", "rows", "shadow")]
    others = [fault for fault in faults if fault.kind not in ("block", "columns", "rows", "shadow")]
    lines = [fault for fault in pieces if fault.kind in ("columns", "rows")]
    solid = [fault for fault in pieces if fault.kind not in ("columns", "rows")]
    if not solid:
        return faults
    labels, number = ndimage.label(np.any([fault.pixels for fault in solid], axis=0), structure=np.ones((3, 3)))
    made = []
    for label in range(1, number + 1):
        pixels = labels == label
        fuzzy = any(fault.kind == "shadow" and (fault.pixels & pixels).any() for fault in solid)
        made.append(DetectorFault("shadow" if fuzzy else "block", pixels, solid[0].scans))
    row, column = (int(np.clip(round(float(at)), 0, end - 1)) for at, end in zip(centre, labels.shape, strict=True))
    around = (
        slice(max(row - AT_BEAM_PX, 0), row + AT_BEAM_PX + 1),
        slice(max(column - AT_BEAM_PX, 0), column + AT_BEAM_PX + 1),
    )
    named = [one._replace(kind="beam stop") if one.pixels[around].any() else one for one in made]
    return [*others, *lines, *named]


def kind_of(place: PixelRectangle, shape: tuple[int, ...]) -> FaultKind:
    """Return what a dead rectangle is called: rows, columns, a block or a sector."""
    high, wide = place.bottom - place.top, place.right - place.left
    if min(high, wide) <= LINES_PX and max(high, wide) > 4 * min(high, wide):
        return "rows" if high < wide else "columns"
    return "sector" if place.area >= SECTOR_SHARE * shape[0] * shape[1] else "block"


def bounds_of(pixels: NDArray[np.bool_]) -> PixelRectangle:
    """Return the least rectangle that holds some pixels (slow, fast)."""
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    return PixelRectangle(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)


def _filled(place: PixelRectangle, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    inside = np.zeros(shape, dtype=bool)
    inside[place.pixels] = True
    return inside


def _totals(
    patterns: Patterns, number: int, shape: tuple[int, ...]
) -> tuple[NDArray[np.uint32], list[NDArray[np.int64]]]:
    groups = [np.zeros(shape, dtype=np.int64) for _ in range(min(number, GROUPS))]
    for scan in range(number):
        groups[scan % GROUPS] += patterns(scan)
    total = np.sum(groups, axis=0)
    return np.minimum(total, np.iinfo(np.uint32).max).astype(np.uint32), groups


def _masks(
    valid: NDArray[np.bool_], some: list[DetectorFault], number: int
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return the different masks, and which of them is that of each scan; equal ones are kept once."""
    kinds: dict[tuple[int, ...], int] = {}
    masks: list[NDArray[np.bool_]] = []
    of_scan = np.zeros(number, dtype=np.int64)
    for scan in range(number):
        here = tuple(index for index, fault in enumerate(some) if scan in fault.scans)
        if here not in kinds:
            kinds[here] = len(masks)
            mask = valid.copy()
            for index in here:
                mask[some[index].pixels] = False
            masks.append(mask)
        of_scan[scan] = kinds[here]
    return np.array(masks), of_scan
