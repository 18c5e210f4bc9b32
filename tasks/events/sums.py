"""Exact sums of electron events, shifted by whole pixels: every electron is counted once, whatever the threads."""

from collections import deque
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tasks.events.canvas import Canvas
from tasks.events.coin import Throws
from tasks.events.kinds import kinds_of
from tasks.events.store import ScanEvents, position_blocks
from tasks.events.store_kernels import add_ranges, take_up
from tasks.events.threads import side_by_side
from tasks.model.arrays import Integers

RECIPROCAL_BITS = 40
"""Of the reciprocal that divides a pixel's number by the columns: exact while pixels times columns stay below 2^40,
beyond 10^4 columns and rows. With a division the sum of a scan of 1.1e7 electrons took 41 CPU ms instead of 25."""

BATCH_EVENTS = 1 << 24
"""Held in memory, 64 MiB, while the sums of many apertures are made one after the other: of fifty apertures each has
some 80 000 there, four for every cache line of its sum."""


def sum_events(
    scan: ScanEvents,
    *,
    positions: NDArray[np.int64],
    shifts: NDArray[np.int64],
    detector_columns: int,
    canvas: Canvas,
    coin: np.random.Generator | None,
) -> tuple[NDArray[np.uint32], NDArray[np.uint32] | None]:
    """Return the sum of some scan positions, (slow, fast), and the half of it that a coin chose.

    Parameters
    ----------
    positions
        (n,) flat scan positions, ascending.
    shifts
        (n, 2) whole pixels, slow and fast, added to the detector position of every electron of that scan position.
    coin
        One throw per electron in the order of the positions; None makes no half.

    Raises
    ------
    ValueError
        If an electron lies outside the canvas: events and shifts contradict each other.
    """
    whole = np.zeros(canvas.shape, dtype=np.uint32)
    half = np.zeros(canvas.shape if coin is not None else (0, 0), dtype=np.uint32)
    throws = None if coin is None else Throws(coin)
    none = np.zeros(0, dtype=np.uint8)
    origins = (shifts + canvas.origin).astype(np.int64)
    outside = 0
    for part in position_blocks(scan, positions):
        heads = none if throws is None else throws.take(int((part.ends - part.begins).sum()))
        moves = origins[part.ranges]
        outside += _add(part.begins, part.ends, part.events, moves, detector_columns, whole, half, heads)
    if outside:
        total = int(np.diff(scan.bounds)[positions].sum())
        raise ValueError(f"{outside} of {total} electrons lie outside the canvas {canvas.shape}")
    return whole, (None if coin is None else half)


def sum_pattern(
    scan: ScanEvents,
    detector_shape: tuple[int, int],
    *,
    shifts: NDArray[np.integer] | None = None,
    keep: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint32]:
    """Return the sum of a whole scan on the bare detector, (slow, fast): for finding beams and spots.

    Events that the shifts carry off the detector are left out here, and here only.

    Parameters
    ----------
    shifts
        (n, 2) whole pixels by which each position's events are moved; None = none.
    keep
        (n,), the positions that are summed; None = all.
    """
    if shifts is None and (keep is None or keep.all()) and not isinstance(scan.events, np.ndarray):
        known = scan.events.sum()
        if known is not None and known.size == detector_shape[0] * detector_shape[1]:
            return known.reshape(detector_shape)
    positions = np.arange(scan.positions) if keep is None else np.flatnonzero(keep)
    whole = np.zeros(detector_shape, dtype=np.uint32)
    if shifts is None:
        low = np.zeros(whole.size, dtype=np.uint8)
        for part in position_blocks(scan, positions):
            add_ranges(part.begins, part.ends, part.events, low, whole.reshape(-1))
        take_up(low, whole.reshape(-1))
        return whole
    moves = shifts[positions].astype(np.int64)
    none, no_heads = np.zeros((0, 0), dtype=np.uint32), np.zeros(0, dtype=np.uint8)
    for part in position_blocks(scan, positions):
        _add(part.begins, part.ends, part.events, moves[part.ranges], detector_shape[1], whole, none, no_heads)
    return whole


