"""From frames to electrons: every pixel value becomes as many events, in bounded memory."""

import math
from typing import NamedTuple

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from adapters.formats.scans.dense_scan import Block, DenseScan, Shape, check_shapes
from tasks.ingest import Conversion, ScanData, Stated
from tasks.model import SourceError

COUNT_MAX = 2**20
"""Electrons in one pixel at one position: the EMPAD, of the detectors read here the one that takes the most, holds 10^6
(Tate et al., Microsc. Microanal. 22, 237, 2016). More is a mark, a wrong type or a wrong byte order."""
WORD = 8
"""Bytes looked at together: most pixels of a sparse frame are zero."""


class ElectronRule(NamedTuple):
    """How a pixel value becomes electrons: ``floor((value - pedestal) / units + 0.5)`` from `cut` on, else none."""

    cut: float
    pedestal: float
    units: float


def electron_rule(scan: DenseScan, stated: Stated) -> ElectronRule | None:
    """Return how values become electrons; None if they are counts.

    Raises
    ------
    SourceError
        If they are not, and the manifest does not say how; it says what to write.
    """
    conversion = stated.conversion
    if conversion is not None:
        return _rule(conversion)
    whole = scan.dtype.kind in "ui"
    if whole and (scan.nature == "counts" or (scan.nature == "unknown" and stated.counting is not None)):
        return None
    what = (
        f"the file holds {scan.dtype} values that are not counted"
        if scan.nature == "analogue" or not whole
        else ("the file does not say whether its whole numbers are electrons")
    )
    counted = "" if scan.nature == "analogue" or not whole else 'state "counting" if they are; if not, '
    raise SourceError(
        f'{what}: detector.conversion is needed; {counted}write "conversion": {{"units_per_electron": ..., '
        '"pedestal": ..., "threshold": ...}',
        "tasks/ingest/README.md says what each means",
    )


def _rule(conversion: Conversion) -> ElectronRule:
    half = conversion.pedestal + 0.5 * conversion.units_per_electron
    cut = half if conversion.threshold is None else max(conversion.threshold, half)
    return ElectronRule(cut, conversion.pedestal, conversion.units_per_electron)


def scan_data(
    scan: DenseScan, *, scan_shape: Shape, flyback_columns: int, frame_shape: Shape, stated: Stated, events_max: int
) -> ScanData:
    """Read all frames; return every electron of the positions that are kept.

    Raises
    ------
    SourceError
        If the shapes contradict the manifest, values are no electrons, there are none or too many.
    """
    columns = scan_shape[1] + flyback_columns
    check_shapes(scan, (scan_shape[0], columns), frame_shape)
    rule = electron_rule(scan, stated)
    lengths = np.zeros(scan_shape[0] * scan_shape[1], dtype=np.int64)
    parts: list[NDArray[np.uint32]] = []
    order: list[NDArray[np.int64]] = []
    flyback = total = 0
    for block in scan.blocks():
        row, column = np.divmod(block.position, columns)
        kept = column < scan_shape[1]
        counted, events = _electrons(scan, block, rule, kept, columns=columns, left=events_max - total)
        target = row[kept] * scan_shape[1] + column[kept]
        lengths[target] = counted[kept]
        flyback += int(counted[~kept].sum())
        order.append(target)
        parts.append(events)
        total += len(events)
    if not total:
        raise SourceError("the scan is empty: it holds no electron outside the flyback")
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    events = _in_order(np.concatenate(parts), np.concatenate(order), lengths, offsets)
    return ScanData(offsets.astype(np.uint64), events, flyback, 1.0, scan.metadata, camera_frames=1, beside=scan.beside)


