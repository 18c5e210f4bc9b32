"""From frames to electrons: every pixel value becomes as many events, in bounded memory."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.formats.scans.dense_scan import Block, DenseScan, Shape, check_shapes
from adapters.formats.scans.electron_kernels import IMPOSSIBLE, TOO_MANY, scatter, take_floats, take_whole
from tasks.ingest import Conversion, ScanData, Stated
from tasks.model import SourceError

COUNT_MAX = 2**20
"""Electrons in one pixel at one position: the EMPAD, of the detectors read here the one that takes the most, holds 10^6
(Tate et al., Microsc. Microanal. 22, 237, 2016). More is a mark, a wrong type or a wrong byte order."""
WORD = 8
"""Bytes that whole numbers are looked at together in."""
EVENTS_AT_ONCE = 2**18
"""Events of a block that there is room for at first, 1 MB; it grows. Chosen, not measured."""


class ElectronRule(NamedTuple):
    """How a pixel value becomes electrons: ``floor((value - pedestal) / units + 0.5)`` from `cut` on, else none."""

    cut: float
    pedestal: float
    units: float


COUNTS = ElectronRule(1.0, 0.0, 1.0)
"""Every unit is an electron: exact for all values that can be, which are far below 2^53."""


def electron_rule(scan: DenseScan, stated: Stated) -> ElectronRule:
    """Return how values become electrons.

    Raises
    ------
    SourceError
        If they are no counts, and the manifest does not say how; it says what to write.
    """
    conversion = stated.conversion
    if conversion is not None:
        return _rule(conversion)
    whole = scan.dtype.kind in "ui"
    if whole and (scan.nature == "counts" or (scan.nature == "unknown" and stated.counting is not None)):
        return COUNTS
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
    memory: NDArray[np.uint32] = np.empty(EVENTS_AT_ONCE, dtype=np.uint32)
    flyback = total = full = 0
    for block in scan.blocks():
        full += 0 if scan.limit is None else int(np.count_nonzero(scan.frames(block) == scan.limit))
        row, column = np.divmod(block.position, columns)
        kept = column < scan_shape[1]
        counted = np.zeros(len(block.position), dtype=np.int64)
        memory, written = _events(scan, block, rule, kept, counted=counted, left=events_max - total, memory=memory)
        if written == IMPOSSIBLE:
            raise _impossible(scan, block, columns, rule)
        if written == TOO_MANY:
            raise SourceError("there are more electrons in the scan than events_max", "raise events_max if it is true")
        target = row[kept] * scan_shape[1] + column[kept]
        lengths[target] = counted[kept]
        flyback += int(counted[~kept].sum())
        order.append(target)
        parts.append(memory[:written].copy())
        total += written
    if not total:
        raise SourceError("the scan is empty: it holds no electron outside the flyback")
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    events = _in_order(np.concatenate(parts), np.concatenate(order), lengths, offsets)
    data = ScanData(offsets.astype(np.uint64), events, flyback, 1.0, scan.metadata, camera_frames=1, beside=scan.beside)
    return data._replace(notes=_full(full, scan.limit))


def _full(readings: int, limit: int | None) -> tuple[str, ...]:
    """Say how often a counter was full."""
    if not readings:
        return ()
    return (f"{readings} readings of pixels are the most that the counter holds ({limit}): more electrons came there",)


def _events(
    scan: DenseScan,
    block: Block,
    rule: ElectronRule,
    kept: NDArray[np.bool_],
    *,
    counted: NDArray[np.int64],
    left: int,
    memory: NDArray[np.uint32],
) -> tuple[NDArray[np.uint32], int]:
    """Write the events of the frames that are kept into `memory`; return it, or larger one, and how many they are.

    The electrons of each frame are written into `counted`. In place of the number: `IMPOSSIBLE`, or `TOO_MANY` if
    there are more than `left`.
    """
    if scan.masked is not None and scan.masked.any():
        scan.frames(block)[:, scan.masked] = 0  # in its memory, which the next block takes
    rows, columns = scan.frame_shape
    row_bytes, records = columns * scan.dtype.itemsize, block.records
    kind, size = scan.dtype.kind, scan.dtype.itemsize
    foreign = kind == "f" and (size not in {4, 8} or scan.dtype.newbyteorder("=") != scan.dtype)
    if kind != "f" and rule.cut <= 0:  # zero is an electron: nothing can be passed over
        kind, foreign = "f", True
    unit = size if kind == "f" and not foreign else WORD
    if foreign or row_bytes % unit:
        plain = scan.frames(block).astype(np.float32 if size <= 2 else np.float64) if foreign else scan.frames(block)
        records, row_bytes = _padded(plain)
        size = plain.dtype.itemsize
    shape = (rows, columns, row_bytes)
    room = (_most(scan, rule), left, kept, counted, memory)
    if kind == "f":
        kind_of_float = np.float32 if size == 4 else np.float64
        pixels = records.view(kind_of_float)
        levels = np.array([rule.cut, np.finfo(kind_of_float).min], dtype=kind_of_float)
        return take_floats(pixels, levels, *shape, *rule, *room)
    big = size > 1 and scan.dtype.newbyteorder(">") == scan.dtype
    return take_whole(records.view(np.uint64), *shape, size, big, kind == "i", *rule, *room)


def _most(scan: DenseScan, rule: ElectronRule) -> int:
    """Return how many electrons a pixel can hold: fewer than the value that marks what was not counted would mean."""
    if scan.flagged is None:
        return COUNT_MAX
    return min(COUNT_MAX, max(0, math.floor((scan.flagged - 1 - rule.pedestal) / rule.units + 0.5)))


def _padded(frames: NDArray[np.generic]) -> tuple[NDArray[np.uint8], int]:
    """Return frames with rows of whole words, as contiguous bytes, (n, bytes), and the bytes of a row."""
    count, rows, columns = frames.shape
    row_bytes = -(-columns * frames.dtype.itemsize // WORD) * WORD
    padded = np.zeros((count, rows, row_bytes // frames.dtype.itemsize), dtype=frames.dtype)
    padded[:, :, :columns] = frames
    return padded.reshape(count, -1).view(np.uint8), row_bytes


def _impossible(scan: DenseScan, block: Block, columns: int, rule: ElectronRule) -> SourceError:
    """Return the error that names the first value which is no number of electrons."""
    frames = scan.frames(block)
    values = frames.astype(np.float64)
    with np.errstate(invalid="ignore"):
        counts = np.where(values >= rule.cut, np.floor((values - rule.pedestal) / rule.units + 0.5), 0.0)
        wrong = ~np.isfinite(values) | (counts > _most(scan, rule)) | ((values < 0) & (rule == COUNTS))
    frame, row, column = (int(index[0]) for index in np.nonzero(wrong))
    value = frames[frame, row, column]
    y, x = divmod(int(block.position[frame]), columns)
    place = f"scan row {y}, column {x}, pixel ({row}, {column})"
    if scan.flagged is not None and math.isfinite(value) and int(value) == scan.flagged:
        return SourceError(f"{place} is marked as not counted ({value})", "the counter overflowed, or the pixel is bad")
    why = "no number" if not math.isfinite(value) else "negative" if value < 0 else f"more than {COUNT_MAX} electrons"
    return SourceError(f"{place}: {value} is {why}", "these are no counted electrons: wrong type or byte order?")


def _in_order(
    events: NDArray[np.uint32], order: NDArray[np.int64], lengths: NDArray[np.int64], offsets: NDArray[np.int64]
) -> NDArray[np.uint32]:
    """Return events in the order of the positions, given the order in which the positions were read."""
    if (np.diff(order) > 0).all():
        return events
    sorted_events = np.empty_like(events)
    scatter(events, order, lengths, offsets, sorted_events)
    return sorted_events