def sum_parts(
    scan: ScanEvents, part_of: Integers, parts: int, detector_shape: tuple[int, int], *, shifts: NDArray[np.integer]
) -> NDArray[np.uint32]:
    """Return the sums of some parts of a scan on the bare detector, (parts, slow, fast), in one pass over the events.

    Events that the shifts carry off the detector are left out.

    Parameters
    ----------
    part_of
        (n_positions,), the part of every position; negative = none.
    shifts
        (n_positions, 2) whole pixels by which each position's events are moved.
    """
    out = np.zeros((parts, *detector_shape), dtype=np.uint32)
    positions = np.flatnonzero(part_of >= 0)
    moves, mine = shifts[positions].astype(np.int64), part_of[positions].astype(np.int64)
    for part in position_blocks(scan, positions):
        here = part.ranges
        _add_parts(part.begins, part.ends, part.events, moves[here], mine[here], out)
    return out


def sum_apertures(
    scan: ScanEvents, apertures: Sequence[NDArray[np.bool_]], detector_shape: tuple[int, int], *, threads: int = 1
) -> NDArray[np.uint32]:
    """Return the sums over any number of apertures, (k, slow, fast), unshifted, in one pass over the events.

    Positions that are in the same apertures are summed together, and the sums added up for each aperture: an electron
    is looked at once, however many there are.

    Parameters
    ----------
    apertures
        (n_positions,) each, or of the scan's shape.
    threads
        Each takes a part of the positions; the result is the same for any number.
    """
    members = np.array([np.asarray(one).ravel() for one in apertures]).reshape(len(apertures), -1)
    kind, in_kind = kinds_of(members)
    positions = np.flatnonzero(members.any(axis=0))
    out = np.zeros((len(apertures), detector_shape[0] * detector_shape[1]), dtype=np.uint32)
    shared = np.flatnonzero(in_kind.sum(axis=0) > 1)
    extra = np.zeros((len(shared), out.shape[1]), dtype=np.uint32)
    # the electrons of positions that are in one aperture alone are summed where they belong
    into = {int(one): out[int(np.argmax(in_kind[:, one]))] for one in np.flatnonzero(in_kind.sum(axis=0) == 1)}
    into |= {int(one): extra[number] for number, one in enumerate(shared)}
    if len(into) == 1:
        _sum_one(scan, positions, next(iter(into.values())), threads)
    elif len(positions):
        _sum_kinds(scan, positions, kind[positions], into, threads)
    for one in shared:
        for number in np.flatnonzero(in_kind[:, one]):
            out[number] += into[int(one)]
    return out.reshape(len(apertures), *detector_shape)


def _sum_one(scan: ScanEvents, positions: Integers, out: NDArray[np.uint32], threads: int) -> None:
    """Add the electrons of some positions to one sum, (pixels,)."""

    def summed(share: slice) -> NDArray[np.uint32]:
        total, low = np.zeros_like(out), np.zeros(len(out), dtype=np.uint8)
        for part in position_blocks(scan, positions[share]):
            add_ranges(part.begins, part.ends, part.events, low, total)
        take_up(low, total)
        return total

    for total in side_by_side(summed, len(positions), threads):
        out += total


def _sum_kinds(
    scan: ScanEvents, positions: Integers, kind: Integers, into: dict[int, NDArray[np.uint32]], threads: int
) -> None:
    """Add the electrons of some positions to the sums of their kinds, (pixels,) each."""
    mapped = scan.events if isinstance(scan.events, np.ndarray) else scan.events.mapped
    if mapped is not None:
        bounds = scan.bounds

        def looked_at(share: slice) -> None:
            deque(position_blocks(scan, positions[share]), maxlen=0)

        side_by_side(looked_at, len(positions), threads)
        _add_kinds(mapped, bounds[positions], bounds[positions + 1], kind, into, threads)
        return
    lengths = np.diff(scan.bounds)[positions]
    cuts = np.searchsorted(np.cumsum(lengths), np.arange(BATCH_EVENTS, int(lengths.sum()), BATCH_EVENTS))
    memory = np.empty(min(BATCH_EVENTS + int(lengths.max(initial=0)), int(lengths.sum())), dtype=np.uint32)
    for begin, end in pairwise([0, *np.unique(cuts).tolist(), len(positions)]):
        mine = positions[begin:end]
        starts = np.concatenate([[0], np.cumsum(lengths[begin:end])])

        def gathered(share: slice, mine: Integers = mine, starts: Integers = starts) -> None:
            for part in position_blocks(scan, mine[share]):
                _copy(part.begins, part.ends, part.events, starts[share][part.ranges], memory)

        side_by_side(gathered, len(mine), threads)
        _add_kinds(memory, starts[:-1], starts[1:], kind[begin:end], into, threads)