def _electrons(
    scan: DenseScan, block: Block, rule: ElectronRule | None, kept: NDArray[np.bool_], *, columns: int, left: int
) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Return the electrons of each frame of a block, and the events of those that are kept; at most `left` of them."""
    counted = np.zeros(len(block.position), dtype=np.int64)
    frames = _unmasked(scan, block.frames)
    if rule is None:
        views = _views(frames)
        worst = int(_count(*views, counted))
        bits = 8 * frames.dtype.itemsize - (frames.dtype.kind == "i")  # negative numbers are looked at as large ones
        if worst > min(COUNT_MAX, 2**bits - 1):
            raise _impossible(scan, block, columns)
        events = _room(counted[kept], left)
        _fill(*views, kept, events)
        return counted, events
    pixels = np.asarray(
        frames, dtype=np.float32 if frames.dtype.itemsize < 8 and frames.dtype.kind == "f" else np.float64
    )
    if not _count_converted(pixels, rule.cut, rule.pedestal, rule.units, COUNT_MAX, counted):
        raise _impossible(scan, block, columns, rule)
    events = _room(counted[kept], left)
    _fill_converted(pixels, rule.cut, rule.pedestal, rule.units, kept, events)
    return counted, events


def _room(counted: NDArray[np.int64], left: int) -> NDArray[np.uint32]:
    if int(counted.sum()) > left:
        raise SourceError("there are more electrons in the scan than events_max", "raise events_max if it is true")
    return np.empty(int(counted.sum()), dtype=np.uint32)


def _unmasked(scan: DenseScan, frames: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return frames without what stands in pixels that the file says were never measured."""
    if scan.masked is None or not scan.masked.any():
        return frames
    frames = frames.copy()
    frames[:, scan.masked] = 0
    return frames


def _impossible(scan: DenseScan, block: Block, columns: int, rule: ElectronRule | None = None) -> SourceError:
    """Return the error that names the first value which is no number of electrons."""
    values = _unmasked(scan, block.frames).astype(np.float64)
    counts = values if rule is None else np.where(values >= rule.cut, (values - rule.pedestal) / rule.units, 0.0)
    wrong = ~np.isfinite(values) | (counts > COUNT_MAX) | ((values < 0) & (rule is None))
    frame, row, column = (int(index[0]) for index in np.nonzero(wrong))
    value = block.frames[frame, row, column]
    y, x = divmod(int(block.position[frame]), columns)
    place = f"scan row {y}, column {x}, pixel ({row}, {column})"
    if scan.flagged is not None and int(value) == scan.flagged:
        return SourceError(f"{place} is marked as not counted ({value})", "the counter overflowed, or the pixel is bad")
    why = "no number" if not math.isfinite(value) else "negative" if value < 0 else f"more than {COUNT_MAX} electrons"
    return SourceError(f"{place}: {value} is {why}", "these are no counted electrons: wrong type or byte order?")


def _views(frames: NDArray[np.generic]) -> tuple[NDArray[np.uint8], NDArray[np.uint64], int, bool]:
    """Return the bytes of frames, the same eight at a time, the bytes of a pixel, and whether the high one is first.

    Rows that are no whole words have none. Negative numbers become large ones.
    """
    size = frames.dtype.itemsize
    big = size > 1 and frames.dtype.newbyteorder(">") == frames.dtype
    if frames.strides[2] != size:
        frames = np.ascontiguousarray(frames)
    pixels = frames.view(np.uint8)
    whole = frames.shape[2] * size % WORD == 0
    words = frames.view(np.uint64) if whole else np.empty((*frames.shape[:2], 0), dtype=np.uint64)
    return pixels, words, size, big


def _in_order(
    events: NDArray[np.uint32], order: NDArray[np.int64], lengths: NDArray[np.int64], offsets: NDArray[np.int64]
) -> NDArray[np.uint32]:
    """Return events in the order of the positions, given the order in which the positions were read."""
    if (np.diff(order) > 0).all():
        return events
    sorted_events = np.empty_like(events)
    _scatter(events, order, lengths, offsets, sorted_events)
    return sorted_events


Bytes = types.Array(types.uint8, 3, "A")
Words = types.Array(types.uint64, 3, "A")
Positions = types.Array(types.int64, 1, "A")
Events = types.Array(types.uint32, 1, "C")
Kept = types.Array(types.boolean, 1, "A")
"""Types of the kernels' arguments: one machine code for all layouts and byte orders, compiled once."""


@njit(types.void(Events, Positions, Positions, Positions, Events), cache=True, nogil=True)
def _scatter(events, order, lengths, offsets, out):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    read = 0
    for position in order:
        for index in range(lengths[position]):
            out[offsets[position] + index] = events[read + index]
        read += lengths[position]


@njit(types.uint64(Bytes, Words, types.int64, types.boolean, Positions), cache=True, nogil=True)
def _count(pixels, words, size, big, counted):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Add up each frame; return the largest value of all. Sums stay far below 2^63: `COUNT_MAX` is checked first."""
    rows, width = pixels.shape[1], pixels.shape[2]
    step = WORD if words.shape[2] else width
    largest = np.uint64(0)
    for frame in range(pixels.shape[0]):
        total = np.uint64(0)
        for row in range(rows):
            for begin in range(0, width, step):
                if words.shape[2] and words[frame, row, begin // WORD] == 0:
                    continue
                for at in range(begin, begin + step, size):
                    value = np.uint64(0)
                    for byte in range(size):
                        place = at + byte if big else at + size - 1 - byte
                        value = (value << np.uint64(8)) | np.uint64(pixels[frame, row, place])
                    total += value
                    largest = max(largest, value)
        counted[frame] = np.int64(total)
    return largest


@njit(types.void(Bytes, Words, types.int64, types.boolean, Kept, Events), cache=True, nogil=True)
def _fill(pixels, words, size, big, kept, events):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Write the flat pixel of every electron of the frames that are kept, in the order of frames and pixels."""
    rows, width = pixels.shape[1], pixels.shape[2]
    step, columns, written = WORD if words.shape[2] else width, width // size, 0
    for frame in range(pixels.shape[0]):
        if not kept[frame]:
            continue
        for row in range(rows):
            for begin in range(0, width, step):
                if words.shape[2] and words[frame, row, begin // WORD] == 0:
                    continue
                for at in range(begin, begin + step, size):
                    value = np.uint64(0)
                    for byte in range(size):
                        place = at + byte if big else at + size - 1 - byte
                        value = (value << np.uint64(8)) | np.uint64(pixels[frame, row, place])
                    for _ in range(value):
                        events[written] = row * columns + at // size
                        written += 1


Singles = types.Array(types.float32, 3, "A")
Doubles = types.Array(types.float64, 3, "A")
"""Pixels that are converted."""


@njit(
    [
        types.boolean(kind, types.float64, types.float64, types.float64, types.float64, Positions)
        for kind in (Singles, Doubles)
    ],
    cache=True,
    nogil=True,
)
def _count_converted(pixels, cut, pedestal, units, most, counted):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Add up each frame in electrons; return whether all values are numbers, of at most `most` electrons."""
    for frame in range(pixels.shape[0]):
        total = np.int64(0)
        for row in range(pixels.shape[1]):
            for column in range(pixels.shape[2]):
                value = pixels[frame, row, column]
                if value < cut:
                    if value == -np.inf:
                        return False
                    continue
                electrons = np.floor((value - pedestal) / units + 0.5)
                if not electrons <= most:
                    return False
                total += np.int64(electrons)
        counted[frame] = total
    return True


@njit(
    [types.void(kind, types.float64, types.float64, types.float64, Kept, Events) for kind in (Singles, Doubles)],
    cache=True,
    nogil=True,
)
def _fill_converted(pixels, cut, pedestal, units, kept, events):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """As `_fill`, in electrons."""
    columns, written = pixels.shape[2], 0
    for frame in range(pixels.shape[0]):
        if not kept[frame]:
            continue
        for row in range(pixels.shape[1]):
            for column in range(columns):
                value = pixels[frame, row, column]
                if value < cut:
                    continue
                for _ in range(np.int64(np.floor((value - pedestal) / units + 0.5))):
                    events[written] = row * columns + column
                    written += 1