def _add_kinds(
    events: NDArray[np.uint32],
    begins: Integers,
    ends: Integers,
    kind: Integers,
    into: dict[int, NDArray[np.uint32]],
    threads: int,
) -> None:
    """Add ranges of events in memory, (n,), to the sums of their kinds, one after the other."""
    order = np.argsort(kind, kind="stable")
    kind, begins, ends, kinds = kind[order], begins[order], ends[order], list(into)

    def added(share: slice) -> None:
        for one in kinds[share]:
            here = slice(*np.searchsorted(kind, (one, one + 1)))
            low = np.zeros(len(into[one]), dtype=np.uint8)
            add_ranges(begins[here], ends[here], events, low, into[one])
            take_up(low, into[one])

    side_by_side(added, len(kinds), threads)


@njit(cache=True, nogil=True)
def _copy(
    begins: Integers, ends: Integers, events: NDArray[np.uint32], starts: Integers, memory: NDArray[np.uint32]
) -> None:  # pragma: no cover
    for k in range(len(begins)):
        memory[starts[k] : starts[k] + ends[k] - begins[k]] = events[begins[k] : ends[k]]


@njit(cache=True, nogil=True)
def _add_parts(
    begins: Integers,
    ends: Integers,
    events: NDArray[np.uint32],
    moves: Integers,
    parts: Integers,
    out: NDArray[np.uint32],
) -> None:  # pragma: no cover
    """Add ranges of events, each moved, to the sum of the part of each, (parts, slow, fast)."""
    height, width = out.shape[1:]
    reciprocal = (np.uint64(1) << np.uint64(RECIPROCAL_BITS)) // np.uint64(width) + np.uint64(1)
    for k in range(len(begins)):
        whole = out[parts[k]]
        for index in range(begins[k], ends[k]):
            event = np.uint64(events[index])
            line = np.int64((event * reciprocal) >> np.uint64(RECIPROCAL_BITS))
            row, column = line + moves[k, 0], np.int64(event) - line * width + moves[k, 1]
            if 0 <= row < height and 0 <= column < width:
                whole[row, column] += np.uint32(1)


@njit(cache=True, nogil=True)
def _add(
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    events: NDArray[np.uint32],
    origins: NDArray[np.int64],
    columns: int,
    whole: NDArray[np.uint32],
    half: NDArray[np.uint32],
    heads: NDArray[np.uint8],
) -> int:  # pragma: no cover
    """Add every event, in one thread, so that no increment is lost; return how many lie outside."""
    height, width = whole.shape
    flat, flat_half = whole.reshape(-1), half.reshape(-1)
    split = half.size > 0
    reciprocal = (np.uint64(1) << np.uint64(RECIPROCAL_BITS)) // np.uint64(columns) + np.uint64(1)
    outside = 0
    throw = 0
    for k in range(len(begins)):
        for index in range(begins[k], ends[k]):
            event = np.uint64(events[index])
            line = np.int64((event * reciprocal) >> np.uint64(RECIPROCAL_BITS))
            row = line + origins[k, 0]
            column = np.int64(event) - line * columns + origins[k, 1]
            if 0 <= row < height and 0 <= column < width:
                flat[row * width + column] += np.uint32(1)
                if split:
                    flat_half[row * width + column] += np.uint32(heads[throw])
            else:
                outside += 1
            throw += 1
    return outside
